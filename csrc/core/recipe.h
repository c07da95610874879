// A recipe as one flat table of int32, which a kernel may take to any device, and the rows that a sample draws by it.
#pragma once
#include "draw.h"

namespace QG_NAMESPACE {

constexpr int kPositions = 3, kRowWords = 8;

// Categories of a recipe. The others are groups: one row, by the group's weights.
enum Category : int32_t { kIdentity = 0, kChained = 2, kCrossImage = 3, kCategories = 7 };

struct Choice {
  const int32_t* values;
  const uint32_t* below;  // cumulative, one less than values
  int count;

  QG_HD int32_t pick(uint32_t word) const {
    int i = 0;
    while (i < count - 1 && below[i] <= word) ++i;
    return values[i];
  }
};

// Words: number of rows, where they start; the rows of cross_image and weak (-1: none); p_weak of 2^32, low and high; then seven pairs
// (count, where it starts) of choices, values followed by their thresholds: first of the categories, then of the group of that number;
// then the softness: its probability of 2^32, low and high, least and largest radius in px, least and largest sharpness in 1/256.
struct Recipe {
  const int32_t* table;

  static constexpr int kSoft = 6 + 2 * kCategories, kHeader = kSoft + 6;

  QG_HD int row_count() const { return table[0]; }
  QG_HD const int32_t* row(int number) const { return table + table[1] + kRowWords * number; }
  QG_HD int32_t cross_image() const { return table[2]; }
  QG_HD int32_t weak() const { return table[3]; }
  QG_HD uint64_t p_weak() const { return uint64_t(uint32_t(table[5])) << 32 | uint32_t(table[4]); }
  QG_HD uint64_t p_soft() const { return uint64_t(uint32_t(table[kSoft + 1])) << 32 | uint32_t(table[kSoft]); }
  QG_HD Choice choice(int k) const {
    const int32_t count = table[6 + 2 * k], *const values = table + table[7 + 2 * k];
    return {values, reinterpret_cast<const uint32_t*>(values + count), count};
  }
};

// Rows in the order in which they are run, -1 = none, and the word that picks a donor or a snapshot.
struct Program {
  int32_t row[kPositions];
  uint32_t donor;
};

// Two or three different rows, uniform: the k-th of those that are left, in order.
QG_HD void draw_chain(const Choice& chained, const uint32_t* words, bool three, int32_t* row) {
  const int n = chained.count, first = int(mulhi(words[0], uint32_t(n)));
  int second = int(mulhi(words[1], uint32_t(n - 1)));
  second += second >= first;
  row[0] = chained.values[first];
  row[1] = chained.values[second];
  if (!three) return;
  int third = int(mulhi(words[2], uint32_t(n - 2)));
  third += third >= min_of(first, second);
  third += third >= max_of(first, second);
  row[2] = chained.values[third];
}

// How a mask becomes probabilities: blurred by a radius in px (0: not at all), its slope times sharpness / 256.
struct Softness {
  int32_t radius, sharpness;
};

constexpr uint32_t kSoftStream = 64;

QG_HD Softness draw_softness(const Recipe& recipe, uint64_t seed, uint64_t sample) {
  if (recipe.p_soft() == 0) return {0, 0};
  const Words4 words = philox(0, kSoftStream, sample, seed);
  if (words.word[0] >= recipe.p_soft()) return {0, 0};
  const int32_t* const bounds = recipe.table + Recipe::kSoft + 2;
  return {int32_t(between(words.word[1], bounds[0], bounds[1])), int32_t(between(words.word[2], bounds[2], bounds[3]))};
}

QG_HD Program given_program(const int32_t* rows, uint64_t seed, uint64_t sample) {
  return {{rows[0], rows[1], rows[2]}, philox(0, 0, sample, seed).word[3]};
}

QG_HD Program draw_program(const Recipe& recipe, uint64_t seed, uint64_t sample) {
  const Words4 decisions = philox(0, 0, sample, seed);
  Program program{{-1, -1, -1}, decisions.word[3]};
  if (decisions.word[0] < recipe.p_weak()) {
    program.row[0] = recipe.weak();
    return program;
  }
  const int32_t category = recipe.choice(0).pick(decisions.word[1]);
  if (category == kIdentity) return program;
  if (category == kCrossImage) {
    program.row[0] = recipe.cross_image();
    return program;
  }
  uint32_t words[kPositions];
  for (int k = 0; k < kPositions; ++k) words[k] = philox(0, uint32_t(1 + k), sample, seed).word[0];
  if (category == kChained)
    draw_chain(recipe.choice(kChained), words, decisions.word[2] >> 31, program.row);
  else
    program.row[0] = recipe.choice(category).pick(words[0]);
  return program;
}

}  // namespace QG_NAMESPACE
