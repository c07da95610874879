// Rows that know the connected components.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "team.h"

namespace QG_NAMESPACE {

QG_HD size_t parts_arena(const Extent&) { return 0; }

template <class Team, class Word>
QG_ROW void largest_only(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

template <class Team, class Word>
QG_ROW void drop_component(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}

}  // namespace QG_NAMESPACE
