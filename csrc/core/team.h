// A team of workers shares one mask. for_each runs an index range to completion and ends in a barrier, so that a kernel written with it has
// no barrier to forget; within one for_each no order may be relied on. Three teams: one CPU thread, one CUDA block, and (tests) one thread
// in shuffled order, in which a race shows without a GPU.
#pragma once
#include "common.h"

namespace QG_NAMESPACE {

// A largest value, and the first place that has it.
struct Most {
  int value, at;
};

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
  // The same for a whole number, which all then know.
  template <class F>
  QG_HD int told(F f) const {
    return f();
  }
  // f(a team) for what goes from step to step with many corners a step: by as many workers as can keep step cheaply, while the others wait.
  template <class F>
  QG_HD void few(F f) const {
    f(*this);
  }
  // Of f(i) >= 0, begin <= i < end; -1 where there are none.
  template <class F>
  QG_HD Most most(int begin, int end, F f) const {
    Most found{-1, begin};
    for (int i = begin; i < end; ++i) found.value = max_of(found.value, f(i));
    while (found.at < end && f(found.at) != found.value) ++found.at;
    return found;
  }
  // f(i, total) adds to the totals, for all i < n.
  template <int kTotals, class F>
  QG_HD void totals(int n, int64_t (&total)[kTotals], F f) const {
    for (int i = 0; i < n; ++i) f(i, total);
  }
};

#else

__device__ __forceinline__ void add_atomically(int* to, int value) { atomicAdd(to, value); }
__device__ __forceinline__ void add_atomically(int64_t* to, int64_t value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}

// The first warp of a block, which keeps step without barriers of the block.
struct WarpTeam {
  template <class F>
  __device__ __forceinline__ void for_each(int n, F f) const {
    for (int i = threadIdx.x; i < n; i += 32) f(i);
    __syncwarp();
  }
  template <class F>
  __device__ __forceinline__ void one(F f) const {
    if (threadIdx.x == 0) f();
    __syncwarp();
  }
  template <class F>
  __device__ __forceinline__ int told(F f) const {
    int found = 0;
    one([&] { found = f(); });
    return __shfl_sync(~0u, found, 0);
  }
  template <class F>
  __device__ __forceinline__ Most most(int begin, int end, F f) const {
    Most found{-1, begin};
    for (int i = begin + int(threadIdx.x); i < end; i += 32) {
      const int value = f(i);
      if (value > found.value) found = {value, i};
    }
    for (int lanes = 16; lanes; lanes >>= 1) {
      const Most other{__shfl_xor_sync(~0u, found.value, lanes), __shfl_xor_sync(~0u, found.at, lanes)};
      if (other.value > found.value || (other.value == found.value && other.at < found.at)) found = other;
    }
    return found;
  }
  template <int kTotals, class F>
  __device__ __forceinline__ void totals(int n, int64_t (&total)[kTotals], F f) const {
    int64_t mine[kTotals] = {};
    for (int i = threadIdx.x; i < n; i += 32) f(i, mine);
    for (int k = 0; k < kTotals; ++k) {
      for (int lanes = 16; lanes; lanes >>= 1) mine[k] += __shfl_xor_sync(~0u, mine[k], lanes);
      total[k] += mine[k];
    }
  }
};

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
  // f(i, x) for i < n and x < 32, by one warp all x of an i, so that its threads may vote.
  template <class F>
  __device__ __forceinline__ void for_each_word(int n, F f) const {
    for (int i = int(threadIdx.x) / 32; i < n; i += int(blockDim.x) / 32) f(i, int(threadIdx.x) % 32);
    __syncthreads();
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
  template <class F>
  __device__ __forceinline__ void few(F f) const {
    if (threadIdx.x < 32) f(WarpTeam{});
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
