// What kernels share that take one mask a block: bytes to bits and back, and where the bits lie. Masks that shared memory cannot hold work
// on bit planes in global memory (they stay in L2); then a few blocks take all masks in turn, so that the planes do not grow with the
// batch.
#pragma once
#include "launch.h"
// launch.h first: it says what __device__ is
#include "../core/canvas.h"
#include "../core/team.h"

namespace QG_NAMESPACE {
namespace {

using Word = uint32_t;

// 16 neighbouring pixels a thread where rows are whole 16-byte pieces, else one by one.
struct alignas(16) Piece {
  uint32_t part[4];
};

__device__ inline bool in_pieces(const void* pointer, int width) {
  return width % 16 == 0 && reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

__device__ inline uint32_t pack16(const uint8_t* from) {
  const Piece v = *reinterpret_cast<const Piece*>(from);
  uint32_t bits = 0;
  for (int k = 0; k < 4; ++k) bits |= nonzero_bytes(v.part[k]) << (4 * k);
  return bits;
}

__device__ inline void pack(const BlockTeam& team, const uint8_t* from, const Bits<Word>& to) {
  const int width = to.extent.width;
  const bool pieces = in_pieces(from, width);
  team.for_each(to.lines(), to.columns(), [&](int line, int c) {
    const int x = 32 * c, count = min_of(32, width - x);
    const uint8_t* const here = from + size_t(line) * width + x;
    Word word = 0;
    if (pieces) {
      word = pack16(here);
      if (count > 16) word |= pack16(here + 16) << 16;
    } else {
      for (int k = 0; k < count; ++k) word |= Word(here[k] != 0) << k;
    }
    to.column(c)[line] = word;
  });
}

// One by one, to numbers of any kind: `one` is the kind's 1, and 0 is all zeros.
template <class Number>
__device__ void unpack_numbers(const BlockTeam& team, const Bits<Word>& from, Number* to, Number one) {
  const int width = from.extent.width;
  team.for_each(from.lines(), width,
                [&](int line, int x) { to[size_t(line) * width + x] = Number((from.column(x / 32)[line] >> (x % 32) & 1) * one); });
}

__device__ inline void unpack(const BlockTeam& team, const Bits<Word>& from, uint8_t* to) {
  const int width = from.extent.width;
  if (!in_pieces(to, width)) return unpack_numbers(team, from, to, uint8_t(1));
  team.for_each(from.lines(), width / 16, [&](int line, int piece) {
    const Word bits = from.column(piece / 2)[line] >> (16 * (piece % 2));
    Piece v;
    for (int k = 0; k < 4; ++k) v.part[k] = bits_to_bytes(bits >> (4 * k));
    *reinterpret_cast<Piece*>(to + size_t(line) * width + 16 * piece) = v;
  });
}

__host__ __device__ inline size_t plane_words(const Extent& extent) {
  return size_t(Bits<Word>{nullptr, extent, column_stride<Word>(extent)}.words());
}

// Where the blocks work: in shared memory where that holds what one needs.
struct Plan {
  bool in_shared;
  int64_t blocks, words;  // words of scratch in all

  size_t shared(size_t bytes) const { return in_shared ? bytes : 0; }
};

// `bytes` a block; an error where `there` words of scratch are too few.
inline int make_plan(int64_t batch, size_t bytes, int64_t there, Plan* plan) {
  int device = 0, most = 0, processors = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (error != cudaSuccess) return int(error);
  plan->in_shared = bytes + 1024 <= size_t(most);  // the runtime and static variables take a little
  plan->blocks = plan->in_shared ? batch : batch < 2 * processors ? batch : 2 * processors;
  plan->words = plan->in_shared ? 0 : plan->blocks * int64_t(bytes / sizeof(Word));
  return there < plan->words ? int(cudaErrorInvalidValue) : 0;
}

inline int scratch_words(int64_t batch, size_t bytes, int64_t* words) {
  Plan plan;
  const int error = make_plan(batch, bytes, INT64_MAX, &plan);
  if (error == 0) *words = plan.words;
  return error;
}

// Shared memory of more than 48 KB has to be asked for.
template <class Kernel>
int ask_shared(Kernel kernel, size_t bytes) {
  return bytes > 48 << 10 ? int(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes))) : 0;
}

}  // namespace
}  // namespace QG_NAMESPACE
