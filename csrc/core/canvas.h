// What a program works on. `truth` is the mask as it came in and is never written; `mask` is what it is now, and where a row's result
// must lie; rows may use the spares and the arena as they like, and swap planes. Bits beyond the width are 0 before and after each row.
#pragma once
#include "bits.h"

namespace QG_NAMESPACE {

constexpr int kSpares = 3;

// Of a canvas of that many classes, background among them: truth and mask of each, and what they share.
QG_HD int planes_of(int classes) { return 2 * (classes - 1) + kSpares; }

// Where planes lie: the first `near_count` of them in one memory, which may be a GPU's small fast one, the others in another.
template <class Word>
struct Planes {
  Word *near, *far;
  int near_count;

  QG_HD Word* at(int k, size_t words) const { return k < near_count ? near + size_t(k) * words : far + size_t(k - near_count) * words; }
};
template <class Word>
QG_HD Planes<Word> planes_in(Word* memory) {
  return {memory, nullptr, INT32_MAX};
}

// Side of a voxel along z and y over that along x, in 1/4096. A row's pixels are pixels along x.
struct Spacing {
  int32_t z, y;
};
constexpr int32_t kSpacingOne = 4096;

template <class Word>
struct Canvas {
  Bits<Word> truth, mask, spare[kSpares];
  int32_t* arena;  // 8-byte aligned, as many words as the row's family wants
  int axes;        // 2 for images, 3 for volumes (which may be one plane deep): how many arguments a row draws
  Spacing spacing;

  // `radius` px in the pixels of each axis.
  QG_HD Extent radii(int radius) const {
    const auto along = [=](int32_t side) { return int((int64_t(2 * kSpacingOne) * radius + side) / (2 * side)); };
    return {along(spacing.z), along(spacing.y), radius};
  }
};

// The canvas of class `label` on planes_of(classes) planes of words, those first that are used most: two spares, all masks, the third
// spare, all truths.
template <class Word>
QG_HD Canvas<Word> canvas_on(const Planes<Word>& planes, const Extent& extent, int axes, int32_t* arena,
                             const Spacing& spacing = {kSpacingOne, kSpacingOne}, int classes = 2, int label = 1) {
  Bits<Word> plane{nullptr, extent, column_stride<Word>(extent)};
  const size_t words = size_t(plane.words());
  plane.word = planes.at(kSpares + classes - 1 + label - 1, words);
  Canvas<Word> canvas{plane, plane, {plane, plane, plane}, arena, axes, spacing};
  canvas.spare[0].word = planes.at(0, words);
  canvas.spare[1].word = planes.at(1, words);
  canvas.mask.word = planes.at(2 + label - 1, words);
  canvas.spare[2].word = planes.at(2 + classes - 1, words);
  return canvas;
}

QG_HD size_t plane_words(const Extent& extent) { return size_t(Bits<uint32_t>{nullptr, extent, column_stride<uint32_t>(extent)}.words()); }

template <class Word>
QG_HD size_t canvas_bytes(const Extent& extent, int classes = 2) {
  return size_t(Bits<Word>{nullptr, extent, column_stride<Word>(extent)}.words()) * size_t(planes_of(classes)) * sizeof(Word);
}

template <class Team, class Word>
QG_HD void copy_plane(const Team& team, const Bits<Word>& from, const Bits<Word>& to) {
  team.for_each(from.columns(), from.lines(), [=](int c, int i) { to.column(c)[i] = from.column(c)[i]; });
}

// All bits of the image.
template <class Team, class Word>
QG_HD void fill_plane(const Team& team, const Bits<Word>& bits, bool ones) {
  const Word whole = Word(0) - Word(ones), last = Word(whole & bits.last_column());
  const int columns = bits.columns();
  team.for_each(columns, bits.lines(), [=](int c, int i) { bits.column(c)[i] = c + 1 < columns ? whole : last; });
}

}  // namespace QG_NAMESPACE
