// Random pixels: pixel x of line y (lines of all planes, one after the other) is bit x % 32 of word 2 ceil(W / 64) y + x / 32 of the
// plane's stream.
#pragma once
#include "bits.h"
#include "draw.h"
#include "team.h"

namespace QG_NAMESPACE {

// f(c, line, word): the plane's words of all columns and lines, each once.
template <class Word, class Team, class F>
QG_HD void for_each_random(const Team& team, const Draw& draw, int plane, const Bits<Word>& like, F f) {
  constexpr int kPer = 16 / int(sizeof(Word)), kParts = int(sizeof(Word)) / 4;  // words of a block, 32-bit parts of a word
  const int columns = like.columns(), a_row = ceil_div(like.extent.width, 64) * 2 / kParts;
  const auto word_of = [](const Words4& block, int k) {
    Word word = block.word[k * kParts];
    if (kParts == 2) word |= Word(uint64_t(block.word[k * kParts + kParts - 1]) << 32);
    return word;
  };
  if (a_row % kPer == 0) {
    team.for_each(a_row / kPer, like.lines(), [=](int group, int line) {
      const Words4 block = draw.block(uint32_t(line) * uint32_t(a_row / kPer) + uint32_t(group), plane);
      for (int k = 0; k < kPer; ++k)
        if (kParts == 2 || group * kPer + k < columns) f(group * kPer + k, line, word_of(block, k));
    });
  } else {
    team.for_each(columns, like.lines(), [=](int c, int line) {
      const uint32_t i = uint32_t(line) * uint32_t(a_row) + uint32_t(c);
      const Words4 block = draw.block(i / kPer, plane);
      Word word = word_of(block, 0);
      for (int k = 1; k < kPer; ++k) word = i % kPer == uint32_t(k) ? word_of(block, k) : word;
      f(c, line, word);
    });
  }
}

// less: each pixel 1 with probability / 2^15, by comparing a 15-bit number, bit 14 - j from plane 1 + j, with `probability` (0 .. 2^15).
// Planes below its lowest one bit decide nothing and are not drawn. Bits beyond the width are random. equal: scratch.
template <class Team, class Word>
QG_HD void chance(const Team& team, const Draw& draw, int probability, const Bits<Word>& less, const Bits<Word>& equal) {
  const Word all = Word(0) - Word(probability >= 1 << 15);
  const Bits<Word> to = less, same = equal;
  if ((probability & 32767) == 0) {
    team.for_each(to.columns(), to.lines(), [=](int c, int i) { to.column(c)[i] = all; });
    return;
  }
  // No branch within the loops, so that they become vector code.
  const Word first = Word(0) - Word(probability >> 14 & 1);
  for_each_random<Word>(team, draw, 1, to, [=](int c, int i, Word word) {
    to.column(c)[i] = Word(~word & first);
    same.column(c)[i] = Word(word ^ ~first);
  });
  for (int j = 1; j < 15 && (probability & ((1 << (15 - j)) - 1)); ++j) {
    const Word one = Word(0) - Word(probability >> (14 - j) & 1);
    for_each_random<Word>(team, draw, 1 + j, to, [=](int c, int i, Word word) {
      const Word still = same.column(c)[i];
      to.column(c)[i] |= Word(still & ~word & one);
      same.column(c)[i] = Word(still & (word ^ ~one));
    });
  }
}

}  // namespace QG_NAMESPACE
