// The ellipse that fits an outline best, in fixed point: least squares on the corners, first A u^2 + B u v + C v^2 + D u + E v = 1 about
// their mean, then A u^2 + B u v + C v^2 = 1 about the centre that this has. Shifts to the right round down.
#pragma once
#include "contour.h"

namespace QG_NAMESPACE {

constexpr int kUnit = 14;      // fraction bits of coordinates: 1 is the largest distance from the mean along an axis
constexpr int kFraction = 24;  // of the normal equations

// (a b) >> 24, also where the product takes more than 64 bits.
QG_HD int64_t times(int64_t a, int64_t b) { return (a >> kFraction) * b + (((a & ((1 << kFraction) - 1)) * b) >> kFraction); }

// The sums of products of all pairs of terms over n points, and of the terms, become equations whose solution is in Q24; elimination
// without pivoting. False where a pivot is below 2^-20 or a number beyond 2^10.
template <int kTerms>
QG_HD bool solve(int64_t (&rows)[kTerms][kTerms], int64_t (&right)[kTerms], int64_t n, int64_t (&solution)[kTerms]) {
  constexpr int kShift = 2 * kUnit - kFraction;
  for (int i = 0; i < kTerms; ++i) {
    for (int j = 0; j < kTerms; ++j) rows[i][j] = j < i ? rows[j][i] : floor_div(rows[i][j], n) >> kShift;
    right[i] = floor_div(right[i] * (1 << kUnit), n) >> kShift;
  }
  for (int k = 0; k < kTerms; ++k) {
    if (rows[k][k] < 16) return false;
    for (int i = k + 1; i < kTerms; ++i) {
      const int64_t factor = floor_div(rows[i][k] * (1 << kFraction), rows[k][k]);
      for (int j = k; j < kTerms; ++j) rows[i][j] -= times(factor, rows[k][j]);
      right[i] -= times(factor, right[k]);
    }
  }
  for (int k = kTerms - 1; k >= 0; --k) {
    int64_t rest = right[k];
    for (int j = k + 1; j < kTerms; ++j) rest -= times(rows[k][j], solution[j]);
    const int64_t whole = floor_div(rest, rows[k][k]);
    if (whole > 1 << 10 || whole < -(1 << 10)) return false;
    solution[k] = whole * (1 << kFraction) + ((rest - whole * rows[k][k]) << kFraction) / rows[k][k];
    if (solution[k] >= int64_t(1) << 34 || solution[k] <= -(int64_t(1) << 34)) return false;
  }
  return true;
}

// u and v of a corner in 1/2^14, about the mean.
QG_HD int u_of(int32_t packed) { return int16_t(packed & 0xFFFF); }
QG_HD int v_of(int32_t packed) { return packed >> 16; }

// The sums of the terms' products, those of j <= k, and of the terms, over all packed corners.
template <int kTerms, class Team>
QG_HD void add_terms(const Team& team, const Corners& corners, int u0, int v0, int64_t (&products)[kTerms][kTerms],
                     int64_t (&sums)[kTerms]) {
  constexpr int kPairs = kTerms * (kTerms + 1) / 2;
  int64_t total[kPairs + kTerms] = {};
  const int32_t* const at = corners.at;
  team.totals(corners.count, total, [=](int i, int64_t (&to)[kPairs + kTerms]) {
    const int u = u_of(at[i]) - u0, v = v_of(at[i]) - v0;
    const int all[5] = {int((int64_t(u) * u) >> kUnit), int((int64_t(u) * v) >> kUnit), int((int64_t(v) * v) >> kUnit), u, v};
    int pair = 0;
    for (int j = 0; j < kTerms; ++j) {
      for (int k = j; k < kTerms; ++k) to[pair++] += int64_t(all[j]) * all[k];
      to[kPairs + j] += all[j];
    }
  });
  int pair = 0;
  for (int j = 0; j < kTerms; ++j) {
    for (int k = j; k < kTerms; ++k) products[j][k] = total[pair++];
    sums[j] = total[kPairs + j];
  }
}

struct Conic {
  int64_t a, b, c;                             // Q16
  int64_t total_x, total_y, unit, count;       // a pixel's u is (x count - total_x) 2^14 / unit
  int32_t centre_u, centre_v, half, is_there;  // half a pixel

  QG_HD int64_t place(int x, int64_t total) const { return floor_div_near((x * count - total) * (1 << kUnit), unit); }
  QG_HD int64_t value(int64_t x, int64_t y) const { return a * ((x * x) >> kUnit) + b * ((x * y) >> kUnit) + c * ((y * y) >> kUnit); }
  QG_HD int64_t nearer(int64_t w) const { return w > half ? w - half : w < -half ? w + half : 0; }
};

// The corners are overwritten.
template <class Team>
QG_HD bool fit_conic(const Team& team, const Corners& outline, Conic* to) {
  const int n = outline.count;
  if (n < 5) return false;
  int32_t* const at = outline.at;
  Conic found{};
  found.count = n;
  int64_t total[2] = {0, 0};
  team.totals(n, total, [=](int i, int64_t* sum) {
    sum[0] += x_of(at[i]);
    sum[1] += y_of(at[i]);
  });
  found.total_x = total[0];
  found.total_y = total[1];
  constexpr int kMost = 1 << 16;
  const int64_t far[4] = {int64_t(team.most(0, n, [=](int i) { return x_of(at[i]); }).value) * n - total[0],
                          total[0] - int64_t(kMost - team.most(0, n, [=](int i) { return kMost - x_of(at[i]); }).value) * n,
                          int64_t(team.most(0, n, [=](int i) { return y_of(at[i]); }).value) * n - total[1],
                          total[1] - int64_t(kMost - team.most(0, n, [=](int i) { return kMost - y_of(at[i]); }).value) * n};
  for (int k = 0; k < 4; ++k) found.unit = far[k] > found.unit ? far[k] : found.unit;

  team.for_each(n, [=](int i) {
    const int64_t u = found.place(x_of(at[i]), found.total_x), v = found.place(y_of(at[i]), found.total_y);
    at[i] = int32_t(uint32_t(v) << 16 | (uint32_t(u) & 0xFFFF));
  });
  int64_t rows[5][5] = {}, right[5] = {}, conic[5];
  add_terms(team, outline, 0, 0, rows, right);
  if (!solve(rows, right, n, conic)) return false;
  for (int k = 0; k < 5; ++k) conic[k] >>= 8;
  const int64_t a = conic[0], b = conic[1], c = conic[2], d = conic[3], e = conic[4];
  const int64_t determinant = (4 * a * c - b * b) >> kUnit;
  if (a <= 0 || determinant <= 0) return false;
  const int64_t u0 = floor_div(b * e - 2 * c * d, determinant), v0 = floor_div(b * d - 2 * a * e, determinant), farthest = 4 << kUnit;
  if (u0 > farthest || u0 < -farthest || v0 > farthest || v0 < -farthest) return false;

  int64_t about[3][3] = {}, sums[3] = {}, centred[3];
  add_terms(team, outline, int(u0), int(v0), about, sums);
  if (!solve(about, sums, n, centred)) return false;
  found.a = centred[0] >> 8;
  found.b = centred[1] >> 8;
  found.c = centred[2] >> 8;
  if (found.a <= 0 || 4 * found.a * found.c - found.b * found.b <= 0) return false;
  found.centre_u = int32_t(u0);
  found.centre_v = int32_t(v0);
  found.half = int32_t((int64_t(n) << kUnit) / (2 * found.unit));
  found.is_there = 1;
  team.one([=] { *to = found; });
  return true;
}

constexpr int32_t kNowhere = INT32_MIN;  // a column that is too far from the mean

// A line of pixels, and the coordinates of the three that each pixel stands for: itself, and half a pixel nearer to the centre along x and
// along y. The outline is drawn too, and an outline of whole pixels may lie that far outside.
//
// The value of one is G = (a u^2 + b u v + c v^2) / 2^14, but for rounding down thrice: less than `slack` / 2 away from G. G is convex in
// u. So where the value is above the limit by the slack and G grows outwards, nothing farther out is inside; and between two pixels where
// it is below the limit by the slack all is inside. What is left is looked at pixel by pixel, from a guess of both ends on, that decides
// nothing.
template <class Word>
struct ConicLine {
  const Conic& conic;
  const int32_t *u, *across;
  Bits<Word> mask;
  int line;
  int64_t v, down, slack;

  struct Look {
    unsigned surely_inside;  // bit k: by the k-th of the three
    bool left_outside, right_outside;
  };

  // Sets the pixel if it is inside.
  QG_HD Look look(int i) const {
    constexpr int kBits = bits_of<Word>();
    const int64_t limit = int64_t(1) << 30, a = conic.a, b = conic.b, c = conic.c, at[3] = {across[i], u[i], u[i]}, by[3] = {v, down, v};
    Look seen{0, true, true};
    bool inside = false;
    for (int k = 0; k < 3; ++k) {
      const int64_t value = a * ((at[k] * at[k]) >> kUnit) + b * ((at[k] * by[k]) >> kUnit) + c * ((by[k] * by[k]) >> kUnit);
      const int64_t growth = 2 * a * at[k] + b * by[k];
      inside |= value <= limit;
      seen.surely_inside |= unsigned(value <= limit - slack) << k;
      seen.left_outside &= value > limit + slack && growth <= 0;
      seen.right_outside &= value > limit + slack && growth >= 0;
    }
    *word_at(mask, i, line) |= Word(inside) << (i % kBits);
    return seen;
  }

  // The line's pixels from <= i < to.
  QG_HD void fill(int from, int to, int left, int right) const {
    left = left < from ? from : left >= to ? to - 1 : left;
    right = right < left ? left : right >= to ? to - 1 : right;
    int first = left, last = right;
    Look seen = look(left);
    unsigned by_first = seen.surely_inside, by_last = 0;
    for (int i = left; !seen.left_outside && --i >= from;) seen = look(i);
    while (!by_first && first < right) by_first = look(++first).surely_inside;
    seen = look(right);
    by_last = seen.surely_inside;
    for (int i = right; !seen.right_outside && ++i < to;) seen = look(i);
    while (!by_last && last > first) by_last = look(--last).surely_inside;
    if (last - first < 2) return;
    // The same one of the three at both ends, or two that hold the middle both.
    bool all = by_first & by_last;
    if (!all) {
      const unsigned middle = look((first + last) / 2).surely_inside;
      all = (by_first & middle) && (by_last & middle);
    }
    if (all) {
      for (int c = first / bits_of<Word>(); c * bits_of<Word>() <= last; ++c) mask.column(c)[line] |= span_word<Word>(c, first, last + 1);
    } else {
      for (int i = first + 1; i < last; ++i) look(i);
    }
  }
};

// The pixels inside or on the ellipse, in canvas.mask. The outline is drawn too: up to half a pixel along x or along y may be missing, as
// in an outline of whole pixels. across: scratch, 2 a column of pixels.
template <class Team, class Word>
QG_ROW void fill_conic(const Team& team, const Bits<Word>& mask, const Conic* conic, int32_t* across) {
  const int width = mask.extent.width;
  int32_t* const u = across + width;
  fill_plane(team, mask, false);
  team.for_each(width, [=](int x) {
    const int64_t place = conic->place(x, conic->total_x);
    const bool near = place <= 4 << kUnit && place >= -(4 << kUnit);
    u[x] = near ? int32_t(place) - conic->centre_u : kNowhere;
    across[x] = near ? int32_t(conic->nearer(u[x])) : kNowhere;
  });
  const Conic e = *conic;
  // In u^2 + 2 slope u v + (flatness + slope^2) v^2 = top; how many pixels a unit is.
  const double slope = double(e.b) / (2 * double(e.a)), flatness = double(e.c) / double(e.a) - slope * slope;
  const double top = double(int64_t(1) << 44) / double(e.a);
  const double pixels = double(e.unit) / (double(e.count) * (1 << kUnit)), middle = double(e.total_x) / double(e.count);
  // The least that G is on a line is (4 a c - b^2) v^2 / (4 a 2^14).
  const int64_t slack = 2 * (e.a + e.c + (e.b < 0 ? -e.b : e.b)), least = (4 * e.a * e.c - e.b * e.b) >> 26;
  const int64_t most = (((int64_t(1) << 30) + slack) * (4 * e.a) >> 12) + 1;
  team.for_each(mask.lines(), [=](int y) {
    const int64_t place = e.place(y, e.total_y);
    if (place > 4 << kUnit || place < -(4 << kUnit)) return;
    int from = 0, to = width;
    while (from < to && u[from] == kNowhere) ++from;
    while (to > from && u[to - 1] == kNowhere) --to;
    if (from == to) return;
    const int64_t v = place - e.centre_v, down = e.nearer(v);
    if (least * (down * down) > most) return;
    double left = width, right = 0;
    for (int k = 0; k < 3; ++k) {
      const double w = double(k == 1 ? down : v), square = top - flatness * w * w;
      const double reach = rough_root(square > 0 ? square : 0) + (k == 0 ? double(e.half) : 0), centre = e.centre_u - slope * w;
      const double begin = (centre - reach) * pixels + middle, end = (centre + reach) * pixels + middle;
      left = begin < left ? begin : left;
      right = end > right ? end : right;
    }
    const ConicLine<Word> pixel_line{e, u, across, mask, y, v, down, slack};
    pixel_line.fill(from, to, int(left < 0 ? 0 : left), int(right > width ? width : right));
  });
}

}  // namespace QG_NAMESPACE
