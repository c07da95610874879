// Rows that change the boundary only: a random edge, a smoothed one.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "team.h"

namespace QG_NAMESPACE {

QG_HD size_t edge_arena(const Extent&) { return 0; }

template <class Team, class Word>
QG_ROW void jagged(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void smooth(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

}  // namespace QG_NAMESPACE
