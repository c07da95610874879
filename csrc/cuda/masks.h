// What kernels share that take one mask a block: bytes to bits and back, where the bits lie, and who takes which mask. Planes that shared
// memory cannot hold lie in global memory, where they stay in L2; then no more blocks run than fit on the GPU at once and each takes one
// mask after the other, so that the planes do not grow with the batch.
#pragma once
#include "launch.h"
// launch.h first: it says what __device__ is
#include "../core/canvas.h"
#include "../core/team.h"
#include "work.h"

namespace QG_NAMESPACE {
namespace {

using Word = uint32_t;

// 16 bytes at once, where rows are made of such pieces.
struct alignas(16) Piece {
  uint32_t part[4];
};

template <class Number>
__device__ inline bool in_pieces(const Number* pointer, int width) {
  return width % (16 / int(sizeof(Number))) == 0 && reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

// Bits 0 .. 3: which bytes of v belong to the class; label 0: which are not 0.
__device__ inline uint32_t members(uint32_t v, unsigned label) {
  return label == 0 ? nonzero_bytes(v) : nonzero_bytes(v ^ (label * 0x01010101u)) ^ 15u;
}

__device__ inline uint32_t pack16(const uint8_t* from, unsigned label) {
  const Piece v = *reinterpret_cast<const Piece*>(from);
  uint32_t bits = 0;
  for (int k = 0; k < 4; ++k) bits |= members(v.part[k], label) << (4 * k);
  return bits;
}

// label 0: where bytes are not 0, else where they are the label.
__device__ inline void pack(const BlockTeam& team, const uint8_t* from, unsigned label, const Bits<Word>& to) {
  const int width = to.extent.width;
  const bool pieces = in_pieces(from, width);
  team.for_each(to.lines(), to.columns(), [&](int line, int c) {
    const int x = 32 * c, count = min_of(32, width - x);
    const uint8_t* const here = from + size_t(line) * width + x;
    Word word = 0;
    if (pieces) {
      word = pack16(here, label);
      if (count > 16) word |= pack16(here + 16, label) << 16;
    } else {
      for (int k = 0; k < count; ++k) word |= Word(label == 0 ? here[k] != 0 : here[k] == label) << k;
    }
    to.column(c)[line] = word;
  });
}

// To numbers of any kind: `one` is the kind's 1, and 0 is all zeros. 16 bytes a thread where rows are made of such, else one by one.
template <class Number>
__device__ void unpack(const BlockTeam& team, const Bits<Word>& from, Number* to, Number one) {
  constexpr int kPer = 16 / int(sizeof(Number)), kPart = 4 / int(sizeof(Number));
  const int width = from.extent.width;
  if (in_pieces(to, width)) {
    team.for_each(from.lines(), width / kPer, [&](int line, int piece) {
      const Word bits = from.column(piece * kPer / 32)[line] >> (piece * kPer % 32);
      Piece v;
      for (int k = 0; k < 4; ++k) {
        const uint32_t here = bits >> (k * kPart);
        // Each bit in the lowest place of its number, times the 1.
        v.part[k] = kPart == 4   ? bits_to_bytes(here) * one
                    : kPart == 2 ? ((here & 1) | (here & 2) << 15) * uint32_t(one)
                                 : (here & 1) * uint32_t(one);
      }
      *reinterpret_cast<Piece*>(to + size_t(line) * width + kPer * piece) = v;
    });
  } else {
    team.for_each(from.lines(), width,
                  [&](int line, int x) { to[size_t(line) * width + x] = Number((from.column(x / 32)[line] >> (x % 32) & 1) * one); });
  }
}
__device__ inline void unpack(const BlockTeam& team, const Bits<Word>& from, uint8_t* to) { unpack(team, from, to, uint8_t(1)); }

// A block's planes of `words` words each, and its arena.
struct Room {
  Planes<Word> planes;
  int32_t* arena;
};

__device__ inline Room room_of(const qg::Work& work, Word* shared, size_t words) {
  Word* const far = work.scratch ? work.scratch + qg::kCounterWords + size_t(blockIdx.x) * size_t(work.words) : nullptr;
  const size_t behind = (work.near_arena ? size_t(work.near_count) : size_t(work.planes - work.near_count)) * words;
  Word* const arena = (work.near_arena ? shared : far) + behind + behind % 2;
  return {{shared, far, work.near_count}, reinterpret_cast<int32_t*>(arena)};
}

// f(sample) for the masks that this block takes: that of its own number, then whichever is next.
template <class F>
__device__ __forceinline__ void for_samples(const BlockTeam& team, const qg::Work& work, int64_t batch, F f) {
  __shared__ unsigned next;
  for (unsigned sample = blockIdx.x; sample < batch; sample = next) {
    f(sample);
    if (gridDim.x >= batch) return;
    team.one([&] { next = gridDim.x + atomicAdd(work.scratch, 1u); });
  }
}

}  // namespace
}  // namespace QG_NAMESPACE
