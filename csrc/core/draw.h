// The random words of the row at one position of a sample's program.
#pragma once
#include "lanes.h"
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
#ifdef QG_LANES32
  // Blocks first, first + 1, ...: one in each lane.
  QG_HD void blocks(uint32_t first, int plane, Lanes32::Vector word[4]) const {
    using L = Lanes32;
    auto &c0 = word[0], &c1 = word[1], &c2 = word[2], &c3 = word[3];
    c0 = L::add(L::ramp(), L::all(int(first)));
    c1 = L::all(int(stream + uint32_t(plane)));
    c2 = L::all(int(uint32_t(sample)));
    c3 = L::all(int(uint32_t(sample >> 32)));
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round, k0 += kPhiloxStep0, k1 += kPhiloxStep1) {
      L::Vector high0, low0, high1, low1;
      L::products(c0, L::all(int(kPhiloxFactor0)), high0, low0);
      L::products(c2, L::all(int(kPhiloxFactor1)), high1, low1);
      c0 = L::xor_of(L::xor_of(high1, c1), L::all(int(k0)));
      c2 = L::xor_of(L::xor_of(high0, c3), L::all(int(k1)));
      c1 = low1;
      c3 = low0;
    }
  }
#endif
};

}  // namespace QG_NAMESPACE
