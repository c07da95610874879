// Overlap of two masks straight from their bytes, one block for each mask and class.
#include "launch.h"
// launch.h first: it says what __device__ is
#include "../core/bits.h"
#include "../core/team.h"
#include "../task.h"
#include "masks.h"

namespace QG_NAMESPACE {
namespace {

__device__ uint32_t load4(const uint8_t* from, bool aligned) {
  if (aligned) return *reinterpret_cast<const uint32_t*>(from);
  return from[0] | uint32_t(from[1]) << 8 | uint32_t(from[2]) << 16 | uint32_t(from[3]) << 24;
}

struct Overlap {
  int both, a, b;

  __device__ void add(uint32_t x, uint32_t y) {
    both += count_ones(x & y);
    a += count_ones(x);
    b += count_ones(y);
  }
};

}  // namespace
}  // namespace QG_NAMESPACE

using namespace QG_NAMESPACE;

QG_KERNEL __launch_bounds__(256) qg_overlap(QG_PARAMETER qg::OverlapTask task) {
  const BlockTeam team;
  const int64_t sample = blockIdx.x / (task.classes - 1);
  const unsigned label = task.classes == 2 ? 0 : 1 + blockIdx.x % (task.classes - 1);
  const uint8_t *const a = task.a + sample * task.pixels, *const b = task.b + sample * task.pixels;
  const uintptr_t places = reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b);
  const int pieces = places % 16 == 0 ? int(task.pixels / 16) : 0, quads = int(task.pixels / 4);
  Overlap mine{0, 0, 0};
  for (int i = threadIdx.x; i < pieces; i += blockDim.x) mine.add(pack16(a + 16 * size_t(i), label), pack16(b + 16 * size_t(i), label));
  for (int i = 4 * pieces + threadIdx.x; i < quads; i += blockDim.x)
    mine.add(members(load4(a + 4 * size_t(i), places % 4 == 0), label), members(load4(b + 4 * size_t(i), places % 4 == 0), label));
  for (int64_t i = 4 * int64_t(quads) + threadIdx.x; i < task.pixels; i += blockDim.x)  // the last bytes, at most three
    mine.add(label == 0 ? a[i] != 0 : a[i] == label, label == 0 ? b[i] != 0 : b[i] == label);
  const int parts[3] = {mine.both, mine.a, mine.b};
  for (int k = 0; k < 3; ++k) {
    const int total = team.sum(blockDim.x, 1, [&](int, int) { return parts[k]; });
    if (threadIdx.x == 0) task.counts[3 * size_t(blockIdx.x) + k] = total;
  }
}
