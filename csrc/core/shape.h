// Rows that put a simple shape in place of the mask. An empty mask stays empty. Outlines are of images: in a volume each plane gets its
// own.
#pragma once
#include "blob.h"
#include "conic.h"
#include "contour.h"
#include "draw.h"
#include "parts.h"
#include "solid.h"

namespace QG_NAMESPACE {

// What an outline is worked out in. Components come before outlines and lie where these do.
constexpr int kMostVertices = 64;
struct Drawing {
  Conic* conic;
  int32_t *count, *polygon, *outline, *other;

  QG_HD Drawing(const Extent& e, int32_t* arena)
      : conic(reinterpret_cast<Conic*>(arena)),
        count(arena + sizeof(Conic) / sizeof(int32_t)),
        polygon(count + 2),
        outline(polygon + 4 * kMostVertices + 2),
        other(outline + (most_corners(e) + 1) / 2 * 2) {}
};

QG_HD size_t outline_arena(const Extent& e) {
  const size_t outlines = (most_corners(e) + 1) / 2 * 2 + most_corners(e), parts = parts_arena(e);
  return sizeof(Conic) / sizeof(int32_t) + 4 * kMostVertices + 4 + (outlines > parts ? outlines : parts);
}

QG_HD size_t box_arena(const Extent& e) { return 6 * size_t(ceil_div(e.width, 32)); }

QG_HD size_t shape_arena(const Extent& e) {
  const size_t most = solid_arena(e) > box_arena(e) ? solid_arena(e) : box_arena(e), outline = outline_arena({1, e.height, e.width});
  return most > outline ? most : outline;
}

// f(canvas of a plane), plane after plane.
template <class Word, class F>
QG_HD void for_planes(const Canvas<Word>& canvas, F f) {
  const Extent e = canvas.mask.extent;
  for (int z = 0; z < e.depth; ++z) {
    const auto plane_of = [=](const Bits<Word>& bits) { return Bits<Word>{bits.word + z * e.height, {1, e.height, e.width}, bits.stride}; };
    f(Canvas<Word>{plane_of(canvas.truth),
                   plane_of(canvas.mask),
                   {plane_of(canvas.spare[0]), plane_of(canvas.spare[1]), plane_of(canvas.spare[2])},
                   canvas.arena,
                   2,
                   canvas.spacing});
  }
}

// The outline of the largest component; no corners where the mask is empty.
template <class Team, class Word>
QG_HD Corners largest_outline(const Team& team, const Bits<Word>& mask, const Drawing& drawing) {
  int32_t* const outline = drawing.outline;
  const int found = team.told([=] {  // a corner's place in the memory, and how many there are
    Parts parts(mask.extent, outline);
    const Largest largest = find_parts(mask, parts);
    if (largest.count == 0) return 0;
    const int32_t first = parts.first[largest.number];
    const Corners corners = trace(mask, first & 0xFFF, first >> 12, outline);
    return corners.count << 1 | int(corners.at != outline);
  });
  return {outline + (found & 1), found >> 1};
}

// params: number of vertices.
template <class Team, class Word>
QG_ROW void polygon(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw&) {
  const int vertices = params[0];
  for_planes(canvas, [&](const Canvas<Word>& plane) {
    const Bits<Word> mask = plane.mask;
    const Drawing drawing(mask.extent, plane.arena);
    team.few([=](const auto& some) {
      const int count = simplify(some, largest_outline(some, mask, drawing), vertices, drawing.other, drawing.polygon);
      some.one([=] { *drawing.count = count; });
    });
    fill_polygon(team, plane, drawing.polygon, drawing.count);
  });
}

// The mask stays where no ellipse fits.
template <class Team, class Word>
QG_ROW void ellipse(const Team& team, Canvas<Word>& canvas, const int32_t*, const Draw&) {
  for_planes(canvas, [&](const Canvas<Word>& plane) {
    const Bits<Word> mask = plane.mask;
    const Drawing drawing(mask.extent, plane.arena);
    team.few([=](const auto& some) {
      some.one([=] { drawing.conic->is_there = 0; });
      fit_conic(some, largest_outline(some, mask, drawing), drawing.conic);
    });
    // By a sum, so that all have read it before the next plane's is written.
    const int is_there = team.sum(1, 1, [=](int, int) { return int(drawing.conic->is_there); });
    if (is_there) fill_conic(team, mask, drawing.conic, drawing.outline);
  });
}

template <class Team, class Word>
QG_ROW void convex_hull(const Team& team, Canvas<Word>& canvas, const int32_t*, const Draw&) {
  for_planes(canvas, [&](const Canvas<Word>& plane) {
    const Bits<Word> mask = plane.mask;
    const Drawing drawing(mask.extent, plane.arena);
    line_ends(team, mask, drawing.other);
    team.one([=] { *drawing.count = hull(drawing.other, mask.lines(), drawing.outline); });
    fill_polygon(team, plane, drawing.outline, drawing.count);
  });
}

// What a word column's foreground spans.
struct Range {
  int32_t ones[2], low_y, high_y, low_z, high_z;
};

template <class Word>
QG_HD Range range_of(const Bits<Word>& mask, int c) {
  const Extent e = mask.extent;
  Range range{{0, 0}, e.height, -1, e.depth, -1};
  Word all = 0;
  for (int z = 0; z < e.depth; ++z) {
    const Word* const plane = mask.column(c) + z * e.height;
    Word any = 0;
    for (int y = 0; y < e.height; ++y) any |= plane[y];
    if (any == 0) continue;
    all |= any;
    range.low_z = min_of(range.low_z, z);
    range.high_z = z;
    int y = 0;
    while (plane[y] == 0) ++y;
    range.low_y = min_of(range.low_y, y);
    y = e.height - 1;
    while (plane[y] == 0) --y;
    range.high_y = max_of(range.high_y, y);
  }
  range.ones[0] = int32_t(uint32_t(all));
  range.ones[1] = int32_t(uint32_t(uint64_t(all) >> 32));
  return range;
}

template <class Team, class Word>
QG_ROW void bounding_box(const Team& team, Canvas<Word>& canvas, const int32_t*, const Draw&) {
  const Bits<Word> mask = canvas.mask;
  const int height = mask.extent.height, columns = mask.columns();
  Range* const ranges = reinterpret_cast<Range*>(canvas.arena);
  team.for_each(columns, [=](int c) { ranges[c] = range_of(mask, c); });
  Range box{{0, 0}, mask.extent.height, -1, mask.extent.depth, -1};
  int begin = 0, end = 0;
  for (int c = 0; c < columns; ++c) {
    const Range& range = ranges[c];
    const Word all = Word(uint64_t(uint32_t(range.ones[1])) << 32 | uint32_t(range.ones[0]));
    if (all == 0) continue;
    if (end == 0) begin = c * bits_of<Word>() + lowest_one(all);
    end = c * bits_of<Word>() + highest_one(all) + 1;
    box = {{0, 0},
           min_of(box.low_y, range.low_y),
           max_of(box.high_y, range.high_y),
           min_of(box.low_z, range.low_z),
           max_of(box.high_z, range.high_z)};
  }
  if (end == 0) return;
  team.for_each(columns * mask.extent.depth, height, [=](int plane, int y) {
    const int c = plane % columns, z = plane / columns;
    const Word row = z >= box.low_z && z <= box.high_z ? span_word<Word>(c, begin, end) : Word(0);
    mask.column(c)[z * height + y] = y >= box.low_y && y <= box.high_y ? row : Word(0);
  });
}

}  // namespace QG_NAMESPACE
