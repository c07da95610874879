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
  // Blocks first, first + 1, ...: one in each lane. Those with even and those with odd numbers are computed apart, a block in 64 bits whose
  // higher halves do not matter: then a product is one instruction, and its halves are where they are wanted.
  QG_HD void blocks(uint32_t first, int plane, Lanes32::Vector word[4]) const {
    using L = Lanes32;
    L::Vector c0[2], c1[2], c2[2], c3[2];
    for (int odd = 0; odd < 2; ++odd) {
      const L::Vector number = L::add(L::ramp(), L::all(int(first)));
      c0[odd] = odd ? L::higher(number) : number;
      c1[odd] = L::all(int(stream + uint32_t(plane)));
      c2[odd] = L::all(int(uint32_t(sample)));
      c3[odd] = L::all(int(uint32_t(sample >> 32)));
    }
    const L::Vector factor0 = L::all(int(kPhiloxFactor0)), factor1 = L::all(int(kPhiloxFactor1));
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round, k0 += kPhiloxStep0, k1 += kPhiloxStep1)
      for (int odd = 0; odd < 2; ++odd) {
        const L::Vector p0 = L::product(c0[odd], factor0), p1 = L::product(c2[odd], factor1);
        c0[odd] = L::xor_of(L::higher(p1), c1[odd], L::all(int(k0)));
        c2[odd] = L::xor_of(L::higher(p0), c3[odd], L::all(int(k1)));
        c1[odd] = p1;
        c3[odd] = p0;
      }
    word[0] = L::paired(c0[0], c0[1]);
    word[1] = L::paired(c1[0], c1[1]);
    word[2] = L::paired(c2[0], c2[1]);
    word[3] = L::paired(c3[0], c3[1]);
  }
#endif
};

}  // namespace QG_NAMESPACE
