// Erosion, dilation, opening and closing alone, one block a mask.
#include "masks.h"
// masks.h first: it says what __device__ is
#include "../core/morph.h"
#include "api.h"

namespace QG_NAMESPACE {
namespace {

constexpr size_t kMorphPlanes = 2;

template <int kThreads>
__global__ void __launch_bounds__(kThreads, 1280 / kThreads) morph_kernel(qg::MorphTask task, uint32_t* scratch) {
  QG_DYNAMIC_SHARED(Word, shared);
  const BlockTeam team;
  const Extent extent{task.depth, task.height, task.width};
  Bits<Word> mask{nullptr, extent, column_stride<Word>(extent)}, spare = mask;
  const size_t words = mask.words(), pixels = size_t(mask.lines()) * task.width;
  Word* const memory = scratch ? scratch + size_t(blockIdx.x) * words * kMorphPlanes : shared;
  for (unsigned sample = blockIdx.x; sample < unsigned(task.batch); sample += gridDim.x) {
    mask.word = memory;
    spare.word = memory + words;
    pack(team, task.in + sample * pixels, mask);
    morph_by(team, mask, spare, task.op, all_ways(task.radius));
    unpack(team, mask, task.out + sample * pixels);
  }
}

template <int kThreads>
int launch(const qg::MorphTask& task, const Plan& plan, size_t bytes, uint32_t* scratch, void* stream) {
  const int error = ask_shared(morph_kernel<kThreads>, plan.shared(bytes));
  if (error != 0) return error;
  QG_LAUNCH(morph_kernel<kThreads>, unsigned(plan.blocks), kThreads, plan.shared(bytes), stream, task, plan.in_shared ? nullptr : scratch);
  return int(cudaGetLastError());
}

}  // namespace
}  // namespace QG_NAMESPACE

namespace qg {

int morph_scratch(int64_t batch, int depth, int height, int width, int64_t* words) {
  using namespace QG_NAMESPACE;
  return scratch_words(batch, plane_words({depth, height, width}) * kMorphPlanes * sizeof(Word), words);
}

int morph(const MorphTask& task, const Scratch& scratch, void* stream) {
  using namespace QG_NAMESPACE;
  if (task.batch == 0) return 0;
  Plan plan;
  const size_t words = plane_words({task.depth, task.height, task.width}), bytes = words * kMorphPlanes * sizeof(Word);
  const int error = make_plan(task.batch, bytes, scratch.words, &plan);
  if (error != 0) return error;
  if (words <= 4096) return launch<128>(task, plan, bytes, scratch.memory, stream);
  return launch<512>(task, plan, bytes, scratch.memory, stream);
}

const char* error_name(int error) { return cudaGetErrorName(cudaError_t(error)); }

}  // namespace qg
