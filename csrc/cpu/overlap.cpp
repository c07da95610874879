// Overlap of two masks straight from their bytes.
#include <omp.h>

#include "../core/bits.h"
#include "api.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

void count_binary(const uint8_t* a, const uint8_t* b, int64_t pixels, int32_t* counts) {
  int both = 0, in_a = 0, in_b = 0;
  for (int64_t i = 0; i < pixels; i += 64) {
    const int here = pixels - i < 64 ? int(pixels - i) : 64;
    const uint64_t x = pack64(a + i, here), y = pack64(b + i, here);
    both += count_ones(x & y);
    in_a += count_ones(x);
    in_b += count_ones(y);
  }
  counts[0] = both;
  counts[1] = in_a;
  counts[2] = in_b;
}

void count_labels(const uint8_t* a, const uint8_t* b, int64_t pixels, int classes, int32_t* counts) {
  int32_t both[256] = {}, in_a[256] = {}, in_b[256] = {};
  for (int64_t i = 0; i < pixels; ++i) {
    ++in_a[a[i]];
    ++in_b[b[i]];
    both[a[i]] += a[i] == b[i];
  }
  for (int label = 1; label < classes; ++label, counts += 3) {
    counts[0] = both[label];
    counts[1] = in_a[label];
    counts[2] = in_b[label];
  }
}

}  // namespace

int overlap(const qg::OverlapTask& task) {
  const int threads = task.batch < task.threads ? int(task.batch) : task.threads;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int64_t sample = 0; sample < task.batch; ++sample) {
    const uint8_t* const a = task.a + size_t(sample) * task.pixels;
    const uint8_t* const b = task.b + size_t(sample) * task.pixels;
    int32_t* const counts = task.counts + 3 * sample * (task.classes - 1);
    if (task.classes == 2)
      count_binary(a, b, task.pixels, counts);
    else
      count_labels(a, b, task.pixels, task.classes, counts);
  }
  return 0;
}

}  // namespace QG_NAMESPACE
