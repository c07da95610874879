// What drivers share that take masks one by one: OpenMP over masks.
#pragma once
#include <omp.h>

#include "../core/canvas.h"
#include "api.h"
#include "pixels.h"

namespace QG_NAMESPACE {

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
  const int64_t share = batch / (32 * threads), chunk = share > 1 ? share : 1;  // masks differ much in their work
  int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
  {
    void* const memory = qg::scratch(bytes);
    failed = memory ? 0 : 1;
#pragma omp for schedule(dynamic, chunk)
    for (int64_t sample = 0; sample < batch; ++sample)
      if (memory) f(sample, memory);
  }
  return failed;
}

}  // namespace QG_NAMESPACE
