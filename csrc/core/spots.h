// Rows that cut discs (of volumes: balls) or a box out of a mask, or add discs to it.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "integers.h"
#include "team.h"

namespace QG_NAMESPACE {

constexpr int kMostDiscs = 64;

struct Disc {
  int32_t x, line, radius;
};

// Pixels before each line, and the discs.
QG_HD size_t spots_arena(const Extent& e) { return size_t(e.height) * size_t(e.depth) + 1 + kMostDiscs * sizeof(Disc) / sizeof(int32_t); }

// Pixel number k, in raster order, of those that are 1 (or 0: `flip` is all ones); `before` as count_lines leaves it.
template <class Word>
QG_HD Disc find_pixel(const Bits<Word>& mask, Word flip, const int32_t* before, int k) {
  int low = 0, high = mask.lines() - 1;
  while (low < high) {  // the last line with no more than k pixels before it
    const int middle = (low + high + 1) / 2;
    if (before[middle] <= k)
      low = middle;
    else
      high = middle - 1;
  }
  k -= before[low];
  for (int c = 0;; ++c) {
    Word word = mask.column(c)[low] ^ flip;
    if (c + 1 == mask.columns()) return {c * bits_of<Word>() + nth_one(word, k), low, 0};
    const int ones = count_ones(word);
    if (k < ones) return {c * bits_of<Word>() + nth_one(word, k), low, 0};
    k -= ones;
  }
}

// Discs number `first` .. first + count - 1 of the row's words, about pixels of the other value, become `value`.
template <class Team, class Word>
QG_ROW void draw_discs(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw, int first, bool value) {
  const Bits<Word> mask = canvas.mask;
  const Spacing spacing = canvas.spacing;
  const int count = params[0], lines = mask.lines(), height = mask.extent.height, depth = mask.extent.depth, columns = mask.columns(),
            width = mask.extent.width;
  const int64_t least = params[1], most = params[2];
  int32_t* const before = canvas.arena;
  Disc* const discs = reinterpret_cast<Disc*>(before + lines + 1);
  const Word flip = Word(0) - Word(value), last = mask.last_column();
  team.for_each(lines, [=](int i) {
    int pixels = 0;
    for (int c = 0; c < columns; ++c) pixels += count_ones(Word((mask.column(c)[i] ^ flip) & (c + 1 < columns ? Word(~Word(0)) : last)));
    before[i] = pixels;
  });
  team.one([=] {
    int total = 0;
    for (int i = 0; i < lines; ++i) {
      const int pixels = before[i];
      before[i] = total;
      total += pixels;
    }
    before[lines] = total;
  });
  if (before[lines] == 0) return;  // nothing to be centred on
  team.for_each(count, [=](int k) {
    const Words4 words = draw.block(uint32_t(first + k) / 2);
    const int at = (first + k) % 2 * 2;
    discs[k] = find_pixel(mask, flip, before, int(below(words.word[at], before[lines])));
    discs[k].radius = int32_t(between(words.word[at + 1], least, most));
  });
  for (int k = 0; k < count; ++k) {
    const Disc disc = discs[k];
    const int y = disc.line % height, z = disc.line / height;
    const int64_t radius = int64_t(disc.radius) * kSpacingOne;  // distances in 1/4096 px
    const int up = int(radius / spacing.y), back = int(radius / spacing.z);
    const int top = max_of(y - up, 0), bottom = min_of(y + up, height - 1), front = max_of(z - back, 0), rear = min_of(z + back, depth - 1);
    team.for_each(rear - front + 1, bottom - top + 1, [=](int o, int i) {
      const int64_t dy = int64_t(top + i - y) * spacing.y, dz = int64_t(front + o - z) * spacing.z,
                    rest = radius * radius - dy * dy - dz * dz;
      if (rest < 0) return;
      const int reach = int(whole_root(rest / (int64_t(kSpacingOne) * kSpacingOne)));
      const int begin = max_of(disc.x - reach, 0), end = min_of(disc.x + reach + 1, width);
      for (int c = begin / bits_of<Word>(); c <= (end - 1) / bits_of<Word>(); ++c) {
        Word* const word = mask.column(c) + (front + o) * height + top + i;
        const Word span = span_word<Word>(c, begin, end);
        *word = value ? Word(*word | span) : Word(*word & Word(~span));
      }
    });
  }
}

// params: how many discs, their least and largest radius.
template <class Team, class Word>
QG_ROW void holes(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  draw_discs(team, canvas, params, draw, 0, false);
}

template <class Team, class Word>
QG_ROW void islands(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  draw_discs(team, canvas, params, draw, 0, true);
}

template <class Team, class Word>
QG_ROW void holes_and_islands(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  draw_discs(team, canvas, params, draw, 0, false);
  draw_discs(team, canvas, params, draw, params[0], true);
}

// params: least and largest part of a side, Q16.16.
template <class Team, class Word>
QG_ROW void rect_dropout(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  const Bits<Word> mask = canvas.mask;
  const int sides[3] = {mask.extent.depth, mask.extent.height, mask.extent.width}, skipped = 3 - canvas.axes;
  int begin[3] = {0, 0, 0}, length[3] = {1, 1, 1};
  for (int axis = skipped; axis < 3; ++axis) {
    const int side = sides[axis], k = 2 * (axis - skipped);
    length[axis] = max_of(int((int64_t(side) * between(draw.word(k), params[0], params[1])) >> 16), 1);
    begin[axis] = int(below(draw.word(k + 1), side - length[axis] + 1));
  }
  const int first = begin[2] / bits_of<Word>(), columns = (begin[2] + length[2] - 1) / bits_of<Word>() - first + 1;
  const int begin_z = begin[0], begin_y = begin[1], begin_x = begin[2], lines = length[1], end_x = begin[2] + length[2];
  team.for_each(columns * length[0], lines, [=](int o, int i) {
    const int c = first + o % columns, z = begin_z + o / columns;
    mask.column(c)[z * mask.extent.height + begin_y + i] &= Word(~span_word<Word>(c, begin_x, end_x));
  });
}

}  // namespace QG_NAMESPACE
