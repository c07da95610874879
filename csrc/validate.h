// Checks that stand between Python and raw pointers, and the tasks made of what Python gives.
#pragma once
#include <stdint.h>

#include <array>
#include <stdexcept>
#include <string>
#include <tuple>

#include "core/labels.h"
#include "task.h"

namespace qg {

constexpr int kLongestSide = 4096;  // px

using Size = std::array<int64_t, 4>;  // batch, depth, height, width
// in, out, its kind, bytes from one mask of out to the next and from one class to the next, numbers, errors, counts, quality, rows
using Masks = std::array<int64_t, 10>;
// images, masks, index, sample ids, weak, strong, masks out, geometry, looks, scales
using AugmentPointers = std::array<uintptr_t, 10>;
// channels, axes, planes of bits in masks, whether images are halves, kind of the results, whether they are normalised, and channels last
using AugmentForm = std::array<int32_t, 7>;
// axes, classes, sides of a voxel along z and y over that along x in 1/4096
using Frame = std::array<int32_t, 4>;
// seed, sample ids, image ids, given rows
using Chance = std::tuple<uint64_t, uintptr_t, uintptr_t, uintptr_t>;
// truth, weak, order, rank, low, donors, snapshots, images; zeros where there is no bank
using BankNumbers = std::array<int64_t, 8>;

template <class T, class Number>
T* at(Number pointer) {
  return reinterpret_cast<T*>(uintptr_t(pointer));
}

inline void require(bool holds, const std::string& wanted) {
  if (!holds) throw std::invalid_argument(wanted);
}

inline void check_size(const Size& size) {
  const auto [batch, depth, height, width] = size;
  require(batch >= 0 && depth >= 1 && height >= 1 && width >= 1, "sides of a mask must be >= 1");
  const int64_t most = INT32_MAX - 64;
  require(width <= most && depth <= most / height && depth * height <= most / (width / 32 + 1), "a mask must have fewer than 2^31 words");
}

inline void check_spacing(int32_t z, int32_t y) {
  const auto fits = [](int32_t side) { return side >= QG_NAMESPACE::kSpacingOne / 16 && side <= QG_NAMESPACE::kSpacingOne * 64; };
  require(fits(z) && fits(y), "sides of a voxel must be 1/16 to 64 times that along x");
}

inline void check_classes(int classes) { require(classes >= 2 && classes <= 256, "classes must be in 2..256"); }

inline void check_pointer(uintptr_t pointer, int64_t batch, const char* name) {
  require(pointer != 0 || batch == 0, std::string(name) + " must not be null");
}

inline MorphTask morph_task(uintptr_t in, uintptr_t out, int op, int radius, const Size& size) {
  check_size(size);
  check_pointer(in, size[0], "in");
  check_pointer(out, size[0], "out");
  require(op >= QG_NAMESPACE::kErode && op <= QG_NAMESPACE::kClosing, "op must be 0..3, got " + std::to_string(op));
  require(radius >= 0, "radius must be >= 0, got " + std::to_string(radius));
  return {at<const uint8_t>(in), at<uint8_t>(out), op, radius, size[0], int(size[1]), int(size[2]), int(size[3]), 1};
}

// Warps take sides that Q16.16 coordinates reach.
inline void check_warp(uintptr_t in, uintptr_t out, const Size& size, int axes) {
  check_size(size);
  check_pointer(in, size[0], "in");
  check_pointer(out, size[0], "out");
  require(axes == 3 || (axes == 2 && size[1] == 1), "axes must be 3, or 2 for masks of depth 1");
  require(size[1] <= kLongestSide && size[2] <= kLongestSide && size[3] <= kLongestSide, "masks must have sides up to 4096");
}

inline AugmentTask augment_task(const AugmentPointers& p, uint64_t seed, int64_t count, const AugmentForm& form, const Size& size) {
  const int channels = form[0], axes = form[1];
  check_warp(p[0], p[4], size, axes);
  for (int k : {2, 3, 7, 8, 9}) check_pointer(p[size_t(k)], size[0], "index, sample ids and tables");
  require((p[1] == 0) == (p[6] == 0), "masks come in and go out, or neither");
  require(channels >= 1 && channels <= 64, "channels must be 1..64, got " + std::to_string(channels));
  require(form[2] >= 0 && form[2] <= 8, "planes of bits must be 0..8");
  require(form[4] >= kFloat && form[4] <= kBrain, "kind of results must be 0..2");
  const auto index = at<const int64_t>(p[2]);
  for (int64_t i = 0; i < size[0]; ++i) require(index[i] >= 0 && index[i] < count, "index must be below the number of images");
  return {at<const void>(p[0]),
          at<const uint8_t>(p[1]),
          index,
          at<const int64_t>(p[3]),
          at<void>(p[4]),
          at<void>(p[5]),
          at<uint8_t>(p[6]),
          at<const int64_t>(p[7]),
          at<const double>(p[8]),
          at<const float>(p[9]),
          seed,
          size[0],
          count,
          channels,
          axes,
          form[2],
          form[4],
          form[3] != 0,
          form[5] != 0,
          form[6] != 0,
          int(size[1]),
          int(size[2]),
          int(size[3]),
          1};
}

inline AffineTask affine_task(uintptr_t in, uintptr_t out, uintptr_t matrices, bool truncate, const Size& size, int axes) {
  check_warp(in, out, size, axes);
  check_pointer(matrices, size[0], "matrices");
  return {at<const uint8_t>(in),
          at<uint8_t>(out),
          at<const int32_t>(matrices),
          truncate,
          size[0],
          axes,
          int(size[1]),
          int(size[2]),
          int(size[3]),
          1};
}

// Amplitude and smoothness in Q16.16 px.
using Field = std::array<int32_t, 2>;

inline ElasticTask elastic_task(uintptr_t in, uintptr_t out, const Field& field, uint64_t seed, uintptr_t sample_ids, const Size& size,
                                const Frame& frame) {
  const auto [axes, classes, spacing_z, spacing_y] = frame;
  check_warp(in, out, size, axes);
  check_pointer(sample_ids, size[0], "sample_ids");
  check_spacing(spacing_z, spacing_y);
  require(field[0] >= 0 && field[0] <= 64 << 16, "amplitude must be 0 to 64 px in Q16.16");
  require(field[1] >= 1 << 15 && field[1] <= 64 << 16, "smoothness must be 0.5 to 64 px in Q16.16");
  ElasticTask task{};
  task.in = at<const uint8_t>(in);
  task.out = at<uint8_t>(out);
  task.amplitude = field[0];
  task.smoothness = field[1];
  task.seed = seed;
  task.sample_ids = at<const int64_t>(sample_ids);
  task.batch = size[0];
  task.axes = axes;
  task.spacing_z = spacing_z;
  task.spacing_y = spacing_y;
  task.depth = int(size[1]);
  task.height = int(size[2]);
  task.width = int(size[3]);
  task.threads = 1;
  return task;
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
  if (recipe.p_soft()) {
    const int32_t* const bounds = table + Recipe::kSoft + 2;
    require(bounds[0] >= 1 && bounds[0] <= bounds[1] && bounds[1] <= QG_NAMESPACE::kMostSmoothing && bounds[2] >= 256 &&
                bounds[2] <= bounds[3] && bounds[3] <= 64 * 256,
            "softness must have radii of 1 to 31 px and sharpness of 1 to 64");
  }
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

// Size, classes and spacing alone.
inline CorruptTask frame_task(const Size& size, const Frame& frame) {
  const auto [axes, classes, spacing_z, spacing_y] = frame;
  check_size(size);
  check_classes(classes);
  check_spacing(spacing_z, spacing_y);
  require(axes == 3 || (axes == 2 && size[1] == 1), "axes must be 3, or 2 for masks of depth 1");
  CorruptTask task{};
  task.batch = size[0];
  task.classes = classes;
  task.axes = axes;
  task.spacing_z = spacing_z;
  task.spacing_y = spacing_y;
  task.depth = int(size[1]);
  task.height = int(size[2]);
  task.width = int(size[3]);
  return task;
}

// All but the recipe's table, which may lie on a device. is_soft: it may soften.
inline CorruptTask corrupt_task(const Masks& masks, const Size& size, const Frame& frame, const Chance& chance, const BankNumbers& bank,
                                bool is_soft) {
  const auto [in, out, kind, step, class_step, numbers, errors, counts, quality, rows] = masks;
  const auto [seed, sample_ids, image_ids, given_rows] = chance;
  check_pointer(uintptr_t(in), size[0], "in");
  check_pointer(uintptr_t(out), size[0], "out");
  check_pointer(uintptr_t(counts), size[0], "counts");
  check_pointer(uintptr_t(quality), size[0], "quality");
  check_pointer(uintptr_t(rows), size[0], "rows");
  check_pointer(sample_ids, size[0], "sample_ids");
  require(kind >= kUint8 && kind <= kBfloat16, "the kind of out must be 0..3");
  require(kind == kUint8 || numbers || (frame[1] == 2 && !is_soft), "labels and probabilities need numbers of the kind of out");
  CorruptTask task = frame_task(size, frame);
  task.in = at<const uint8_t>(in);
  task.out = at<void>(out);
  task.out_kind = int(kind);
  task.out_step = step;
  task.class_step = class_step;
  task.numbers = at<const void>(numbers);
  task.errors = at<uint8_t>(errors);
  task.counts = at<int32_t>(counts);
  task.quality = at<float>(quality);
  task.rows = at<int32_t>(rows);
  task.given_rows = at<const int32_t>(given_rows);
  task.seed = seed;
  task.sample_ids = at<const int64_t>(sample_ids);
  task.image_ids = at<const int64_t>(image_ids);
  task.bank = {at<const uint8_t>(bank[0]), at<const uint8_t>(bank[1]), at<const int32_t>(bank[2]), at<const int32_t>(bank[3]),
               at<const int32_t>(bank[4]), int32_t(bank[5]),           int32_t(bank[6]),           int32_t(bank[7])};
  return task;
}

inline OverlapTask overlap_task(uintptr_t a, uintptr_t b, uintptr_t counts, int classes, int64_t batch, int64_t pixels) {
  check_pointer(a, batch, "a");
  check_pointer(b, batch, "b");
  check_pointer(counts, batch, "counts");
  check_classes(classes);
  require(batch >= 0 && pixels >= 1 && pixels <= INT32_MAX, "a mask must have 1 to 2^31 - 1 pixels");
  return {at<const uint8_t>(a), at<const uint8_t>(b), at<int32_t>(counts), classes, batch, pixels, 1};
}

}  // namespace qg
