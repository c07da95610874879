// Philox4x32-10 (Salmon et al. 2011), the only source of chance: a counter and a key give four words, in any order and on any device.
// key = seed; counter = (block, stream, low and high half of the sample's id).
#pragma once
#include "common.h"

namespace QG_NAMESPACE {

struct Words4 {
  uint32_t word[4];
};

constexpr int kPhiloxRounds = 10;
constexpr uint32_t kPhiloxFactor0 = 0xD2511F53u, kPhiloxFactor1 = 0xCD9E8D57u, kPhiloxStep0 = 0x9E3779B9u, kPhiloxStep1 = 0xBB67AE85u;

QG_HD Words4 philox(uint32_t block, uint32_t stream, uint64_t sample, uint64_t seed) {
  uint32_t c0 = block, c1 = stream, c2 = uint32_t(sample), c3 = uint32_t(sample >> 32);
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t p0 = uint64_t(kPhiloxFactor0) * c0, p1 = uint64_t(kPhiloxFactor1) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
    c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
    c1 = uint32_t(p1);
    c3 = uint32_t(p0);
    k0 += kPhiloxStep0;
    k1 += kPhiloxStep1;
  }
  return {{c0, c1, c2, c3}};
}

// An integer in [0, n) from a random word: floor(word n / 2^32).
QG_HD uint32_t mulhi(uint32_t word, uint32_t n) { return uint32_t((uint64_t(word) * n) >> 32); }

}  // namespace QG_NAMESPACE
