// Rows that move pixels. A pixel's source is looked up; coordinates are Q16.16.
#pragma once
#include "affine3.h"
#include "canvas.h"
#include "draw.h"
#include "elastic3.h"
#include "grid.h"
#include "morph.h"
#include "op.h"
#include "team.h"

namespace QG_NAMESPACE {

// Of a row of the family: its operation, then its parameters.
QG_HD size_t warp_arena(const int32_t* row, const Extent& e, const Spacing& spacing) {
  const size_t image = affine_arena(e), volume = affine3_arena(e);
  switch (row[0]) {
    case kAffine:
      return image > volume ? image : volume;
    case kGrid:
      return grid_arena(e);
    case kElastic:
      return elastic_arena(e, spacing, row + 1);
    default:
      return 0;
  }
}

// to = from moved by whole pixels; what comes from outside is 0.
template <class Team, class Word>
QG_HD void move(const Team& team, const Bits<Word>& from, const Bits<Word>& to, int dx, int dy, int dz) {
  constexpr int kBits = bits_of<Word>();
  const Extent e = from.extent;
  const int whole = (dx >= 0 ? dx : dx - kBits + 1) / kBits, rest = dx - whole * kBits, back = kBits - 1 - rest;
  const int first_z = max_of(dz, 0), planes = max_of(e.depth - (dz < 0 ? -dz : dz), 0);
  const int first_y = max_of(dy, 0), lines = max_of(e.height - (dy < 0 ? -dy : dy), 0), offset = dz * e.height + dy;
  fill_plane(team, to, false);
  if (planes == 0 || lines == 0) return;
  team.for_each(to.columns() * planes, lines, [=](int o, int i) {
    const int c = o / planes, line = (first_z + o % planes) * e.height + first_y + i;
    const Column<false, Word> here(from, c - whole), before(from, c - whole - 1);
    to.column(c)[line] = Word(here[line - offset] << rest) | Word(before[line - offset] >> 1 >> back);
  });
  fill_padding(team, to, false);
}

// params: reach of the side, Q16.16.
template <class Team, class Word>
QG_ROW void shift(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  const Extent e = canvas.mask.extent;
  const int sides[3] = {e.depth, e.height, e.width}, skipped = 3 - canvas.axes;
  int moves[3] = {0, 0, 0};
  for (int axis = skipped; axis < 3; ++axis) {
    const int64_t reach = int64_t(params[0]) * sides[axis], drawn = between(draw.word(axis - skipped), -reach, reach);
    moves[axis] = int(drawn < 0 ? -(-drawn >> 16) : drawn >> 16);
  }
  move(team, canvas.mask, canvas.spare[0], moves[2], moves[1], moves[0]);
  swap_planes(canvas.mask, canvas.spare[0]);
}

}  // namespace QG_NAMESPACE
