// Pixels of two masks and of what they share, by counting bits; their padding must be 0.
#pragma once
#include "bits.h"
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

}  // namespace QG_NAMESPACE
