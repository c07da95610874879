// What drivers share that take masks one by one: OpenMP over masks.
#pragma once
#include <omp.h>

#include "../core/canvas.h"
#include "api.h"
#include "pixels.h"

namespace QG_NAMESPACE {

// Hands a batch out to threads in runs of neighbours (a mask's reader brings the next one near) that become shorter towards the end, since
// masks differ much in their work.
class Runs {
 public:
  Runs(int64_t batch, int threads) : batch_(batch), threads_(threads) {}

  // The next run's masks are first .. end; false where none are left.
  bool take(int64_t& first, int64_t& end) {
    first = __atomic_load_n(&next_, __ATOMIC_RELAXED);
    do {
      const int64_t left = batch_ - first, share = left / (8 * threads_), least = batch_ / (32 * threads_) + 1;
      if (left <= 0) return false;
      const int64_t run = share > least ? share : least;
      end = run < left ? first + run : batch_;
    } while (!__atomic_compare_exchange_n(&next_, &first, end, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
  }

 private:
  const int64_t batch_;
  const int threads_;
  int64_t next_ = 0;
};

// Calls f(sample, memory) for each sample, `memory` of `bytes` bytes being its thread's own. 1 where there is no memory.
template <class F>
static int for_masks(int64_t batch, int wanted_threads, size_t bytes, F f) {
  const int threads = batch < wanted_threads ? int(batch) : wanted_threads;
  if (threads <= 1) {
    void* const memory = qg::scratch(bytes);
    if (!memory) return 1;
    for (int64_t sample = 0; sample < batch; ++sample) f(sample, memory);
    return 0;
  }
  Runs runs(batch, threads);
  int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
  {
    void* const memory = qg::scratch(bytes);
    int64_t first, end;
    failed = memory ? 0 : 1;
    while (memory && runs.take(first, end))
      for (int64_t sample = first; sample < end; ++sample) f(sample, memory);
  }
  return failed;
}

}  // namespace QG_NAMESPACE
