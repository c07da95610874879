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

// exp(x) for x <= 0, within 1 unit in the last place; 0 below -87.33, where it would be denormal. exp(x) = 2^n exp(r), |r| <= ln(2) / 2,
// in two parts of ln 2 the first of which times n is exact; exp(r) = 1 + r + r^2 q(r), q by Remez's criterion.
QG_HD Floats exp_of(Floats x) {
  const float round = 12582912.0f + 127.0f;  // 1.5 2^23: the sum's last bits are n, and with the bias 127 an exponent
  const Floats shifted = fused(x, 1.44269504f, round), n = shifted - round;
  const Floats r = fused(n, 2.12194440e-4f, fused(n, -0.693359375f, x)), r2 = r * r;
  const Floats low = fused(r, 0.166665211f, 0.49999994f), high = fused(r, 0.00836871751f, 0.041668389f);
  const Floats q = fused(r2, fused(r2, 0.00138145965f, high), low);
  const Floats y = fused(q, r2, r) + 1.0f;
  return select(x < -87.33654f, Floats{}, y * as_floats(as_ints(shifted) << 23));
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

// What the losses want of a logit: p = sigmoid(x) within 3 units in the last place, p (1 - p) within 5, and log(1 + exp(-|x|)), all by
// one exp.
struct Sigmoid {
  Floats p, slope, e;

  QG_HD explicit Sigmoid(Floats x) : e(exp_of(as_floats(as_ints(x) | INT32_MIN))) {
    const Floats d = 1.0f / (e + 1.0f), other = e * d;
    p = select(x < 0.0f, other, d);
    slope = other * d;
  }
  QG_HD Floats rest() const { return log1p_of(e); }
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
