// A disc or an axis-aligned Gaussian in place of the mask, where the mask lies.
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
  return (second << 16) / area - offset * offset;
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

// A disc of the mask's area about its centroid: pixels with 355 distance^2 <= 113 area. params: 0: in 1/16 px, 1: centroid and radius are
// whole, rounded down.
template <class Team, class Word>
QG_ROW void circular_blob(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw&) {
  const Bits<Word> mask = canvas.mask;
  const Moments moments(team, mask, canvas.arena);
  if (moments.area == 0) return;
  const int shift = params[0] ? 0 : 4;
  const int64_t x = shift ? (moments.x + 8) >> 4 : moments.x >> 8, y = shift ? (moments.y + 8) >> 4 : moments.y >> 8;
  int64_t square = (113 * moments.area << (2 * shift)) / 355;
  if (params[0]) square = whole_root(square) * whole_root(square);
  team.for_each(mask.lines(), [=](int i) {
    const int64_t dy = (int64_t(i) << shift) - y, rest = square - dy * dy;
    put_span(mask, i, rest < 0 ? Span{0, 0} : span_of(x, whole_root(rest), shift, mask.extent.width));
  });
}

// The lines' spans of pixels with q = dx^2 vy + dy^2 vx <= T, distances in 1/16 px.
struct Gaussian {
  int64_t x, y, vx, vy;
  int width;

  QG_HD int64_t q(int px, int py) const {
    const int64_t dx = 16 * px - x, dy = 16 * py - y;
    return dx * dx * vy + dy * dy * vx;
  }
  QG_HD Span span(int64_t threshold, int line) const {
    const int64_t dy = 16 * line - y, rest = threshold - dy * dy * vx;
    return rest < 0 ? Span{0, 0} : span_of(x, whole_root(rest / vy), 4, width);
  }
};

// A threshold and how many pixels are within it.
struct Level {
  int64_t threshold, count;
  Span* spans;
};

constexpr int kFew = 32;

// The `wanted`-th smallest q of those that are within `high` but not within `low`, kFew at most.
QG_HD int64_t pick(const Gaussian& gaussian, const Level& low, const Level& high, int lines, int64_t wanted) {
  int64_t sorted[kFew];
  int n = 0;
  for (int i = 0; i < lines; ++i) {
    const Span inner = low.spans[i], outer = high.spans[i];
    if (inner.end - inner.begin == outer.end - outer.begin) continue;
    const bool none = inner.begin == inner.end;
    for (int x = outer.begin; x < outer.end; ++x) {
      if (!none && x == inner.begin) x = inner.end;
      if (x == outer.end) break;
      const int64_t q = gaussian.q(x, i);
      int k = n++;
      for (; k > 0 && sorted[k - 1] > q; --k) sorted[k] = sorted[k - 1];
      sorted[k] = q;
    }
  }
  return sorted[wanted - 1];
}

// An axis-aligned Gaussian with the mask's centroid and variances: the pixels of smallest q, as many as params[0] / 2^16 of the mask's
// area, and all that equal the last of them. The threshold lies between two levels that close in on it.
template <class Team, class Word>
QG_ROW void gaussian_blob(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw&) {
  const Bits<Word> mask = canvas.mask;
  const int width = mask.extent.width, lines = mask.lines();
  int64_t* const result = reinterpret_cast<int64_t*>(canvas.arena);
  int32_t* const arena = canvas.arena + 2;
  const Moments moments(team, mask, arena);
  if (moments.area == 0) return;
  int64_t vx = variance_of(team, moments.columns, width, moments.area, moments.x);
  int64_t vy = variance_of(team, moments.lines, lines, moments.area, moments.y);
  while (vx >= 1 << 15 || vy >= 1 << 15) {
    vx >>= 1;
    vy >>= 1;
  }
  const Gaussian gaussian{(moments.x + 8) >> 4, (moments.y + 8) >> 4, vx > 1 ? vx : 1, vy > 1 ? vy : 1, width};
  const int64_t pixels = int64_t(width) * lines, scaled = (moments.area * params[0] + (1 << 15)) >> 16;
  const int64_t wanted = scaled < 1 ? 1 : scaled > pixels ? pixels : scaled;

  Span* spans = reinterpret_cast<Span*>(moments.lines + lines);
  Level low{-1, 0, spans}, high{0, pixels, spans + lines};
  spans += 2 * lines;
  for (int corner = 0; corner < 4; ++corner) {
    const int64_t q = gaussian.q(corner & 1 ? width - 1 : 0, corner & 2 ? lines - 1 : 0);
    high.threshold = q > high.threshold ? q : high.threshold;
  }
  team.for_each(lines, [=](int i) {
    low.spans[i] = {0, 0};
    high.spans[i] = {0, uint16_t(width)};
  });
  // q grows by this from one pixel to the next as long as the ellipse is inside the image.
  const int64_t growth = (256 * whole_root(gaussian.vx * gaussian.vy) * 113) / 355 + 1;
  int64_t guess = wanted * growth;
  for (int step = 0; high.count > wanted && high.threshold - low.threshold > 1 && high.count - low.count > kFew; ++step) {
    const int64_t range = high.threshold - low.threshold;
    if (step >= 4) guess = step & 1 ? low.threshold + range / 2 : low.threshold + range / (high.count - low.count) * (wanted - low.count);
    guess = guess <= low.threshold ? low.threshold + 1 : guess >= high.threshold ? high.threshold - 1 : guess;
    Span* const to = spans;
    const int64_t threshold = guess;
    const int64_t count = team.sum(1, lines, [=](int, int i) {
      const Span span = gaussian.span(threshold, i);
      to[i] = span;
      return span.end - span.begin;
    });
    Level& end = count >= wanted ? high : low;
    spans = end.spans;
    end = {threshold, count, to};
    guess += (wanted - count + (count >= wanted ? -kFew / 4 : kFew / 4)) * growth;
  }
  if (high.count > wanted && high.threshold - low.threshold > 1) {
    team.one([=] { *result = pick(gaussian, low, high, lines, wanted - low.count); });
    const int64_t threshold = *result;
    team.for_each(lines, [=](int i) { put_span(mask, i, gaussian.span(threshold, i)); });
  } else {
    team.for_each(lines, [=](int i) { put_span(mask, i, high.spans[i]); });
  }
}

QG_HD size_t blob_arena(const Extent& e) { return 2 + size_t(padded_width(e)) + 4 * size_t(e.height); }

}  // namespace QG_NAMESPACE
