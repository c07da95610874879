// What runs a sample's program on its bits: one operation after the other, by the numbers of recipes/operations.py.
#pragma once
#include "donor.h"
#include "edge.h"
#include "fill.h"
#include "morph.h"
#include "op.h"
#include "parts.h"
#include "recipe.h"
#include "shape.h"
#include "soft.h"
#include "spots.h"
#include "warp.h"

namespace QG_NAMESPACE {

// int32 words of scratch that a row wants on a mask of this size.
QG_HD size_t arena_words(const int32_t* row, const Extent& extent, const Spacing& spacing) {
  switch (row[0] / 8) {
    case kJagged / 8:
      return edge_arena(extent);
    case kShift / 8:
      return warp_arena(row, extent, spacing);
    case kHoles / 8:
      return spots_arena(extent);
    case kEllipse / 8:
      return shape_arena(extent);
    case kLargestOnly / 8:
      return parts_arena(extent);
    case kInvert / 8:
      return fill_arena(extent);
    default:
      return 0;
  }
}

// The most that any row of the recipe wants, or its softness.
QG_HD size_t recipe_arena(const Recipe& recipe, const Extent& extent, const Spacing& spacing) {
  size_t most = recipe.p_soft() ? smooth_arena(extent) : 0;
  for (int r = 0; r < recipe.row_count(); ++r) {
    const size_t wanted = arena_words(recipe.row(r), extent, spacing);
    most = wanted > most ? wanted : most;
  }
  return most;
}

template <class Team, class Word>
QG_ROW void morph_row(const Team& team, Canvas<Word>& canvas, int32_t op, int radius) {
  morph_by(team, canvas.mask, canvas.spare[0], op, canvas.radii(radius));
}

// One row on the canvas: row[0] is the operation, its parameters follow.
template <class Team, class Word>
QG_HD void run_row(const Team& team, Canvas<Word>& canvas, const int32_t* row, const Draw& draw) {
  const int32_t* const params = row + 1;
  switch (row[0]) {
    case kErode:
    case kDilate:
    case kOpening:
    case kClosing:
      return morph_row(team, canvas, row[0], params[0]);
    case kJagged:
      return jagged(team, canvas, params, draw);
    case kSmooth:
      return smooth(team, canvas, params, draw);
    case kShift:
      return shift(team, canvas, params, draw);
    case kAffine:
      return affine(team, canvas, params, draw);
    case kGrid:
      return grid(team, canvas, params, draw);
    case kElastic:
      return elastic(team, canvas, params, draw);
    case kHoles:
      return holes(team, canvas, params, draw);
    case kIslands:
      return islands(team, canvas, params, draw);
    case kHolesAndIslands:
      return holes_and_islands(team, canvas, params, draw);
    case kRectDropout:
      return rect_dropout(team, canvas, params, draw);
    case kEllipse:
      return ellipse(team, canvas, params, draw);
    case kPolygon:
      return polygon(team, canvas, params, draw);
    case kConvexHull:
      return convex_hull(team, canvas, params, draw);
    case kBoundingBox:
      return bounding_box(team, canvas, params, draw);
    case kCircularBlob:
      return circular_blob(team, canvas, params, draw);
    case kGaussianBlob:
      return gaussian_blob(team, canvas, params, draw);
    case kLargestOnly:
      return largest_only(team, canvas, params, draw);
    case kDropComponent:
      return drop_component(team, canvas, params, draw);
    case kInvert:
      return invert(team, canvas, params, draw);
    case kEmpty:
      return empty(team, canvas, params, draw);
    case kFull:
      return full(team, canvas, params, draw);
    case kRandom:
      return random(team, canvas, params, draw);
    default:
      return;
  }
}

// The whole program of a sample; `image` is the number of its image in the bank, where there is one.
template <class Team, class Word>
QG_HD void run(const Team& team, Canvas<Word>& canvas, const Recipe& recipe, const Program& program, const qg::BankTables& bank,
               int64_t image, uint64_t seed, uint64_t sample) {
  for (int k = 0; k < kPositions; ++k) {
    if (program.row[k] < 0) continue;
    const int32_t* const row = recipe.row(program.row[k]);
    if (row[0] == kFromOther)
      cross_image(team, canvas, bank, image, program.donor);
    else if (row[0] == kFromWeak)
      weak(team, canvas, bank, image, program.donor);
    else
      run_row(team, canvas, row, Draw{seed, sample, uint32_t(16 * (k + 1))});
    team.one([] {});  // a row that finds nothing to do may have left without waiting for those that still read its scratch
  }
}

}  // namespace QG_NAMESPACE
