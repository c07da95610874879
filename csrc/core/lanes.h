// Neighbouring pixels in the 32-bit lanes of a vector, on processors that can gather. Where QG_LANES32 is not defined, rows go pixel by
// pixel.
#pragma once
#include "bits.h"

#if defined(__AVX2__) && !defined(__CUDACC__)
#define QG_LANES32

namespace QG_NAMESPACE {

#ifdef __AVX512BW__
struct Lanes32 {
  using Vector = __m512i;
  using Mask = __mmask16;
  static constexpr int kLanes = 16;

  QG_HD static Vector all(int v) { return _mm512_set1_epi32(v); }
  QG_HD static Vector load(const int32_t* from) { return _mm512_loadu_si512(from); }
  QG_HD static void store(int32_t* to, Vector v) { _mm512_storeu_si512(to, v); }
  QG_HD static Vector ramp() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
  QG_HD static Vector add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }
  QG_HD static Vector times(Vector a, Vector b) { return _mm512_mullo_epi32(a, b); }
  // Products of numbers that fit in 16 bits with sign, or of pairs of them, added: one instruction where times takes two.
  QG_HD static Vector times16(Vector a, Vector b) { return _mm512_madd_epi16(a, b); }
  QG_HD static Vector xor_of(Vector a, Vector b) { return _mm512_xor_si512(a, b); }
  QG_HD static Vector and_of(Vector a, Vector b) { return _mm512_and_si512(a, b); }
  template <int kBits>
  QG_HD static Vector up(Vector v) {
    return _mm512_maskz_slli_epi32(0xFFFF, v, kBits);
  }
  template <int kBits>
  QG_HD static Vector down(Vector v) {  // without sign
    return _mm512_maskz_srli_epi32(0xFFFF, v, kBits);
  }
  // Of words without sign: 64-bit products of those with even numbers, the higher half of each such pair, and pairs of the lower halves.
  QG_HD static Vector product(Vector a, Vector b) { return _mm512_maskz_mul_epu32(0xFF, a, b); }
  QG_HD static Vector higher(Vector v) { return _mm512_maskz_srli_epi64(0xFF, v, 32); }
  QG_HD static Vector paired(Vector even, Vector odd) {
    return _mm512_mask_blend_epi32(0xAAAA, even, _mm512_maskz_slli_epi64(0xFF, odd, 32));
  }
  QG_HD static Vector xor_of(Vector a, Vector b, Vector c) { return _mm512_maskz_ternarylogic_epi32(0xFFFF, a, b, c, 0x96); }
  // a[0], b[0], a[1], b[1] and so on, twice as many words as a vector has.
  QG_HD static void store_pairs(int32_t* to, Vector a, Vector b) {
    const Vector first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    store(to, _mm512_permutex2var_epi32(a, first, b));
    store(to + kLanes, _mm512_permutex2var_epi32(a, add(first, all(8)), b));
  }
  QG_HD static Vector clamp(Vector v, int most) {
    return _mm512_maskz_min_epi32(0xFFFF, _mm512_maskz_max_epi32(0xFFFF, v, all(0)), all(most));
  }
  template <int kBits>
  QG_HD static Vector shifted(Vector v) {
    return _mm512_maskz_srai_epi32(0xFFFF, v, kBits);
  }
  // Lane index[k] of v, in lane k.
  QG_HD static Vector permuted(Vector v, Vector index) { return _mm512_maskz_permutexvar_epi32(0xFFFF, index, v); }
  QG_HD static Mask inside(Vector v, int n) { return _mm512_cmplt_epu32_mask(v, all(n)); }
  QG_HD static Mask both(Mask a, Mask b) { return Mask(a & b); }
  QG_HD static Mask any_of(Vector v, int bits) { return _mm512_test_epi32_mask(v, all(bits)); }
  QG_HD static Mask every() { return Mask(0xFFFF); }
  QG_HD static bool none(Mask m) { return m == 0; }
  QG_HD static Vector add_where(Mask m, Vector v, int n) { return _mm512_mask_add_epi32(v, m, v, all(n)); }
  // Bit k: bit number[k] % 16 of the word at index[k], 0 where the mask is 0; reads two bytes behind the word.
  QG_HD static uint32_t gather_bits(Mask m, const uint16_t* words, Vector index, Vector number) {
    const Vector found = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), m, index, words, 2);
    return _mm512_test_epi32_mask(found, _mm512_maskz_sllv_epi32(0xFFFF, all(1), and_of(number, all(15))));
  }
};

// Twice as many lanes of 16 bits.
#define QG_WINDOWS
struct Lanes16 {
  using Vector = __m512i;
  using Mask = __mmask32;
  static constexpr int kLanes = 32;

  QG_HD static Vector all(int v) { return _mm512_set1_epi16(short(v)); }
  QG_HD static Vector load(const uint16_t* from) { return _mm512_loadu_si512(from); }
  QG_HD static Vector ramp() {
    return _mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2,
                            1, 0);
  }
  QG_HD static Vector add(Vector a, Vector b) { return _mm512_add_epi16(a, b); }
  QG_HD static Vector subtract(Vector a, Vector b) { return _mm512_sub_epi16(a, b); }
  QG_HD static Vector and_of(Vector a, Vector b) { return _mm512_and_si512(a, b); }
  template <int kBits>
  QG_HD static Vector up(Vector v) {
    return _mm512_slli_epi16(v, kBits);
  }
  QG_HD static Vector clamp(Vector v, int most) { return _mm512_min_epi16(_mm512_max_epi16(v, all(0)), all(most)); }
  QG_HD static Mask inside(Vector v, int n) { return _mm512_cmplt_epu16_mask(v, all(n)); }
  QG_HD static Mask any_of(Vector v, int bits) { return _mm512_test_epi16_mask(v, all(bits)); }
  // The high halves of 32-bit lanes, those of a first.
  QG_HD static Vector high_halves(Vector a, Vector b) { return _mm512_permutex2var_epi16(a, add(up<1>(ramp()), all(1)), b); }
  QG_HD static Vector low_halves(Vector a, Vector b) { return _mm512_permutex2var_epi16(a, up<1>(ramp()), b); }
  // Lane index[k] % 64 of a and b.
  QG_HD static Vector permuted(Vector a, Vector index, Vector b) { return _mm512_permutex2var_epi16(a, index, b); }
  QG_HD static Vector blend(Mask m, Vector a, Vector b) { return _mm512_mask_blend_epi16(m, a, b); }
  // Bit k: bit number[k] of lane k.
  QG_HD static uint32_t bits_at(Vector v, Vector number) { return _mm512_test_epi16_mask(v, _mm512_sllv_epi16(all(1), number)); }
};
#else
struct Lanes32 {
  using Vector = __m256i;
  using Mask = __m256i;
  static constexpr int kLanes = 8;

  QG_HD static Vector all(int v) { return _mm256_set1_epi32(v); }
  QG_HD static Vector load(const int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  QG_HD static void store(int32_t* to, Vector v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
  QG_HD static Vector ramp() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
  QG_HD static Vector add(Vector a, Vector b) { return _mm256_add_epi32(a, b); }
  QG_HD static Vector times(Vector a, Vector b) { return _mm256_mullo_epi32(a, b); }
  QG_HD static Vector times16(Vector a, Vector b) { return _mm256_madd_epi16(a, b); }
  QG_HD static Vector xor_of(Vector a, Vector b) { return _mm256_xor_si256(a, b); }
  QG_HD static Vector and_of(Vector a, Vector b) { return _mm256_and_si256(a, b); }
  template <int kBits>
  QG_HD static Vector up(Vector v) {
    return _mm256_slli_epi32(v, kBits);
  }
  template <int kBits>
  QG_HD static Vector down(Vector v) {
    return _mm256_srli_epi32(v, kBits);
  }
  QG_HD static Vector product(Vector a, Vector b) { return _mm256_mul_epu32(a, b); }
  QG_HD static Vector higher(Vector v) { return _mm256_srli_epi64(v, 32); }
  QG_HD static Vector paired(Vector even, Vector odd) { return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA); }
  QG_HD static Vector xor_of(Vector a, Vector b, Vector c) { return xor_of(xor_of(a, b), c); }
  QG_HD static void store_pairs(int32_t* to, Vector a, Vector b) {
    const Vector low = _mm256_unpacklo_epi32(a, b), high = _mm256_unpackhi_epi32(a, b);
    store(to, _mm256_permute2x128_si256(low, high, 0x20));
    store(to + kLanes, _mm256_permute2x128_si256(low, high, 0x31));
  }
  QG_HD static Vector clamp(Vector v, int most) { return _mm256_min_epi32(_mm256_max_epi32(v, all(0)), all(most)); }
  template <int kBits>
  QG_HD static Vector shifted(Vector v) {
    return _mm256_srai_epi32(v, kBits);
  }
  QG_HD static Vector permuted(Vector v, Vector index) { return _mm256_permutevar8x32_epi32(v, index); }
  QG_HD static Mask inside(Vector v, int n) { return both(_mm256_cmpgt_epi32(all(n), v), _mm256_cmpgt_epi32(v, all(-1))); }
  QG_HD static Mask both(Mask a, Mask b) { return _mm256_and_si256(a, b); }
  QG_HD static Mask any_of(Vector v, int bits) {
    return _mm256_xor_si256(_mm256_cmpeq_epi32(_mm256_and_si256(v, all(bits)), all(0)), all(-1));
  }
  QG_HD static Mask every() { return all(-1); }
  QG_HD static bool none(Mask m) { return _mm256_testz_si256(m, m); }
  QG_HD static Vector add_where(Mask m, Vector v, int n) { return _mm256_add_epi32(v, _mm256_and_si256(m, all(n))); }
  QG_HD static uint32_t gather_bits(Mask m, const uint16_t* words, Vector index, Vector number) {
    const Vector found = _mm256_mask_i32gather_epi32(_mm256_setzero_si256(), reinterpret_cast<const int*>(words), index, m, 2);
    const Vector sign = _mm256_sllv_epi32(found, _mm256_sub_epi32(all(31), _mm256_and_si256(number, all(15))));
    return uint32_t(_mm256_movemask_ps(_mm256_castsi256_ps(sign)));
  }
};
#endif

}  // namespace QG_NAMESPACE
#endif
