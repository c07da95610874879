// Whole numbers: division that rounds down, square roots, ends and spans of ones in a word.
#pragma once
#include "bits.h"

namespace QG_NAMESPACE {

// b > 0.
QG_HD int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

// Good to a few units in the last place, which may differ between machines: for guesses.
QG_HD double rough_root(double n) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(n);
#else
  return __builtin_sqrt(n);
#endif
}

// floor_div for |a| and b below 2^53, faster in a row.
QG_HD int64_t floor_div_near(int64_t a, int64_t b) {
  const int64_t near = int64_t(double(a) / double(b)), rest = a - near * b;
  return near + (rest >= b) - (rest < 0);
}

// The whole root of 0 <= n < 2^62.
QG_HD int64_t whole_root(int64_t n) {
  int64_t root = int64_t(rough_root(double(n)));
  while (root * root > n) --root;
  while ((root + 1) * (root + 1) <= n) ++root;
  return root;
}

// Number of the lowest and of the highest one; v != 0.
QG_HD int lowest_one(uint32_t v) {
#ifdef __CUDA_ARCH__
  return __ffs(int(v)) - 1;
#else
  return __builtin_ctz(v);
#endif
}
QG_HD int lowest_one(uint64_t v) {
#ifdef __CUDA_ARCH__
  return __ffsll(static_cast<long long>(v)) - 1;
#else
  return __builtin_ctzll(v);
#endif
}
QG_HD int highest_one(uint32_t v) {
#ifdef __CUDA_ARCH__
  return 31 - __clz(int(v));
#else
  return 31 - __builtin_clz(v);
#endif
}
QG_HD int highest_one(uint64_t v) {
#ifdef __CUDA_ARCH__
  return 63 - __clzll(static_cast<long long>(v));
#else
  return 63 - __builtin_clzll(v);
#endif
}

// Ones below bit n; n may lie outside the word.
template <class Word>
QG_HD Word ones_below(int n) {
  const int there = n < 1 ? 1 : n > bits_of<Word>() ? bits_of<Word>() : n;
  return n < 1 ? Word(0) : Word(Word(~Word(0)) >> (bits_of<Word>() - there));
}

// What word column c has of the pixels begin <= x < end.
template <class Word>
QG_HD Word span_word(int c, int begin, int end) {
  const int first = c * bits_of<Word>();
  return Word(ones_below<Word>(end - first) & Word(~ones_below<Word>(begin - first)));
}

}  // namespace QG_NAMESPACE
