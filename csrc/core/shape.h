// Rows that put a simple shape in place of the mask.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "team.h"

namespace QG_NAMESPACE {

QG_HD size_t shape_arena(const Extent&) { return 0; }

template <class Team, class Word>
QG_ROW void ellipse(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void polygon(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void convex_hull(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void bounding_box(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void circular_blob(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void gaussian_blob(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

}  // namespace QG_NAMESPACE
