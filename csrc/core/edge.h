// Rows that change the boundary only: a random edge, a smoothed one.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "morph.h"
#include "noise.h"
#include "smooth.h"
#include "team.h"

namespace QG_NAMESPACE {

QG_HD size_t edge_arena(const Extent& extent) { return smooth_arena(extent); }

// params: radius, probability of 2^15.
template <class Team, class Word>
QG_ROW void jagged(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  find_band(team, canvas.mask, canvas.radii(params[0]), canvas.spare[0], canvas.spare[1], canvas.spare[2]);
  const Bits<Word> mask = canvas.mask, band = canvas.spare[0], random = canvas.spare[1];
  chance(team, draw, params[1], random, canvas.spare[2]);
  team.for_each(mask.columns(), mask.lines(), [=](int c, int i) {
    const Word at = band.column(c)[i];
    Word* const word = mask.column(c) + i;
    *word = Word((*word & Word(~at)) | (random.column(c)[i] & at));
  });
}

// params: radius.
template <class Team, class Word>
QG_ROW void smooth(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw&) {
  const Blur blur(blur_radii(canvas.radii(params[0])));
  find_band(team, canvas.mask, blur.radii, canvas.spare[0], canvas.spare[1], canvas.spare[2]);
  smooth_band(team, canvas.mask, canvas.spare[0], blur, canvas.axes == 3, canvas.spare[1], canvas.arena);
  swap_planes(canvas.mask, canvas.spare[1]);
}

}  // namespace QG_NAMESPACE
