// Draws and runs programs on masks, one block a mask: pack to bits in shared memory, work there, count, unpack.
#include "masks.h"
// masks.h first: it says what __device__ is
#include "../core/overlap.h"
#include "../core/program.h"
#include "api.h"

namespace QG_NAMESPACE {
namespace {

constexpr int kCorruptThreads = 128;

__device__ void unpack_as(const BlockTeam& team, const Bits<Word>& from, void* to, int kind) {
  if (kind == qg::kFloat32)
    unpack_numbers(team, from, static_cast<uint32_t*>(to), uint32_t(0x3F800000));
  else if (kind == qg::kUint8)
    unpack(team, from, static_cast<uint8_t*>(to));
  else
    unpack_numbers(team, from, static_cast<uint16_t*>(to), uint16_t(kind == qg::kFloat16 ? 0x3C00 : 0x3F80));
}

__global__ void __launch_bounds__(kCorruptThreads) corrupt_kernel(qg::CorruptTask task, int64_t block_bytes, uint32_t* scratch) {
  QG_DYNAMIC_SHARED(Word, shared);
  const BlockTeam team;
  const Extent extent{task.depth, task.height, task.width};
  const size_t words = plane_words(extent) * kPlanes, pixels = size_t(extent.depth) * extent.height * extent.width;
  Word* const memory = scratch ? scratch + size_t(blockIdx.x) * (size_t(block_bytes) / sizeof(Word)) : shared;
  int32_t* const arena = reinterpret_cast<int32_t*>(memory + words + words % 2);
  const Recipe recipe{task.recipe};
  for (unsigned sample = blockIdx.x; sample < unsigned(task.batch); sample += gridDim.x) {
    Canvas<Word> canvas = canvas_on(memory, extent, task.axes, arena, {task.spacing_z, task.spacing_y});
    pack(team, task.in + sample * pixels, canvas.truth);
    copy_plane(team, canvas.truth, canvas.mask);
    const uint64_t id = uint64_t(task.sample_ids[sample]);
    const Program program =
        task.given_rows ? given_program(task.given_rows + size_t(kPositions) * sample, task.seed, id) : draw_program(recipe, task.seed, id);
    run(team, canvas, recipe, program, task.bank, task.image_ids ? task.image_ids[sample] : 0, task.seed, id);
    unpack_as(team, canvas.mask, static_cast<char*>(task.out) + int64_t(sample) * task.out_step, task.out_kind);
    const Counts counts = overlap(team, canvas.mask, canvas.truth);
    team.one([&] {
      tell(counts, task, sample);
      for (int k = 0; k < kPositions; ++k) task.rows[size_t(kPositions) * sample + k] = program.row[k];
    });
    if (task.errors) {
      changed(team, canvas);
      unpack(team, canvas.spare[0], task.errors + sample * pixels);
    }
  }
}

}  // namespace
}  // namespace QG_NAMESPACE

namespace qg {

int64_t corrupt_bytes(int depth, int height, int width, const int32_t* recipe) {
  using namespace QG_NAMESPACE;
  const Extent extent{depth, height, width};
  const size_t words = plane_words(extent) * kPlanes, arena = recipe_arena({recipe}, extent);
  return int64_t((words + words % 2 + arena + arena % 2) * sizeof(Word));
}

int corrupt_scratch(int64_t batch, int64_t block_bytes, int64_t* words) {
  return QG_NAMESPACE::scratch_words(batch, size_t(block_bytes), words);
}

int corrupt(const CorruptTask& task, int64_t block_bytes, const Scratch& scratch, void* stream) {
  using namespace QG_NAMESPACE;
  if (task.batch == 0) return 0;
  Plan plan;
  int error = make_plan(task.batch, size_t(block_bytes), scratch.words, &plan);
  if (error != 0) return error;
  const size_t shared = plan.shared(size_t(block_bytes));
  error = ask_shared(corrupt_kernel, shared);
  if (error != 0) return error;
  QG_LAUNCH(corrupt_kernel, unsigned(plan.blocks), kCorruptThreads, shared, stream, task, block_bytes,
            plan.in_shared ? nullptr : scratch.memory);
  return int(cudaGetLastError());
}

}  // namespace qg
