// Runs CUDA kernels on the CPU, for tests: a fiber for each CUDA thread, one block after the other. Covers what the kernels use: shared
// memory, __syncthreads, __shfl_xor_sync, atomicAdd. A thread that leaves or skips a barrier which others wait at, and a write behind the
// dynamic shared memory, end the process with a message; shared memory starts as garbage.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

typedef int cudaError_t;
enum { cudaSuccess = 0, cudaErrorInvalidValue = 1 };
enum { cudaDevAttrMaxSharedMemoryPerBlockOptin, cudaDevAttrMultiProcessorCount, cudaFuncAttributeMaxDynamicSharedMemorySize };

struct Index3 {
  unsigned x, y = 0, z = 0;
};

namespace cuda_on_cpu {

inline int shared_limit = 227 << 10, processors = 2;  // what the attributes tell; tests change them

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool ended;
  int waits;
};
constexpr size_t kStack = 128 << 10, kCanary = 64;
constexpr char kGarbage = char(0xCD), kUntouched = char(0x5A);

inline std::vector<Fiber> fibers;
inline std::vector<char> dynamic;
inline std::function<void()> body;
inline ucontext_t scheduler;
inline unsigned current, block, threads, blocks;
inline uint64_t exchanged[1024];

inline void require(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "cuda_on_cpu: block %u thread %u: %s\n", block, current, what);
  abort();
}
inline void* dynamic_shared() { return dynamic.data(); }
inline void wait() {
  ++fibers[current].waits;
  swapcontext(&fibers[current].context, &scheduler);
}
inline void enter() {
  body();
  fibers[current].ended = true;
  swapcontext(&fibers[current].context, &scheduler);
}

#pragma GCC diagnostic ignored "-Wclobbered"  // gcc takes getcontext for a setjmp

inline void run_block(size_t shared) {
  memset(dynamic.data(), kGarbage, shared);
  memset(dynamic.data() + shared, kUntouched, kCanary);
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& fiber = fibers[i];
    if (!fiber.stack) fiber.stack.reset(new char[kStack]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    fiber.ended = false;
    fiber.waits = 0;
    makecontext(&fiber.context, enter, 0);
  }
  bool running = true;
  for (unsigned round = 0; running; ++round) {  // each round takes every thread to its next barrier or to its end, in turns from both ends
    for (unsigned i = 0; i < threads; ++i) {
      current = round % 2 ? threads - 1 - i : i;
      swapcontext(&scheduler, &fibers[current].context);
    }
    for (current = 0; current < threads; ++current)
      require(fibers[current].ended == fibers[0].ended && fibers[current].waits == fibers[0].waits, "not at the barrier of the others");
    running = !fibers[0].ended;
  }
  for (size_t i = 0; i < kCanary; ++i) require(dynamic[shared + i] == kUntouched, "wrote behind the shared memory");
}

template <class F>
void launch(unsigned grid, unsigned block_size, size_t shared, F f) {
  require(grid >= 1 && block_size >= 1 && block_size <= 1024 && shared <= size_t(shared_limit), "cannot be launched");
  body = f;
  threads = block_size;
  blocks = grid;
  dynamic.resize(shared + kCanary);
  if (fibers.size() < threads) fibers.resize(threads);
  for (block = 0; block < grid; ++block) run_block(shared);
}

}  // namespace cuda_on_cpu

#define threadIdx (Index3{cuda_on_cpu::current})
#define blockIdx (Index3{cuda_on_cpu::block})
#define blockDim (Index3{cuda_on_cpu::threads})
#define gridDim (Index3{cuda_on_cpu::blocks})

inline void __syncthreads() { cuda_on_cpu::wait(); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
  memcpy(&cuda_on_cpu::exchanged[cuda_on_cpu::current], &value, sizeof value);
  cuda_on_cpu::wait();
  T other;
  memcpy(&other, &cuda_on_cpu::exchanged[cuda_on_cpu::current ^ unsigned(lanes)], sizeof other);
  cuda_on_cpu::wait();
  return other;
}
template <class T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to += value;
  return before;
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorName(cudaError_t) { return "error"; }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0; }
inline cudaError_t cudaDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? cuda_on_cpu::processors : cuda_on_cpu::shared_limit;
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel, int, int bytes) {
  return bytes <= cuda_on_cpu::shared_limit ? cudaSuccess : cudaErrorInvalidValue;
}
