// What drivers share that take masks one by one: OpenMP over masks.
#pragma once
#include <omp.h>

#include "../core/canvas.h"
#include "api.h"
#include "pixels.h"

namespace QG_NAMESPACE {

// Hands a batch out to threads. Each has a stretch of its own, which is the same in the next call, so that its cache may still hold it, and
// takes runs of neighbours (a mask's reader brings the next one near) that become shorter towards the end, since masks differ much in
// their work; then it helps the others.
class Runs {
 public:
  Runs(int64_t batch, int threads) : stretches_(threads < kMost ? threads : kMost), least_(batch / (32 * threads) + 1) {
    for (int k = 0; k < stretches_; ++k) stretch_[k] = {batch * k / stretches_, batch * (k + 1) / stretches_};
  }

  // The next run's masks for a thread are first .. end; false where none are left.
  bool take(int thread, int64_t& first, int64_t& end) {
    for (int k = 0; k < stretches_; ++k) {
      Stretch& from = stretch_[(thread + k) % stretches_];
      first = __atomic_load_n(&from.next, __ATOMIC_RELAXED);
      while (first < from.end) {
        const int64_t left = from.end - first, share = left / 8, run = share > least_ ? share : least_;
        end = run < left ? first + run : from.end;
        if (__atomic_compare_exchange_n(&from.next, &first, end, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return true;
      }
    }
    return false;
  }

 private:
  static constexpr int kMost = 64;
  struct alignas(64) Stretch {  // a cache line's, so that threads do not wait for each other's
    int64_t next, end;
  };
  Stretch stretch_[kMost];
  const int stretches_;
  const int64_t least_;
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
    while (memory && runs.take(omp_get_thread_num(), first, end))
      for (int64_t sample = first; sample < end; ++sample) f(sample, memory);
  }
  return failed;
}

}  // namespace QG_NAMESPACE
