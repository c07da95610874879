// Runs CUDA kernels on the CPU, for tests: a fiber for each CUDA thread, one block after the other. Covers what the kernels use: shared
// memory, __syncthreads, shuffles, __ballot_sync, __syncwarp, atomicAdd. A thread that leaves or skips a barrier which others of its block
// (or of its warp) wait at, and a write behind the dynamic shared memory, end the process with a message; shared memory starts as garbage.
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

struct Index3 {
  unsigned x, y = 0, z = 0;
};

namespace cuda_on_cpu {

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  enum State { kAtWarp, kAtBlock, kEnded } state;
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
inline void leave(Fiber::State state) {
  fibers[current].state = state;
  swapcontext(&fibers[current].context, &scheduler);
}
inline void wait() { leave(Fiber::kAtBlock); }
inline void wait_for_warp() { leave(Fiber::kAtWarp); }
inline void enter() {
  body();
  leave(Fiber::kEnded);
}

#pragma GCC diagnostic ignored "-Wclobbered"  // gcc takes getcontext for a setjmp

// Takes the threads of a warp to the block's next barrier or to their end.
inline void run_warp(unsigned first, bool backwards) {
  do {
    for (unsigned i = 0; i < 32; ++i) {
      current = first + (backwards ? 31 - i : i);
      swapcontext(&scheduler, &fibers[current].context);
    }
    for (current = first; current < first + 32; ++current) require(fibers[current].state == fibers[first].state, "not where its warp is");
  } while (fibers[first].state == Fiber::kAtWarp);
}

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
    makecontext(&fiber.context, enter, 0);
  }
  bool running = true;
  for (unsigned round = 0; running; ++round) {  // each round takes every thread to its next barrier or to its end, in turns from both ends
    for (unsigned w = 0; w < threads / 32; ++w) run_warp(32 * (round % 2 ? threads / 32 - 1 - w : w), round % 2);
    for (current = 0; current < threads; ++current) require(fibers[current].state == fibers[0].state, "not at the barrier of the others");
    running = fibers[0].state != Fiber::kEnded;
  }
  for (size_t i = 0; i < kCanary; ++i) require(dynamic[shared + i] == kUntouched, "wrote behind the shared memory");
}

template <class F>
void launch(unsigned grid, unsigned block_size, size_t shared, F f) {
  require(grid >= 1 && block_size >= 32 && block_size % 32 == 0 && block_size <= 1024, "cannot be launched");
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
  cuda_on_cpu::wait_for_warp();
  T other;
  memcpy(&other, &cuda_on_cpu::exchanged[cuda_on_cpu::current ^ unsigned(lanes)], sizeof other);
  cuda_on_cpu::wait_for_warp();
  return other;
}
inline void __syncwarp() { cuda_on_cpu::wait_for_warp(); }
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  memcpy(&cuda_on_cpu::exchanged[cuda_on_cpu::current], &value, sizeof value);
  cuda_on_cpu::wait_for_warp();
  T other;
  memcpy(&other, &cuda_on_cpu::exchanged[cuda_on_cpu::current / 32 * 32 + unsigned(lane)], sizeof other);
  cuda_on_cpu::wait_for_warp();
  return other;
}
inline unsigned __ballot_sync(unsigned, bool holds) {
  cuda_on_cpu::exchanged[cuda_on_cpu::current] = holds;
  cuda_on_cpu::wait_for_warp();
  unsigned found = 0;
  for (unsigned k = 0; k < 32; ++k) found |= unsigned(cuda_on_cpu::exchanged[cuda_on_cpu::current / 32 * 32 + k]) << k;
  cuda_on_cpu::wait_for_warp();
  return found;
}
template <class T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to += value;
  return before;
}
