// A team of workers shares one mask. for_each runs an index range to completion and ends in a barrier, so that a kernel written with it has
// no barrier to forget; within one for_each no order may be relied on. Three teams: one CPU thread, one CUDA block, and (tests) one thread
// in shuffled order, in which a race shows without a GPU.
#pragma once
#include "common.h"

namespace QG_NAMESPACE {

#ifndef __CUDACC__

#define QG_ANY_ORDER _Pragma("GCC ivdep")  // no iteration of a for_each reads what another writes

struct SerialTeam {
  template <class F>
  QG_HD void for_each(int n, F f) const {
    QG_ANY_ORDER for (int i = 0; i < n; ++i) f(i);
  }
  // f(o, i) for all o < outer, i < inner; neighbours in i are neighbours in memory.
  template <class F>
  QG_HD void for_each(int outer, int inner, F f) const {
    for (int o = 0; o < outer; ++o) {
      QG_ANY_ORDER for (int i = 0; i < inner; ++i) f(o, i);
    }
  }
  // f(o, i, i >= reach, i + reach < inner): apart from the ends of a line both are constants, and the middle becomes vector code.
  template <class F>
  QG_HD void for_each_within(int outer, int inner, int reach, F f) const {
    for (int o = 0; o < outer; ++o) {
      const int begin = min_of(reach, inner), end = inner - reach;
      for (int i = 0; i < begin; ++i) f(o, i, false, i < end);
      QG_ANY_ORDER for (int i = begin; i < end; ++i) f(o, i, true, true);
      for (int i = begin > end ? begin : end; i < inner; ++i) f(o, i, true, false);
    }
  }
  // The total of f(o, i), int or int64_t as f has it.
  template <class F>
  QG_HD auto sum(int outer, int inner, F f) const -> decltype(f(0, 0)) {
    decltype(f(0, 0)) total = 0;
    for (int o = 0; o < outer; ++o)
      for (int i = 0; i < inner; ++i) total += f(o, i);
    return total;
  }
  // One worker runs f while the others wait: for outlines and other rare work that goes from step to step.
  template <class F>
  QG_HD void one(F f) const {
    f();
  }
};

#else

__device__ __forceinline__ void add_atomically(int* to, int value) { atomicAdd(to, value); }
__device__ __forceinline__ void add_atomically(int64_t* to, int64_t value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}

struct BlockTeam {
  template <class F>
  __device__ __forceinline__ void for_each(int n, F f) const {
    for (int i = threadIdx.x; i < n; i += blockDim.x) f(i);
    __syncthreads();
  }
  template <class F>
  __device__ __forceinline__ void for_each(int outer, int inner, F f) const {
    walk(outer, inner, f);
    __syncthreads();
  }
  template <class F>
  __device__ __forceinline__ void for_each_within(int outer, int inner, int reach, F f) const {
    for_each(outer, inner, [&](int o, int i) { f(o, i, i >= reach, i + reach < inner); });
  }
  // The total over all o < outer, i < inner, known to every thread. The order of the additions varies: integers only.
  template <class F>
  __device__ __forceinline__ auto sum(int outer, int inner, F f) const -> decltype(f(0, 0)) {
    using Number = decltype(f(0, 0));
    __shared__ Number total;
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    Number mine = 0;
    walk(outer, inner, [&](int o, int i) { mine += f(o, i); });
    for (int lanes = 16; lanes; lanes >>= 1) mine += __shfl_xor_sync(~0u, mine, lanes);
    if (threadIdx.x % 32 == 0) add_atomically(&total, mine);
    __syncthreads();
    const Number result = total;
    __syncthreads();  // nobody may reset the total before everybody has read it
    return result;
  }
  template <class F>
  __device__ __forceinline__ void one(F f) const {
    if (threadIdx.x == 0) f();
    __syncthreads();
  }

 private:
  // This thread's share of the pairs (o, i); neighbouring threads take neighbouring i. Two divisions, however many pairs.
  template <class F>
  __device__ __forceinline__ static void walk(int outer, int inner, F f) {
    const int step = blockDim.x, outer_step = step / inner, inner_step = step % inner;
    int o = int(threadIdx.x) / inner, i = int(threadIdx.x) % inner;
    while (o < outer) {
      f(o, i);
      o += outer_step;
      i += inner_step;
      if (i >= inner) {
        i -= inner;
        ++o;
      }
    }
  }
};

#endif

}  // namespace QG_NAMESPACE
