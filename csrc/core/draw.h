// The random words of the row at one position of a sample's program.
#pragma once
#include "philox.h"

namespace QG_NAMESPACE {

// A whole number in [low, high], both included; for fixed-point bounds a fixed-point uniform.
QG_HD int64_t between(uint32_t word, int64_t low, int64_t high) { return low + int64_t((uint64_t(word) * uint64_t(high - low + 1)) >> 32); }
// A whole number in [0, n), n up to 2^32.
QG_HD int64_t below(uint32_t word, int64_t n) { return int64_t((uint64_t(word) * uint64_t(n)) >> 32); }

// Plane 0 holds the row's arguments, planes 1 .. 15 its pixels and lattices.
struct Draw {
  uint64_t seed, sample;
  uint32_t stream;  // 16 (position + 1)

  QG_HD Words4 block(uint32_t block, int plane = 0) const { return philox(block, stream + uint32_t(plane), sample, seed); }
  QG_HD uint32_t word(int i, int plane = 0) const { return block(uint32_t(i) / 4, plane).word[i % 4]; }
};

}  // namespace QG_NAMESPACE
