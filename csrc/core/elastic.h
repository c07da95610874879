// Moves pixels by a smooth random field: a cubic B-spline over a lattice of sums of random bytes, with integer weights. A field of at most
// r pixels changes nothing that erosion by r leaves and nothing that dilation by r does not reach: only the band between is looked up.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "field.h"
#include "morph.h"
#include "team.h"

namespace QG_NAMESPACE {

// 65536 times the most that the spline is between this row of nodes and the next; `unit` is that of a node, 65536 or less. The spline lies
// within its Bezier points, which are (1 4 1) / 6, (2 1) / 3 and (1 2) / 3 of neighbouring nodes along each axis; 1560 / 65536 of the
// largest is more than the rounded weights are off.
QG_HD int farthest_of(const int32_t* row, int across, int unit) {
  const int32_t *const above = row - across, *const below = row + across;
  int most = 0, largest = 0;
  for (int y = 0; y < 3; ++y) {  // in 1/36
    const int a = y == 0 ? 1 : 0, b = y == 2 ? 2 : 4, c = y == 0 ? 1 : y == 1 ? 2 : 4;
    for (int i = 1; i < across - 1; ++i) {
      const int left = a * above[i - 1] + b * row[i - 1] + c * below[i - 1];
      const int here = a * above[i] + b * row[i] + c * below[i];
      const int right = a * above[i + 1] + b * row[i + 1] + c * below[i + 1];
      most = max_of(most, max_of(size_of(left + 4 * here + right), max_of(size_of(4 * here + 2 * right), size_of(2 * here + 4 * right))));
    }
  }
  for (const int32_t* nodes = above; nodes <= below; nodes += across)
    for (int i = 0; i < across; ++i) largest = max_of(largest, size_of(nodes[i]));
  return min_of(largest * unit, most * unit / 36 + 1 + 1560 * largest / (65536 / unit) + 1);
}

// Words 2 m and 2 m + 1 of plane 1 are node m's.
template <class Team>
QG_HD void draw_nodes(const Team& team, const Lattice& to, int nodes, const Draw& draw) {
#ifdef QG_LANES32
  using L = Lanes32;
  team.for_each(ceil_div(nodes, 2 * L::kLanes), [=](int group) {
    L::Vector word[4];
    draw.blocks(uint32_t(group * L::kLanes), 1, word);
    for (int k = 0; k < 4; ++k) {
      const auto pairs = L::add(L::and_of(word[k], L::all(0xFF00FF)), L::and_of(L::template down<8>(word[k]), L::all(0xFF00FF)));
      word[k] = L::add(L::times16(pairs, L::all(0x10001)), L::all(-510));
    }
    L::store_pairs(to.moves[0] + 2 * L::kLanes * group, word[0], word[2]);
    L::store_pairs(to.moves[1] + 2 * L::kLanes * group, word[1], word[3]);
  });
#else
  team.for_each(ceil_div(nodes, 2), [=](int block) {
    const Words4 words = draw.block(uint32_t(block), 1);
    for (int k = 0; k < 2; ++k) {
      to.moves[0][2 * block + k] = byte_sum(words.word[2 * k]);
      to.moves[1][2 * block + k] = byte_sum(words.word[2 * k + 1]);
    }
  });
#endif
}

// The mean of the squares of a spline's weights, in 1/65536; phase as spline_weights makes it.
QG_HD int64_t power_of(const int32_t* phase, int spacing) {
  int64_t power = 0;
  for (int i = 0; i < kTaps * spacing; ++i) power += int64_t(phase[i]) * phase[i];
  return power / spacing;
}

// Q16.16 px a unit, so that the field's variance is amplitude^2: 454050 is 2^26 over the standard deviation of a sum of four random bytes,
// `deviation` that of the spline over nodes of variance 1, in 1/65536.
QG_HD int64_t gain_of(int64_t amplitude, int64_t deviation) { return amplitude * 454050 / (deviation << 10); }

// Lays out a plane of nodes with `axes` moves each in `memory`, and makes its tables.
template <class Team>
QG_HD Lattice make_lattice(const Team& team, const Extent& e, int axes, int spacing_x, int spacing_y, int32_t* memory) {
  Lattice lattice{};
  lattice.spacing_x = spacing_x;
  lattice.spacing_y = spacing_y;
  lattice.across = nodes_along(e.width, spacing_x);
  lattice.down = nodes_along(e.height, spacing_y);
  lattice.width = lattice_width(e);
  for (int axis = 0; axis < axes; ++axis, memory += lattice.across * lattice.down + kVectorRoom) lattice.moves[axis] = memory;
  int32_t* const phase_x = memory;
  lattice.phase_y = phase_x + kTaps * kMostSpacing;
  lattice.node = lattice.phase_y + kTaps * kMostSpacing;
  lattice.weight = lattice.node + lattice.width;
  lattice.farthest = lattice.weight + kTaps * lattice.width;
  const Lattice to = lattice;
  team.for_each(spacing_x, [=](int j) { spline_weights(j, spacing_x, phase_x + kTaps * j); });
  team.for_each(spacing_y, [=](int j) { spline_weights(j, spacing_y, to.phase_y + kTaps * j); });
  team.for_each(ceil_div(to.width, spacing_x), [=](int node) {
    for (int j = 0; j < spacing_x && node * spacing_x + j < to.width; ++j) {
      to.node[node * spacing_x + j] = node;
      for (int k = 0; k < kTaps; ++k) to.weight[k * to.width + node * spacing_x + j] = phase_x[kTaps * j + k] * (1 + (64 << 16));
    }
  });
  return lattice;
}
QG_HD int32_t* behind_lattice(const Lattice& lattice, int axes) { return lattice.farthest + axes * lattice.down; }

// How far the plane's nodes move pixels along each of kAxes axes, at most.
template <int kAxes, class Team>
QG_HD void find_reach(const Team& team, const Lattice& lattice, int unit, int (&reach)[3]) {
  const Lattice to = lattice;
  const int rows = to.down - 2;
  team.for_each(kAxes, rows, [=](int axis, int row) {
    to.farthest[axis * to.down + row] = farthest_of(to.moves[axis] + (row + 1) * to.across, to.across, unit);
  });
  for (int axis = 0; axis < kAxes; ++axis) {
    int most = 0;
    for (int row = 0; row < rows; ++row) most = max_of(most, to.farthest[axis * to.down + row]);
    most += unit < 65536 ? 256 : 0;  // what rounding along y takes off
    const int gain = to.gain[axis];
    reach[axis] = max_of(reach[axis], max_of(pixels_of<kAxes>(most, gain), -pixels_of<kAxes>(-most, gain)));
  }
}

// params: standard deviation of the displacement and smoothness, Q16.16 px.
template <class Team, class Word>
QG_ROW void elastic_image(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  const Bits<Word> mask = canvas.mask;
  const Extent e = mask.extent;
  const int spacing = lattice_spacing(params[1]);
  Lattice lattice = make_lattice(team, e, 2, spacing, spacing, canvas.arena);
  lattice.gain[0] = lattice.gain[1] = int(gain_of(params[0], power_of(lattice.phase_y, spacing)));
  draw_nodes(team, lattice, lattice.across * lattice.down, draw);
  int reach[3] = {0, 0, 0};
  find_reach<2>(team, lattice, 65536, reach);
  if (reach[0] == 0 && reach[1] == 0) return;
  const Picture picture = picture_of(team, mask, behind_lattice(lattice, 2));
  find_band(team, mask, {0, reach[1], reach[0]}, canvas.spare[0], canvas.spare[1], canvas.spare[2]);
  const Bits<Word> band = canvas.spare[0];
  const Lattice nodes = lattice;
#ifdef QG_WINDOWS
  const bool in_windows = reach[0] <= kWindowReachX && reach[1] <= kWindowReachY;
#endif
  team.for_each(mask.columns(), e.height, [=](int c, int line) {
    const Word wanted = band.column(c)[line];
    if (wanted == 0) return;
    Word* const word = mask.column(c) + line;
#ifdef QG_WINDOWS
    if (in_windows) {
      *word = Word((*word & Word(~wanted)) | moved_in_windows(nodes, picture, e, c * bits_of<Word>(), line, wanted));
      return;
    }
#endif
    *word = Word((*word & Word(~wanted)) | moved_word<2>(nodes, picture, e, c * bits_of<Word>(), line, 0, wanted));
  });
}

}  // namespace QG_NAMESPACE
