// One spelling of a launch for nvcc and for the run of the same file on a CPU in tests: <<<>>> is the one piece of CUDA's syntax that no
// header can imitate.
#pragma once
#ifdef QG_CUDA_ON_CPU
#include "cuda_on_cpu.h"
#define QG_LAUNCH(kernel, grid, block, shared, stream, ...) \
  (void)(stream), cuda_on_cpu::launch(grid, block, shared, [=] { kernel(__VA_ARGS__); })
#define QG_DYNAMIC_SHARED(T, name) T* const name = reinterpret_cast<T*>(cuda_on_cpu::dynamic_shared())
#else
#include <cuda_runtime.h>
#define QG_LAUNCH(kernel, grid, block, shared, stream, ...) kernel<<<grid, block, shared, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#define QG_DYNAMIC_SHARED(T, name)                            \
  extern __shared__ __align__(16) unsigned char name##_raw[]; \
  T* const name = reinterpret_cast<T*>(name##_raw)
#endif
