#pragma once
#include "canvas.h"
#include "draw.h"
#include "team.h"
namespace QG_NAMESPACE {
QG_HD size_t elastic_arena(const Extent&) { return 0; }
template <class Team, class Word>
QG_ROW void elastic(const Team&, Canvas<Word>&, const int32_t*, const Draw&) {}
}  // namespace QG_NAMESPACE
