// Pixels of two masks and of what they share, by counting bits; their padding must be 0.
#pragma once
#include "../task.h"
#include "canvas.h"
#include "team.h"

namespace QG_NAMESPACE {

struct Counts {
  int both, a, b;
};

template <class Team, class Word>
QG_HD int area(const Team& team, const Bits<Word>& a) {
  return team.sum(a.columns(), a.lines(), [=](int c, int i) { return count_ones(a.column(c)[i]); });
}

template <class Team, class Word>
QG_HD Counts overlap(const Team& team, const Bits<Word>& a, const Bits<Word>& b) {
  const int both = team.sum(a.columns(), a.lines(), [=](int c, int i) { return count_ones(Word(a.column(c)[i] & b.column(c)[i])); });
  return {both, area(team, a), area(team, b)};
}

#if defined(__AVX2__) && !defined(__CUDACC__)
// A thread of a processor with vectors counts many words at once: the ones of each half byte by a table, then of eight bytes by a sum.
struct Ones {
#ifdef __AVX512BW__
  static constexpr int kWords = 8;
  __m512i total = _mm512_setzero_si512();

  QG_HD static __m512i load(const uint64_t* from) { return _mm512_loadu_si512(from); }
  QG_HD static __m512i both(__m512i a, __m512i b) { return _mm512_and_si512(a, b); }
  QG_HD void add(__m512i v) {
    const __m512i table = _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i half = _mm512_set1_epi8(15);
    const __m512i low = _mm512_shuffle_epi8(table, _mm512_and_si512(v, half));
    const __m512i high = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(v, 4), half));
    total = _mm512_add_epi64(total, _mm512_sad_epu8(_mm512_add_epi8(low, high), _mm512_setzero_si512()));
  }
  QG_HD void store(uint64_t* to) const { _mm512_storeu_si512(to, total); }
#else
  static constexpr int kWords = 4;
  __m256i total = _mm256_setzero_si256();

  QG_HD static __m256i load(const uint64_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  QG_HD static __m256i both(__m256i a, __m256i b) { return _mm256_and_si256(a, b); }
  QG_HD void add(__m256i v) {
    const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i half = _mm256_set1_epi8(15);
    const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, half));
    const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), half));
    total = _mm256_add_epi64(total, _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256()));
  }
  QG_HD void store(uint64_t* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), total); }
#endif

  QG_HD int sum() const {
    uint64_t part[kWords], all = 0;
    store(part);
    for (uint64_t one : part) all += one;
    return int(all);
  }
};

QG_HD Counts overlap(const SerialTeam&, const Bits<uint64_t>& a, const Bits<uint64_t>& b) {
  Ones both, in_a, in_b;
  Counts rest{0, 0, 0};
  for (int c = 0; c < a.columns(); ++c) {
    const uint64_t *const x = a.column(c), *const y = b.column(c);
    int i = 0;
    for (; i + Ones::kWords <= a.lines(); i += Ones::kWords) {
      const auto v = Ones::load(x + i), w = Ones::load(y + i);
      both.add(Ones::both(v, w));
      in_a.add(v);
      in_b.add(w);
    }
    for (; i < a.lines(); ++i) {
      rest.both += count_ones(x[i] & y[i]);
      rest.a += count_ones(x[i]);
      rest.b += count_ones(y[i]);
    }
  }
  return {rest.both + both.sum(), rest.a + in_a.sum(), rest.b + in_b.sum()};
}
#endif

// Dice 2 both / (a + b), of the counts as floats, rounded once each; 1 where both masks are empty.
QG_HD float dice_of(const Counts& counts) {
  const int64_t total = int64_t(counts.a) + counts.b;
  return total == 0 ? 1.0f : 2.0f * float(counts.both) / float(total);
}

// What is told of a class of a sample; `number` counts these.
QG_HD void tell(const Counts& counts, float dice, const qg::CorruptTask& task, int64_t number) {
  int32_t* const to = task.counts + 3 * number;
  to[0] = counts.both;
  to[1] = counts.a;
  to[2] = counts.b;
  task.quality[number] = dice;
}

// What the program changed, to spare 0.
template <class Team, class Word>
QG_HD void changed(const Team& team, const Canvas<Word>& canvas) {
  const Bits<Word> mask = canvas.mask, truth = canvas.truth, to = canvas.spare[0];
  team.for_each(mask.columns(), mask.lines(), [=](int c, int i) { to.column(c)[i] = mask.column(c)[i] ^ truth.column(c)[i]; });
}

}  // namespace QG_NAMESPACE
