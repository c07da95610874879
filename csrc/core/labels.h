// Label maps: each class has its own mask, goes through the same program with chance of its own, and where classes meet in the end, the
// true class of the pixel wins, else the lowest number. Two rows know all classes.
#pragma once
#include "program.h"

namespace QG_NAMESPACE {

constexpr uint32_t kClassStreams = 256;  // from a class's streams to the next class's

// All classes' canvases; `classes` counts the background.
template <class Word>
struct LabelCanvas {
  Planes<Word> planes;
  Extent extent;
  int axes, classes;
  Spacing spacing;
  int32_t* arena;

  QG_HD Canvas<Word> of(int label) const { return canvas_on(planes, extent, axes, arena, spacing, classes, label); }
};

// Runs f(canvas) for a class; the mask is brought home where rows have swapped planes.
template <class Team, class Word, class F>
QG_HD void on_class(const Team& team, const LabelCanvas<Word>& all, int label, F f) {
  Canvas<Word> canvas = all.of(label);
  f(canvas);
  const Bits<Word> home = all.of(label).mask;
  if (canvas.mask.word != home.word) copy_plane(team, canvas.mask, home);
}

template <class Team, class Word>
QG_HD bool is_there(const Team& team, const Bits<Word>& mask) {
  return team.sum(mask.columns(), mask.lines(), [=](int c, int i) { return int(mask.column(c)[i] != 0); }) > 0;
}

// One of the classes that are there, uniform; 0 where none is.
template <class Team, class Word>
QG_HD int draw_class(const Team& team, const LabelCanvas<Word>& all, uint32_t word) {
  int there = 0;
  for (int label = 1; label < all.classes; ++label) there += is_there(team, all.of(label).mask);
  int left = int(below(word, there));
  for (int label = 1; label < all.classes; ++label)
    if (is_there(team, all.of(label).mask) && left-- == 0) return label;
  return 0;
}

// A class that is there and another of all classes trade labels.
template <class Team, class Word>
QG_ROW void swap_labels(const Team& team, const LabelCanvas<Word>& all, const Draw& draw) {
  const int one = draw_class(team, all, draw.word(0));
  if (one == 0 || all.classes < 3) return;
  int other = 1 + int(below(draw.word(1), all.classes - 2));
  other += other >= one;
  const Bits<Word> a = all.of(one).mask, b = all.of(other).mask;
  team.for_each(a.columns(), a.lines(), [=](int c, int i) {
    const Word kept = a.column(c)[i];
    a.column(c)[i] = b.column(c)[i];
    b.column(c)[i] = kept;
  });
}

// params: radius. What other classes have within the radius of a class that is there becomes that class's.
template <class Team, class Word>
QG_ROW void leak(const Team& team, const LabelCanvas<Word>& all, const int32_t* params, const Draw& draw) {
  const int one = draw_class(team, all, draw.word(0));
  if (one == 0) return;
  Canvas<Word> canvas = all.of(one);
  const Bits<Word> mask = canvas.mask;
  copy_plane(team, mask, canvas.spare[0]);
  morph<false>(team, canvas.spare[0], canvas.spare[1], canvas.radii(params[0]));
  const Bits<Word> reach = canvas.spare[0];
  const LabelCanvas<Word> labels = all;
  team.for_each(mask.columns(), mask.lines(), [=](int c, int i) {
    Word taken = 0;
    for (int label = 1; label < labels.classes; ++label) {
      if (label == one) continue;
      Word* const word = labels.of(label).mask.column(c) + i;
      taken |= Word(*word & reach.column(c)[i]);
      *word &= Word(~reach.column(c)[i]);
    }
    mask.column(c)[i] |= taken;
  });
}

// Settles which class has a pixel that several have.
template <class Team, class Word>
QG_ROW void settle(const Team& team, const LabelCanvas<Word>& all) {
  const LabelCanvas<Word> labels = all;
  const Bits<Word> first = labels.of(1).mask;
  team.for_each(first.columns(), first.lines(), [=](int c, int i) {
    Word taken = 0;
    for (int label = 1; label < labels.classes; ++label) {
      const Canvas<Word> canvas = labels.of(label);
      taken |= Word(canvas.mask.column(c)[i] & canvas.truth.column(c)[i]);
    }
    for (int label = 1; label < labels.classes; ++label) {
      const Canvas<Word> canvas = labels.of(label);
      Word* const word = canvas.mask.column(c) + i;
      const Word claimed = *word;
      *word = Word(claimed & Word(canvas.truth.column(c)[i] | Word(~taken)));
      taken |= claimed;
    }
  });
}

// What a sample goes through. References: what they refer to may lie in a GPU's shared memory, and then no thread has to keep it in
// registers while a row runs.
struct Journey {
  const Recipe& recipe;
  const Program& program;
  const qg::BankTables& bank;
  const int64_t& image;
  const uint64_t &seed, &sample;

  QG_HD const int32_t* row(int position) const { return recipe.row(program.row[position]); }
  QG_HD Draw draw(int position, int label) const {
    return {seed, sample, uint32_t(16 * (position + 1)) + kClassStreams * uint32_t(label - 1)};
  }
};

// The row at that position of the program, on one class.
template <class Team, class Word>
QG_HD void run_on_class(const Team& team, const LabelCanvas<Word>& all, const Journey& journey, int position, int label) {
  on_class(team, all, label, [&](Canvas<Word>& canvas) {
    const int32_t* const row = journey.row(position);
    if (row[0] == kFromOther)
      cross_image(team, canvas, journey.bank, journey.image, journey.program.donor, all.classes, label);
    else if (row[0] == kFromWeak)
      weak(team, canvas, journey.bank, journey.image, journey.program.donor, all.classes, label);
    else
      run_row(team, canvas, row, journey.draw(position, label));
    team.one([] {});
  });
}

// The whole program of a sample with several classes.
template <class Team, class Word>
QG_HD void run_labels(const Team& team, const LabelCanvas<Word>& all, const Journey& journey) {
  for (int position = 0; position < kPositions; ++position) {
    if (journey.program.row[position] < 0) continue;
    const int32_t op = journey.row(position)[0];
    if (op == kSwapLabels)
      swap_labels(team, all, journey.draw(position, 1));
    else if (op == kLeak)
      leak(team, all, journey.row(position) + 1, journey.draw(position, 1));
    else
      for (int label = 1; label < all.classes; ++label) run_on_class(team, all, journey, position, label);
  }
  if (all.classes > 2) settle(team, all);
}

}  // namespace QG_NAMESPACE
