// Rows that say the same everywhere, and noise.
#pragma once
#include "canvas.h"
#include "morph.h"
#include "noise.h"

namespace QG_NAMESPACE {

QG_HD size_t fill_arena(const Extent&) { return 0; }

template <class Team, class Word>
QG_ROW void invert(const Team& team, Canvas<Word>& canvas, const int32_t*, const Draw&) {
  const Bits<Word> mask = canvas.mask;
  const Word last = mask.last_column();
  const int columns = mask.columns();
  team.for_each(columns, mask.lines(), [=](int c, int i) {
    Word* const word = mask.column(c) + i;
    *word = Word(~*word & (c + 1 < columns ? Word(~Word(0)) : last));
  });
}

template <class Team, class Word>
QG_ROW void empty(const Team& team, Canvas<Word>& canvas, const int32_t*, const Draw&) {
  fill_plane(team, canvas.mask, false);
}

template <class Team, class Word>
QG_ROW void full(const Team& team, Canvas<Word>& canvas, const int32_t*, const Draw&) {
  fill_plane(team, canvas.mask, true);
}

// params: probability of 2^15.
template <class Team, class Word>
QG_ROW void random(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  chance(team, draw, params[0], canvas.mask, canvas.spare[0]);
  fill_padding(team, canvas.mask, false);
}

}  // namespace QG_NAMESPACE
