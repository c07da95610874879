// A mask as bits: words of 64 (CPU) or 32 (GPU) neighbouring pixels of a row, pixel x in bit x % bits of word column x / bits.
// Word columns lie one after the other, each with all rows of all planes: (column, z, y) is word column * stride + z * height + y. So a
// shift along any axis is a constant offset between long runs of neighbouring words, without a branch for the ends of rows. The last
// column's bits beyond the width are 0, except inside an operation.
#pragma once
#include "common.h"
#if defined(__AVX2__) && !defined(__CUDACC__)
#include <immintrin.h>
#elif defined(__SSE2__) && !defined(__CUDACC__)
#include <emmintrin.h>
#endif
#ifndef __CUDACC__
#include <string.h>
#endif

namespace QG_NAMESPACE {

template <class Word>
struct Bits {
  Word* word;
  Extent extent;
  int stride;  // from a word column to the next

  QG_HD int columns() const { return ceil_div(extent.width, bits_of<Word>()); }
  QG_HD int lines() const { return extent.depth * extent.height; }
  QG_HD int words() const { return columns() * stride; }
  QG_HD Word* column(int c) const { return word + c * stride; }
  // Ones where the last column has pixels.
  QG_HD Word last_column() const { return ~Word(0) >> (columns() * bits_of<Word>() - extent.width); }
};

template <class Word>
QG_HD void swap_planes(Bits<Word>& a, Bits<Word>& b) {
  Word* const word = a.word;
  a.word = b.word;
  b.word = word;
}

// Stride of the word columns: whole cache lines on a CPU; odd on a GPU, so that a row's words lie in different banks of shared memory.
template <class Word>
QG_HD int column_stride(const Extent& extent) {
  const int lines = extent.depth * extent.height;
  return sizeof(Word) == 8 ? ceil_div(lines, 8) * 8 : lines | 1;
}

QG_HD int count_ones(uint32_t v) {
#ifdef __CUDA_ARCH__
  return __popc(v);
#else
  return __builtin_popcount(v);
#endif
}
QG_HD int count_ones(uint64_t v) {
#if defined(__CUDA_ARCH__)
  return __popcll(v);
#elif defined(__POPCNT__) || !defined(__x86_64__)
  return __builtin_popcountll(v);
#else  // without the instruction gcc calls a table look-up
  v -= v >> 1 & 0x5555555555555555u;
  v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
  return int(((v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u >> 56);
#endif
}

// Where one number k (from 0) of v is; there must be so many.
QG_HD int nth_one(uint32_t v, int k) {
  int at = 0;
  for (int half = 16; half; half >>= 1) {
    const int ones = count_ones(uint32_t(v >> at & ((1u << half) - 1)));
    if (ones <= k) {
      k -= ones;
      at += half;
    }
  }
  return at;
}
QG_HD int nth_one(uint64_t v, int k) {
  const int low = count_ones(uint32_t(v));
  return k < low ? nth_one(uint32_t(v), k) : 32 + nth_one(uint32_t(v >> 32), k - low);
}

// The four bytes of v as bits 0..3: 1 where a byte is not 0.
QG_HD uint32_t nonzero_bytes(uint32_t v) {
  v = (((v & 0x7F7F7F7Fu) + 0x7F7F7F7Fu) | v) & 0x80808080u;
  return ((v >> 7) * 0x10204080u) >> 28;  // byte k's bit 8k moves to bit 28 + k
}
// Bits 0..3 of v as four bytes of 0 or 1.
QG_HD uint32_t bits_to_bytes(uint32_t v) { return ((v & 15u) * 0x00204081u) & 0x01010101u; }

#ifndef __CUDACC__

// 64 bytes to 64 bits; `count` of them (1..64) are meant, `room` bytes may be read.
QG_HD uint64_t pack64(const uint8_t* from, int count, size_t room = 0) {
#if defined(__AVX512BW__)
  (void)room;
  const __mmask64 there = ~0ull >> (64 - count);
  const __m512i v = _mm512_maskz_loadu_epi8(there, from);
  return _mm512_test_epi8_mask(v, v);
#else
  const uint64_t meant = ~0ull >> (64 - count);
  uint8_t whole[64];
  if (count < 64 && room < 64) {
    memset(whole, 0, sizeof whole);
    memcpy(whole, from, size_t(count));
    from = whole;
  }
#if defined(__AVX2__)
  const __m256i zero = _mm256_setzero_si256();
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32));
  const uint32_t empty_low = uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, zero)));
  const uint32_t empty_high = uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, zero)));
  return ~(uint64_t(empty_high) << 32 | empty_low) & meant;
#elif defined(__SSE2__)
  uint64_t empty = 0;
  for (int part = 0; part < 4; ++part) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 16 * part));
    empty |= uint64_t(_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128()))) << (16 * part);
  }
  return ~empty & meant;
#else
  uint64_t bits = 0;
  for (int part = 0; part < 16; ++part) {
    uint32_t v;
    memcpy(&v, from + 4 * part, 4);
    bits |= uint64_t(nonzero_bytes(v)) << (4 * part);
  }
  return bits & meant;
#endif
#endif
}

#if defined(__AVX2__)
QG_HD __m256i bits_as_bytes(uint32_t bits) {
  const __m256i byte_of = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit_of = _mm256_set1_epi64x(int64_t(0x8040201008040201));
  const __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32(int32_t(bits)), byte_of);
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, bit_of), bit_of), _mm256_set1_epi8(1));
}
#endif

// 64 bits to `count` (1..64) bytes of 0 or 1; `room` bytes may be written.
QG_HD void unpack64(uint64_t bits, uint8_t* to, int count, size_t room = 0) {
#if defined(__AVX512BW__)
  (void)room;
  _mm512_mask_storeu_epi8(to, ~0ull >> (64 - count), _mm512_maskz_set1_epi8(bits, 1));
#else
  uint8_t whole[64];
  const bool aside = count < 64 && room < 64;
  uint8_t* const target = aside ? whole : to;
#if defined(__AVX2__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), bits_as_bytes(uint32_t(bits)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(target + 32), bits_as_bytes(uint32_t(bits >> 32)));
#else
  for (int part = 0; part < 16; ++part) {
    const uint32_t v = bits_to_bytes(uint32_t(bits >> (4 * part)));
    memcpy(target + 4 * part, &v, 4);
  }
#endif
  if (aside) memcpy(to, whole, size_t(count));
#endif
}

#endif

}  // namespace QG_NAMESPACE
