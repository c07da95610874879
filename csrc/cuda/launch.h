// The pieces of CUDA's syntax that no header can imitate for the run of the same file on a CPU in tests.
#pragma once
#ifdef QG_CUDA_ON_CPU
#include "cuda_on_cpu.h"
#define QG_DYNAMIC_SHARED(T, name) T* const name = reinterpret_cast<T*>(cuda_on_cpu::dynamic_shared())
#define QG_PARAMETER const
#define QG_PHASE static __attribute__((noinline))
#else
#define QG_DYNAMIC_SHARED(T, name)                            \
  extern __shared__ __align__(16) unsigned char name##_raw[]; \
  T* const name = reinterpret_cast<T*>(name##_raw)
#define QG_PARAMETER const __grid_constant__
#define QG_PHASE static __device__ __noinline__
#endif
// QG_PHASE: a function of its own (see QG_ROW). A kernel has its plain name in the object, so that it is found by that. Its parameters may
// be passed on by reference without a copy.
#define QG_KERNEL extern "C" __global__ void
