// Where a mask lies, and the pixels that are nearest to a place: what discs, balls and Gaussians are made of.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "integers.h"
#include "team.h"

namespace QG_NAMESPACE {

// Pixels begin <= x < end of a line.
struct Span {
  uint16_t begin, end;
};

// The pixels of a line that are at most `reach` from `centre`, both in 1/`unit` px, a power of two.
QG_HD Span span_of(int64_t centre, int64_t reach, int shift, int width) {
  const int64_t begin = (centre - reach + (1 << shift) - 1) >> shift, end = ((centre + reach) >> shift) + 1;
  if (end <= 0 || begin >= width || end <= begin) return {0, 0};
  return {uint16_t(begin < 0 ? 0 : begin), uint16_t(end > width ? width : end)};
}

template <class Word>
QG_HD void put_span(const Bits<Word>& mask, int line, Span span) {
  for (int c = 0; c < mask.columns(); ++c) mask.column(c)[line] = span_word<Word>(c, span.begin, span.end);
}

QG_HD int padded_width(const Extent& e) { return ceil_div(e.width, 64) * 64; }

// Foreground of each column of pixels and of each line.
template <class Team, class Word>
QG_HD void count_lines(const Team& team, const Bits<Word>& mask, int32_t* columns, int32_t* lines) {
  constexpr int kBytes = int(sizeof(Word));
  constexpr Word kOnes = Word(0x0101010101010101u);
  team.for_each(mask.columns(), [=](int c) {
    const Word* const word = mask.column(c);
    int32_t* const to = columns + c * 8 * kBytes;
    for (int x = 0; x < 8 * kBytes; ++x) to[x] = 0;
    for (int begin = 0; begin < mask.lines(); begin += 255) {  // as much as a byte counts
      const int end = min_of(begin + 255, mask.lines());
      Word sums[8] = {};
      for (int i = begin; i < end; ++i)
        for (int k = 0; k < 8; ++k) sums[k] += Word(word[i] >> k) & kOnes;
      for (int k = 0; k < 8; ++k)
        for (int b = 0; b < kBytes; ++b) to[8 * b + k] += int32_t(sums[k] >> (8 * b) & 255);
    }
  });
  team.for_each(mask.lines(), [=](int i) {
    int32_t count = 0;
    for (int c = 0; c < mask.columns(); ++c) count += count_ones(mask.column(c)[i]);
    lines[i] = count;
  });
}

// Foreground at each place along the three axes.
struct AxisCounts {
  int32_t *x, *lines, *y, *z;

  static QG_HD size_t words(const Extent& e) {
    return size_t(padded_width(e)) + size_t(e.height) * size_t(e.depth) + size_t(e.height) + size_t(e.depth);
  }

  template <class Team, class Word>
  QG_HD AxisCounts(const Team& team, const Bits<Word>& mask, int32_t* arena)
      : x(arena), lines(x + padded_width(mask.extent)), y(lines + mask.lines()), z(y + mask.extent.height) {
    const Extent e = mask.extent;
    int32_t *const in_lines = lines, *const in_y = y, *const in_z = z;
    count_lines(team, mask, x, in_lines);
    team.for_each(e.height, [=](int row) {
      int32_t sum = 0;
      for (int plane = 0; plane < e.depth; ++plane) sum += in_lines[plane * e.height + row];
      in_y[row] = sum;
    });
    team.for_each(e.depth, [=](int plane) {
      int32_t sum = 0;
      for (int row = 0; row < e.height; ++row) sum += in_lines[plane * e.height + row];
      in_z[plane] = sum;
    });
  }
};

// Of a count of pixels at each place along an axis: the mean in 1/256 px, rounded down.
template <class Team>
QG_HD int64_t mean_of(const Team& team, const int32_t* counts, int n, int64_t area) {
  return (team.sum(1, n, [=](int, int i) { return int64_t(counts[i]) * i; }) << 8) / area;
}

// In 1/65536 px^2, about the mean.
template <class Team>
QG_HD int64_t variance_of(const Team& team, const int32_t* counts, int n, int64_t area, int64_t mean) {
  const int middle = int(mean >> 8);
  const int64_t first = team.sum(1, n, [=](int, int i) { return int64_t(counts[i]) * (i - middle); });
  const int64_t second = team.sum(1, n, [=](int, int i) { return int64_t(counts[i]) * ((i - middle) * (i - middle)); });
  const int64_t offset = floor_div(first * 256, area);
  return ((second / area) << 16) + ((second % area) << 16) / area - offset * offset;
}

// Centroid in 1/256 px.
struct Moments {
  int32_t *columns, *lines;
  int64_t area, x, y;

  template <class Team, class Word>
  QG_HD Moments(const Team& team, const Bits<Word>& mask, int32_t* arena)
      : columns(arena), lines(arena + padded_width(mask.extent)), area(0), x(0), y(0) {
    count_lines(team, mask, columns, lines);
    const int32_t* const counts = lines;
    area = team.sum(1, mask.lines(), [=](int, int i) { return counts[i]; });
    if (area == 0) return;
    x = mean_of(team, columns, mask.extent.width, area);
    y = mean_of(team, lines, mask.lines(), area);
  }
};

// A threshold and how many pixels are within it.
struct Level {
  int64_t threshold, count;
  Span* spans;
};

constexpr int kFew = 32;

// The `wanted`-th smallest q of those that are within `high` but not within `low`, kFew at most.
template <class Shape>
QG_HD int64_t pick(const Shape& shape, const Level& low, const Level& high, int lines, int64_t wanted) {
  int64_t sorted[kFew] = {};
  int n = 0;
  for (int i = 0; i < lines; ++i) {
    const Span inner = low.spans[i], outer = high.spans[i];
    if (inner.end - inner.begin == outer.end - outer.begin) continue;
    const bool none = inner.begin == inner.end;
    for (int x = outer.begin; x < outer.end; ++x) {
      if (!none && x == inner.begin) x = inner.end;
      if (x == outer.end) break;
      const int64_t q = shape.q(x, i);
      int k = n++;
      for (; k > 0 && sorted[k - 1] > q; --k) sorted[k] = sorted[k - 1];
      sorted[k] = q;
    }
  }
  return sorted[wanted - 1];
}

// mask = the pixels of smallest q, as many as are wanted and all that equal the last of them. Shape: q(x, line), which is largest in a
// corner; span(threshold, line), the pixels of a line with q <= threshold; width, height. The threshold lies between two levels that close
// in on it, from a guess and by how much q grows from one pixel to the next there. memory: 2 words, 8-byte aligned, and 3 a line.
template <class Team, class Word, class Shape>
QG_HD void fill_nearest(const Team& team, const Bits<Word>& mask, const Shape& shape, int64_t wanted, int64_t guess, int64_t growth,
                        int32_t* memory) {
  const int width = shape.width, lines = mask.lines();
  int64_t* const result = reinterpret_cast<int64_t*>(memory);
  Span* spans = reinterpret_cast<Span*>(memory + 2);
  Level low{-1, 0, spans}, high{0, int64_t(width) * lines, spans + lines};
  spans += 2 * lines;
  const int ends[4] = {0, shape.height - 1, lines - shape.height, lines - 1};
  for (int corner = 0; corner < 8; ++corner) {
    const int64_t q = shape.q(corner & 1 ? width - 1 : 0, ends[corner >> 1]);
    high.threshold = q > high.threshold ? q : high.threshold;
  }
  team.for_each(lines, [=](int i) {
    low.spans[i] = {0, 0};
    high.spans[i] = {0, uint16_t(width)};
  });
  for (int step = 0; high.count > wanted && high.threshold - low.threshold > 1 && high.count - low.count > kFew; ++step) {
    const int64_t range = high.threshold - low.threshold;
    if (step >= 4) guess = step & 1 ? low.threshold + range / 2 : low.threshold + range / (high.count - low.count) * (wanted - low.count);
    guess = guess <= low.threshold ? low.threshold + 1 : guess >= high.threshold ? high.threshold - 1 : guess;
    Span* const to = spans;
    const int64_t threshold = guess;
    const int64_t count = team.sum(1, lines, [=](int, int i) {
      const Span span = shape.span(threshold, i);
      to[i] = span;
      return int64_t(span.end - span.begin);
    });
    Level& end = count >= wanted ? high : low;
    spans = end.spans;
    end = {threshold, count, to};
    guess += (wanted - count + (count >= wanted ? -kFew / 4 : kFew / 4)) * growth;
  }
  if (high.count > wanted && high.threshold - low.threshold > 1) {
    team.one([=] { *result = pick(shape, low, high, lines, wanted - low.count); });
    const int64_t threshold = *result;
    team.for_each(lines, [=](int i) { put_span(mask, i, shape.span(threshold, i)); });
  } else {
    team.for_each(lines, [=](int i) { put_span(mask, i, high.spans[i]); });
  }
}

}  // namespace QG_NAMESPACE
