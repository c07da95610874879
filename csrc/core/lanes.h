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
  // Bit k: bit number[k] % 32 of the word at index[k], 0 where the mask is 0.
  QG_HD static uint32_t gather_bits(Mask m, const uint32_t* words, Vector index, Vector number) {
    const Vector found = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), m, index, words, 4);
    return _mm512_test_epi32_mask(found, _mm512_maskz_rolv_epi32(0xFFFF, all(1), number));
  }
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
  QG_HD static uint32_t gather_bits(Mask m, const uint32_t* words, Vector index, Vector number) {
    const Vector found = _mm256_mask_i32gather_epi32(_mm256_setzero_si256(), reinterpret_cast<const int*>(words), index, m, 4);
    const Vector sign = _mm256_sllv_epi32(found, _mm256_sub_epi32(all(31), _mm256_and_si256(number, all(31))));
    return uint32_t(_mm256_movemask_ps(_mm256_castsi256_ps(sign)));
  }
};
#endif

}  // namespace QG_NAMESPACE
#endif
