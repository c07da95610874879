// Checks that stand between Python and raw pointers.
#pragma once
#include <stdint.h>

#include <stdexcept>
#include <string>

#include "core/program.h"

namespace qg {

inline void require(bool holds, const std::string& wanted) {
  if (!holds) throw std::invalid_argument(wanted);
}

inline void check_extent(int64_t batch, int64_t depth, int64_t height, int64_t width) {
  require(batch >= 0 && depth >= 1 && height >= 1 && width >= 1, "sides of a mask must be >= 1");
  const int64_t most = INT32_MAX - 64;
  require(width <= most && depth <= most / height && depth * height <= most / (width / 32 + 1), "a mask must have fewer than 2^31 words");
}

inline void check_pointer(uintptr_t pointer, int64_t batch, const char* name) {
  require(pointer != 0 || batch == 0, std::string(name) + " must not be null");
}

inline void check_morph(int op, int radius) {
  require(op >= QG_NAMESPACE::kErode && op <= QG_NAMESPACE::kClosing, "op must be 0..3, got " + std::to_string(op));
  require(radius >= 0, "radius must be >= 0, got " + std::to_string(radius));
}

// A recipe's table of `words` words: everything that it points to lies within it.
inline void check_recipe(const int32_t* table, int64_t words) {
  using QG_NAMESPACE::Recipe;
  const auto within = [words](int64_t start, int64_t count) { return start >= Recipe::kHeader && count >= 0 && start <= words - count; };
  require(table != nullptr && words >= Recipe::kHeader, "the recipe's table is too short");
  const Recipe recipe{table};
  const int rows = table[0];
  require(rows >= 0 && within(table[1], int64_t(rows) * QG_NAMESPACE::kRowWords), "the recipe's rows lie outside its table");
  for (int r = 0; r < rows; ++r)
    require(QG_NAMESPACE::known_op(recipe.row(r)[0]), "row " + std::to_string(r) + " has no operation of that number");
  require(recipe.weak() >= -1 && recipe.weak() < rows && recipe.cross_image() >= -1 && recipe.cross_image() < rows,
          "a bank row is not there");
  for (int k = 0; k < QG_NAMESPACE::kCategories; ++k) {
    const int64_t count = table[6 + 2 * k];
    require(count >= 0 && within(table[7 + 2 * k], 2 * count - (count > 0)), "a choice lies outside the recipe's table");
    const QG_NAMESPACE::Choice choice = recipe.choice(k);
    for (int i = 0; i < count; ++i) {
      const int value = choice.values[i];
      require(value >= 0 && value < (k == 0 ? QG_NAMESPACE::kCategories : rows), "a choice has a value out of range");
      if (k > 0 || value == QG_NAMESPACE::kIdentity || value == QG_NAMESPACE::kCrossImage) continue;
      require(table[6 + 2 * value] >= (value == QG_NAMESPACE::kChained ? QG_NAMESPACE::kPositions : 1), "a category has no row to draw");
    }
  }
}

}  // namespace qg
