// Overlap of two masks straight from their bytes, one block for each mask and class.
#include "launch.h"
// launch.h first: it says what __device__ is
#include "../core/bits.h"
#include "../core/team.h"
#include "api.h"

namespace QG_NAMESPACE {
namespace {

constexpr int kThreads = 256;

// Bits 0..3: the bytes of v that belong to the class.
template <bool kBinary>
__device__ uint32_t members(uint32_t v, int label) {
  return kBinary ? nonzero_bytes(v) : nonzero_bytes(v ^ (uint32_t(label) * 0x01010101u)) ^ 15u;
}

__device__ uint32_t load4(const uint8_t* from, bool aligned) {
  if (aligned) return *reinterpret_cast<const uint32_t*>(from);
  return from[0] | uint32_t(from[1]) << 8 | uint32_t(from[2]) << 16 | uint32_t(from[3]) << 24;
}

template <bool kBinary>
__global__ void __launch_bounds__(kThreads)
    overlap_kernel(const uint8_t* a, const uint8_t* b, int32_t* counts, int classes, int64_t pixels) {
  const int64_t sample = blockIdx.x / (classes - 1);
  const int label = 1 + int(blockIdx.x % (classes - 1));
  a += sample * pixels;
  b += sample * pixels;
  const bool aligned = (reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b)) % 4 == 0;
  const int quads = int(pixels / 4);
  int both = 0, in_a = 0, in_b = 0;
  for (int i = threadIdx.x; i < quads; i += kThreads) {
    const uint32_t x = members<kBinary>(load4(a + 4 * size_t(i), aligned), label);
    const uint32_t y = members<kBinary>(load4(b + 4 * size_t(i), aligned), label);
    both += count_ones(x & y);
    in_a += count_ones(x);
    in_b += count_ones(y);
  }
  for (int64_t i = 4 * int64_t(quads) + threadIdx.x; i < pixels; i += kThreads) {  // the last bytes, at most three
    const bool x = kBinary ? a[i] != 0 : a[i] == label, y = kBinary ? b[i] != 0 : b[i] == label;
    both += x && y;
    in_a += x;
    in_b += y;
  }
  const BlockTeam team;
  const int mine[3] = {both, in_a, in_b};
  for (int k = 0; k < 3; ++k) {
    const int total = team.sum(kThreads, 1, [&](int, int) { return mine[k]; });
    if (threadIdx.x == 0) counts[3 * size_t(blockIdx.x) + k] = total;
  }
}

}  // namespace
}  // namespace QG_NAMESPACE

namespace qg {

int overlap(const OverlapTask& task, void* stream) {
  using namespace QG_NAMESPACE;
  if (task.batch == 0) return 0;
  const unsigned blocks = unsigned(task.batch * (task.classes - 1));
  if (task.classes == 2)
    QG_LAUNCH(overlap_kernel<true>, blocks, kThreads, 0, stream, task.a, task.b, task.counts, task.classes, task.pixels);
  else
    QG_LAUNCH(overlap_kernel<false>, blocks, kThreads, 0, stream, task.a, task.b, task.counts, task.classes, task.pixels);
  return int(cudaGetLastError());
}

}  // namespace qg
