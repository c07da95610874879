// Neighbouring pixels as floats in the lanes of a vector, with exp, log1p and log for losses. Pixels go 16 at a time on every instruction
// set, as one vector or as parts of it, so AVX2 and AVX-512 give the same bits; the baseline cannot multiply and add in one rounding, and
// differs in the last places. Only for the compilers of CPUs.
#pragma once
#include <string.h>
#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#endif

#include "common.h"

namespace QG_NAMESPACE {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr int kStep = 16;  // pixels
constexpr int kParts = kStep / kLanes;

typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));

QG_HD Floats all(float v) { return Floats{} + v; }
QG_HD Ints all(int32_t v) { return Ints{} + v; }
QG_HD Floats load(const float* from) {
  Floats v;
  memcpy(&v, from, sizeof v);
  return v;
}
QG_HD Ints load(const int32_t* from) {
  Ints v;
  memcpy(&v, from, sizeof v);
  return v;
}
QG_HD void store(float* to, Floats v) { memcpy(to, &v, sizeof v); }
QG_HD Floats as_floats(Ints v) { return reinterpret_cast<Floats>(v); }
QG_HD Ints as_ints(Floats v) { return reinterpret_cast<Ints>(v); }
QG_HD Floats select(Ints where, Floats a, Floats b) { return where ? a : b; }
// a where `where` is all ones, 0 where it is all zeros.
QG_HD Floats only(Ints where, Floats a) { return as_floats(where & as_ints(a)); }
QG_HD Floats larger(Floats a, Floats b) { return select(a < b, b, a); }  // a NaN in `a` stays

// a b + c, rounded once where the processor can.
QG_HD Floats fused(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}
QG_HD Floats fused(Floats a, float b, float c) { return fused(a, all(b), all(c)); }
QG_HD Floats fused(Floats a, Floats b, float c) { return fused(a, b, all(c)); }
QG_HD Floats fused(Floats a, float b, Floats c) { return fused(a, all(b), c); }

#define QG_EIGHTHS 0x3F800000, 0x3F7B95C2, 0x3F7837F0, 0x3F75FED7, 0x3F7504F3, 0x3F75672A, 0x3F7744FD, 0x3F7AC0C7
// 2^(j / 8) as the bits of a float, j = the last three bits of each lane, less those bits where `exp_of` adds them.
QG_HD Ints eighths(Ints j) {
#if defined(__AVX512F__)
  const __m512i table = _mm512_maskz_broadcast_i64x4(0xFF, _mm256_setr_epi32(QG_EIGHTHS));
  return Ints(_mm512_maskz_permutexvar_epi32(0xFFFF, __m512i(j), table));
#elif defined(__AVX2__)
  return Ints(_mm256_permutevar8x32_epi32(_mm256_setr_epi32(QG_EIGHTHS), __m256i(j)));
#else
  constexpr int32_t kTable[8] = {QG_EIGHTHS};
  Ints found;
  for (int i = 0; i < kLanes; ++i) found[i] = kTable[j[i] & 7];
  return found;
#endif
}

#undef QG_EIGHTHS

// exp(x) for x <= 0 within 1.125 units in the last place; 0 below -87.33, where it would be denormal. exp(x) = 2^(n / 8) exp(r),
// |r| <= ln(2) / 16; exp(r) = 1 + r + r^2 q(r), q by Remez's criterion. ln(2) / 8 comes in two parts, n times the first is exact.
QG_HD Floats exp_of(Floats x) {
  const float round = 12582912.0f;  // 1.5 2^23: the sum's last bits are n
  const Floats shifted = fused(x, 11.5415603f, round), n = shifted - round;
  const Floats r = fused(n, 2.65243050e-5f, fused(n, -0.086669921875f, x));
  const Floats more = fused(r * r, fused(r, 0.16666859f, 0.50006455f), r);
  const Floats scale = as_floats(eighths(as_ints(shifted)) + (as_ints(shifted) << 20));
  return select(x < -87.33654f, Floats{}, fused(scale, more, scale));
}

// log(1 + e) for 0 <= e <= 1, within 2.5 units in the last place: e + e^2 q(e).
QG_HD Floats log1p_of(Floats e) {
  const Floats e2 = e * e, e4 = e2 * e2;
  const Floats low = fused(e2, fused(e, 0.196953923f, -0.249585852f), fused(e, 0.33330512f, -0.499999315f));
  const Floats high = fused(e2, fused(e, 0.0202043485f, -0.0576640032f), fused(e, 0.106805108f, -0.153553694f));
  return fused(fused(e4, fused(e4, -0.00331842015f, high), low), e2, e);
}

// log(x) for normal positive x, within 1 unit in the last place: x = 2^n (1 + e), sqrt(1/2) <= 1 + e < sqrt(2),
// log(1 + e) = e - e^2 / 2 + e^3 q(e).
QG_HD Floats log_of(Floats x) {
  const Ints bits = as_ints(x) - 0x3F3504F3;  // of sqrt(1/2)
  const Floats n = __builtin_convertvector(bits >> 23, Floats);
  const Floats e = as_floats((bits & 0x007FFFFF) + 0x3F3504F3) - 1.0f;
  const Floats e2 = e * e, e4 = e2 * e2;
  const Floats low = fused(e2, fused(e, -0.166233569f, 0.200012267f), fused(e, -0.250008225f, 0.333333313f));
  const Floats high = fused(e2, fused(e, -0.0763442963f, 0.127615497f), fused(e, -0.131601945f, 0.142017618f));
  const Floats q = fused(e4, high, low), small = fused(n, -2.12194440e-4f, q * (e * e2));
  return fused(n, 0.693359375f, fused(e2, -0.5f, small) + e);
}

// What the losses want of a logit: p = sigmoid(x) within 3 and p (1 - p) within 5 units in the last place, and
// log(1 + exp(-|x|)), all by one exp.
struct Sigmoid {
  Floats p, slope, e, whole;  // whole = 1 + e

  QG_HD explicit Sigmoid(Floats x) : Sigmoid(exp_of(as_floats(as_ints(x) | INT32_MIN)), 0) {
    const Floats d = 1.0f / whole, other = e * d;  // the smaller of p and 1 - p
    p = select(x < 0.0f, other, d);
    slope = other * d;
  }
  // Without the slope, a product less.
  QG_HD static Sigmoid flat(Floats x) {
    Sigmoid made(exp_of(as_floats(as_ints(x) | INT32_MIN)), 0);
    made.p = select(x < 0.0f, made.e, all(1.0f)) / made.whole;
    return made;
  }
  QG_HD Floats rest() const { return log1p_of(e); }

  // For a gradient made after the sums, of p alone: p (1 - p) then is as right as p near 1, which is what autograd has.
  QG_HD static Sigmoid again(Floats p) {
    Sigmoid made(Floats{}, 0);
    made.p = p;
    made.slope = fused(-p, p, p);
    return made;
  }

 private:
  QG_HD Sigmoid(Floats e, int) : e(e), whole(e + 1.0f) {}
};

// sum of log(1 + e) for 0 <= e <= 1 as the logarithm of a product: the product less one is kept, so that small e count in full. Each
// factor costs one rounding; 64 of them stay below 2^64.
struct LogOfProduct {
  static constexpr int kMost = 64;
  Floats more{};

  QG_HD void times(Floats whole, Floats e) { more = fused(more, whole, e); }
  QG_HD Floats taken() {
    const Floats sum = select(more < 1.0f, log1p_of(more), log_of(more + 1.0f));
    more = Floats{};
    return sum;
  }
};

// A sum over pixels: in each lane over the few of a block, from there on in double, always in the same order.
struct Sum {
  Floats lanes[kParts];

  QG_HD void clear() {
    for (Floats& part : lanes) part = Floats{};
  }
  QG_HD void add(int part, Floats v) { lanes[part] += v; }
  QG_HD void add(int part, Floats a, Floats b) { lanes[part] = fused(a, b, lanes[part]); }
  QG_HD double total() const {
    float all[kStep];
    for (int part = 0; part < kParts; ++part) store(all + part * kLanes, lanes[part]);
    double sum[kStep];
    for (int i = 0; i < kStep; ++i) sum[i] = all[i];
    for (int half = kStep / 2; half; half /= 2)
      for (int i = 0; i < half; ++i) sum[i] += sum[i + half];
    return sum[0];
  }
};

}  // namespace QG_NAMESPACE
