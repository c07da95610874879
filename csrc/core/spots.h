// Rows that cut discs or a box out of a mask, or add discs to it.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "team.h"

namespace QG_NAMESPACE {

QG_HD size_t spots_arena(const Extent&) { return 0; }

template <class Team, class Word>
QG_ROW void holes(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void islands(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void holes_and_islands(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void rect_dropout(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

}  // namespace QG_NAMESPACE
