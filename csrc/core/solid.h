// Rows that put a disc (of volumes: a ball) or an axis-aligned Gaussian in place of the mask, where the mask lies.
#pragma once
#include "blob.h"

namespace QG_NAMESPACE {

// q = dx^2 vy + dy^2 vx, distances in 1/16 px.
struct Gaussian {
  int64_t x, y, vx, vy;
  int width, height;

  QG_HD int64_t q(int px, int line) const {
    const int64_t dx = 16 * px - x, dy = 16 * line - y;
    return dx * dx * vy + dy * dy * vx;
  }
  QG_HD Span span(int64_t threshold, int line) const {
    const int64_t dy = 16 * line - y, rest = threshold - dy * dy * vx;
    return rest < 0 ? Span{0, 0} : span_of(x, whole_root(rest / vy), 4, width);
  }
};

// q = sum of weight distance^2 over the axes, distances in 1/16 voxel, weights below 2^28: below 2^62.
struct Solid {
  int64_t x, y, z, weight_x, weight_y, weight_z;
  int width, height;

  QG_HD int64_t away(int line) const {
    const int64_t dy = 16 * (line % height) - y, dz = 16 * (line / height) - z;
    return dy * dy * weight_y + dz * dz * weight_z;
  }
  QG_HD int64_t q(int px, int line) const {
    const int64_t dx = 16 * px - x;
    return dx * dx * weight_x + away(line);
  }
  QG_HD Span span(int64_t threshold, int line) const {
    const int64_t rest = threshold - away(line);
    return rest < 0 ? Span{0, 0} : span_of(x, whole_root(rest / weight_x), 4, width);
  }
};

// What the rows below work in: result and spans of fill_nearest, then counts of pixels along x, of lines, and along y and z.
QG_HD size_t solid_arena(const Extent& e) { return 2 + 3 * size_t(e.height) * size_t(e.depth) + AxisCounts::words(e); }
QG_HD int32_t* counts_in(const Extent& e, int32_t* arena) { return arena + 2 + 3 * size_t(e.height) * size_t(e.depth); }

// Centroid in 1/256 voxel and variances in 1/65536 of x, y, z.
struct SolidMoments {
  int64_t area, mean[3], variance[3];

  template <class Team, class Word>
  QG_HD SolidMoments(const Team& team, const Bits<Word>& mask, int32_t* arena) : area(0), mean{0, 0, 0}, variance{0, 0, 0} {
    const Extent e = mask.extent;
    const AxisCounts count(team, mask, arena);
    const int32_t* const planes = count.z;
    area = team.sum(1, e.depth, [=](int, int z) { return int64_t(planes[z]); });
    if (area == 0) return;
    const int32_t* const counts[3] = {count.x, count.y, count.z};
    const int sides[3] = {e.width, e.height, e.depth};
    for (int axis = 0; axis < 3; ++axis) {
      mean[axis] = mean_of(team, counts[axis], sides[axis], area);
      variance[axis] = variance_of(team, counts[axis], sides[axis], area, mean[axis]);
    }
  }
};

// Halves all three until they are below 2^14.
QG_HD void below_most(int64_t (&v)[3]) {
  while (v[0] >= 1 << 14 || v[1] >= 1 << 14 || v[2] >= 1 << 14)
    for (int64_t& one : v) one >>= 1;
}

// The `wanted` voxels nearest to the solid's centre. An ellipsoid of N voxels has T^1.5 = N 4096 sqrt(product of weights) 3 / (4 pi).
template <class Team, class Word>
QG_HD void fill_solid(const Team& team, const Bits<Word>& mask, const Solid& solid, int64_t wanted, int32_t* arena) {
  const double cube = double(wanted) * 978 * rough_root(double(solid.weight_x) * double(solid.weight_y) * double(solid.weight_z));
  double root = 1;  // of cube, by doubling and then Newton's steps: T is its square
  while (root * root * root < cube) root *= 2;
  for (int step = 0; step < 6; ++step) root -= (root * root * root - cube) / (3 * root * root);
  const double guess = root * root;
  fill_nearest(team, mask, solid, wanted, int64_t(guess), int64_t(guess * 2 / (3 * double(wanted))) + 1, arena);
}

// The sides of a voxel below 2^14; params as circular_blob has them.
template <class Team, class Word>
QG_ROW void ball(const Team& team, Canvas<Word>& canvas, const int32_t* params) {
  const Bits<Word> mask = canvas.mask;
  const SolidMoments moments(team, mask, counts_in(mask.extent, canvas.arena));
  if (moments.area == 0) return;
  int64_t side[3] = {kSpacingOne, canvas.spacing.y, canvas.spacing.z}, centre[3];
  below_most(side);
  for (int axis = 0; axis < 3; ++axis) centre[axis] = params[0] ? moments.mean[axis] >> 8 << 4 : (moments.mean[axis] + 8) >> 4;
  const Solid solid{centre[0],         centre[1],         centre[2],         side[0] * side[0],
                    side[1] * side[1], side[2] * side[2], mask.extent.width, mask.extent.height};
  fill_solid(team, mask, solid, moments.area, canvas.arena);
}

// params as gaussian_blob has them; an axis' weight is the product of the other two's variances.
template <class Team, class Word>
QG_ROW void gaussian_solid(const Team& team, Canvas<Word>& canvas, const int32_t* params) {
  const Bits<Word> mask = canvas.mask;
  const Extent e = mask.extent;
  SolidMoments moments(team, mask, counts_in(e, canvas.arena));
  if (moments.area == 0) return;
  int64_t (&v)[3] = moments.variance;
  below_most(v);
  for (int64_t& one : v) one = one > 1 ? one : 1;
  const int64_t voxels = int64_t(e.width) * mask.lines(), scaled = (moments.area * params[0] + (1 << 15)) >> 16;
  const Solid solid{(moments.mean[0] + 8) >> 4,
                    (moments.mean[1] + 8) >> 4,
                    (moments.mean[2] + 8) >> 4,
                    v[1] * v[2],
                    v[0] * v[2],
                    v[0] * v[1],
                    e.width,
                    e.height};
  fill_solid(team, mask, solid, scaled < 1 ? 1 : scaled > voxels ? voxels : scaled, canvas.arena);
}

// A disc of the mask's area about its centroid: pixels with 355 distance^2 <= 113 area. params: 0: in 1/16 px, 1: centroid and radius are
// whole, rounded down. A volume gets a ball of as many voxels.
template <class Team, class Word>
QG_ROW void circular_blob(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw&) {
  if (canvas.axes == 3) return ball(team, canvas, params);
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

// An axis-aligned Gaussian with the mask's centroid and variances: the pixels of smallest q, as many as params[0] / 2^16 of the mask's
// area, and all that equal the last of them.
template <class Team, class Word>
QG_ROW void gaussian_blob(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw&) {
  if (canvas.axes == 3) return gaussian_solid(team, canvas, params);
  const Bits<Word> mask = canvas.mask;
  const int width = mask.extent.width, lines = mask.lines();
  const Moments moments(team, mask, counts_in(mask.extent, canvas.arena));
  if (moments.area == 0) return;
  int64_t vx = variance_of(team, moments.columns, width, moments.area, moments.x);
  int64_t vy = variance_of(team, moments.lines, lines, moments.area, moments.y);
  while (vx >= 1 << 15 || vy >= 1 << 15) {
    vx >>= 1;
    vy >>= 1;
  }
  const Gaussian gaussian{(moments.x + 8) >> 4, (moments.y + 8) >> 4, vx > 1 ? vx : 1, vy > 1 ? vy : 1, width, lines};
  const int64_t pixels = int64_t(width) * lines, scaled = (moments.area * params[0] + (1 << 15)) >> 16;
  const int64_t wanted = scaled < 1 ? 1 : scaled > pixels ? pixels : scaled;
  // q grows by this from one pixel to the next as long as the ellipse is inside the image.
  const int64_t growth = (256 * whole_root(gaussian.vx * gaussian.vy) * 113) / 355 + 1;
  fill_nearest(team, mask, gaussian, wanted, wanted * growth, growth, canvas.arena);
}

}  // namespace QG_NAMESPACE
