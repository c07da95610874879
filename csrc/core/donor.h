// Masks out of the bank: another image's, or a weak model's of the same image. Each has a mask of every class but the background.
#pragma once
#include "../task.h"
#include "canvas.h"
#include "draw.h"

namespace QG_NAMESPACE {

template <class Team, class Word>
QG_HD void take_from_bank(const Team& team, const uint8_t* masks, int64_t number, const Bits<Word>& to) {
  const int a_row = ceil_div(to.extent.width, 64) * (8 / int(sizeof(Word)));
  const Word* const from = reinterpret_cast<const Word*>(masks) + size_t(number) * size_t(to.lines()) * size_t(a_row);
  team.for_each(to.columns(), to.lines(), [=](int c, int i) { to.column(c)[i] = from[size_t(i) * size_t(a_row) + c]; });
}

// `word` is the donor word of the program, `image` the number of the mask's image in the bank.
template <class Team, class Word>
QG_HD void cross_image(const Team& team, Canvas<Word>& canvas, const qg::BankTables& bank, int64_t image, uint32_t word, int classes = 2,
                       int label = 1) {
  const int rank = bank.rank[image];
  int donor = bank.low[rank] + int(below(word, bank.donors));
  donor += donor >= rank && bank.donors > 0;
  take_from_bank(team, bank.truth, int64_t(bank.order[donor]) * (classes - 1) + label - 1, canvas.mask);
}

template <class Team, class Word>
QG_HD void weak(const Team& team, Canvas<Word>& canvas, const qg::BankTables& bank, int64_t image, uint32_t word, int classes = 2,
                int label = 1) {
  take_from_bank(team, bank.weak, (below(word, bank.snapshots) * bank.images + image) * (classes - 1) + label - 1, canvas.mask);
}

}  // namespace QG_NAMESPACE
