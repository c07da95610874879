// Runs programs on masks, one block a mask: pack to bits in shared memory, work there, count, unpack. Masks that shared memory cannot hold
// work on bit planes in global memory (they stay in L2); then a few blocks take all masks in turn, so that the planes do not grow with
// the batch.
#include "launch.h"
// launch.h first: it says what __device__ is
#include "../core/overlap.h"
#include "../core/program.h"
#include "api.h"

namespace QG_NAMESPACE {
namespace {

using Word = uint32_t;

// 16 neighbouring pixels a thread where rows are whole 16-byte pieces, else one by one.
struct alignas(16) Piece {
  uint32_t part[4];
};

__device__ bool in_pieces(const void* pointer, int width) { return width % 16 == 0 && reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

__device__ uint32_t pack16(const uint8_t* from) {
  const Piece v = *reinterpret_cast<const Piece*>(from);
  uint32_t bits = 0;
  for (int k = 0; k < 4; ++k) bits |= nonzero_bytes(v.part[k]) << (4 * k);
  return bits;
}

__device__ void pack(const BlockTeam& team, const uint8_t* from, const Bits<Word>& to) {
  const int width = to.extent.width;
  const bool pieces = in_pieces(from, width);
  team.for_each(to.lines(), to.columns(), [&](int line, int c) {
    const int x = 32 * c, count = min_of(32, width - x);
    const uint8_t* const here = from + size_t(line) * width + x;
    Word word = 0;
    if (pieces) {
      word = pack16(here);
      if (count > 16) word |= pack16(here + 16) << 16;
    } else {
      for (int k = 0; k < count; ++k) word |= Word(here[k] != 0) << k;
    }
    to.column(c)[line] = word;
  });
}

__device__ void unpack(const BlockTeam& team, const Bits<Word>& from, uint8_t* to) {
  const int width = from.extent.width;
  if (in_pieces(to, width)) {
    team.for_each(from.lines(), width / 16, [&](int line, int piece) {
      const Word bits = from.column(piece / 2)[line] >> (16 * (piece % 2));
      Piece v;
      for (int k = 0; k < 4; ++k) v.part[k] = bits_to_bytes(bits >> (4 * k));
      *reinterpret_cast<Piece*>(to + size_t(line) * width + 16 * piece) = v;
    });
  } else {
    team.for_each(from.lines(), width,
                  [&](int line, int x) { to[size_t(line) * width + x] = uint8_t(from.column(x / 32)[line] >> (x % 32) & 1); });
  }
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads, 1280 / kThreads) corrupt_kernel(qg::CudaCorruptTask task) {
  QG_DYNAMIC_SHARED(Word, shared);
  const BlockTeam team;
  const Extent extent{task.depth, task.height, task.width};
  Bits<Word> plane{nullptr, extent, column_stride<Word>(extent)};
  const size_t words = plane.words(), pixels = size_t(plane.lines()) * task.width;
  Word* const memory = task.scratch ? task.scratch + size_t(blockIdx.x) * words * (task.counts ? 3 : 2) : shared;
  for (unsigned sample = blockIdx.x; sample < unsigned(task.batch); sample += gridDim.x) {
    plane.word = memory;
    Canvas<Word> canvas{plane, plane, plane};
    canvas.spare.word = memory + words;
    pack(team, task.in + sample * pixels, canvas.mask);
    if (task.counts) {
      canvas.truth.word = memory + 2 * words;
      const Canvas<Word> both = canvas;
      team.for_each(plane.columns(), plane.lines(), [=](int c, int i) { both.truth.column(c)[i] = both.mask.column(c)[i]; });
    }
    const Program* const programs = reinterpret_cast<const Program*>(task.programs ? task.programs : task.shared);
    run(team, programs[task.programs ? sample : 0], canvas);
    unpack(team, canvas.mask, task.out + sample * pixels);
    if (task.counts) {
      const Counts counts = overlap(team, canvas.mask, canvas.truth);
      if (threadIdx.x == 0) {
        int32_t* const to = task.counts + 3 * sample;
        to[0] = counts.both;
        to[1] = counts.a;
        to[2] = counts.b;
      }
    }
  }
}

struct Plan {
  int64_t plane_words;
  bool in_shared;
  int64_t blocks;
};

int make_plan(int64_t batch, int depth, int height, int width, int planes, Plan* plan) {
  const Bits<Word> plane{nullptr, {depth, height, width}, column_stride<Word>({depth, height, width})};
  plan->plane_words = plane.words();
  int device = 0, most = 0, processors = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (error != cudaSuccess) return int(error);
  const int64_t bytes = plan->plane_words * planes * int64_t(sizeof(Word));
  plan->in_shared = bytes <= most - 1024;  // the runtime and static variables take a little
  plan->blocks = plan->in_shared ? batch : batch < 2 * processors ? batch : 2 * processors;
  return 0;
}

template <int kThreads>
int launch(const qg::CudaCorruptTask& task, const Plan& plan, size_t shared_bytes, void* stream) {
  if (shared_bytes > 48 << 10) {
    const cudaError_t error =
        cudaFuncSetAttribute(corrupt_kernel<kThreads>, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
    if (error != cudaSuccess) return int(error);
  }
  QG_LAUNCH(corrupt_kernel<kThreads>, unsigned(plan.blocks), kThreads, shared_bytes, stream, task);
  return int(cudaGetLastError());
}

}  // namespace
}  // namespace QG_NAMESPACE

namespace qg {

int corrupt_scratch_words(int64_t batch, int depth, int height, int width, int planes, int64_t* words) {
  QG_NAMESPACE::Plan plan;
  const int error = QG_NAMESPACE::make_plan(batch, depth, height, width, planes, &plan);
  if (error == 0) *words = plan.in_shared ? 0 : plan.blocks * plan.plane_words * planes;
  return error;
}

int corrupt(const CudaCorruptTask& task, void* stream) {
  if (task.batch == 0) return 0;
  QG_NAMESPACE::Plan plan;
  const int planes = task.counts ? 3 : 2;
  const int error = QG_NAMESPACE::make_plan(task.batch, task.depth, task.height, task.width, planes, &plan);
  if (error != 0) return error;
  CudaCorruptTask mine = task;
  if (plan.in_shared) mine.scratch = nullptr;
  if (!plan.in_shared && task.scratch_words < plan.blocks * plan.plane_words * planes) return int(cudaErrorInvalidValue);
  const size_t shared_bytes = plan.in_shared ? size_t(plan.plane_words) * planes * sizeof(uint32_t) : 0;
  if (plan.plane_words <= 4096) return QG_NAMESPACE::launch<128>(mine, plan, shared_bytes, stream);
  return QG_NAMESPACE::launch<512>(mine, plan, shared_bytes, stream);
}

const char* error_name(int error) { return cudaGetErrorName(cudaError_t(error)); }

}  // namespace qg
