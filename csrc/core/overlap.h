// Pixels of two masks and of what they share, by counting bits; their padding must be 0.
#pragma once
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

// What the program changed, to spare 0.
template <class Team, class Word>
QG_HD void changed(const Team& team, const Canvas<Word>& canvas) {
  const Bits<Word> mask = canvas.mask, truth = canvas.truth, to = canvas.spare[0];
  team.for_each(mask.columns(), mask.lines(), [=](int c, int i) { to.column(c)[i] = mask.column(c)[i] ^ truth.column(c)[i]; });
}

}  // namespace QG_NAMESPACE
