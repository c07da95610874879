// Outlines in whole pixels: tracing, simplifying, hulls, filling. A corner is y << 16 | x.
#pragma once
#include "canvas.h"
#include "integers.h"
#include "team.h"

namespace QG_NAMESPACE {

QG_HD int32_t corner_at(int x, int y) { return y << 16 | x; }
QG_HD int x_of(int32_t corner) { return corner & 0xFFFF; }
QG_HD int y_of(int32_t corner) { return corner >> 16; }

struct Corners {
  int32_t* at;
  int count;
};

// Corners that an outline can have. Each step of a trace uses up an edge between a pixel of the component and one of the background around
// it, 4 a pixel at most. The n pixels of that background hang together by their edges and touch the component at 2 n + 2 (width + height)
// of them at most; so there are at most 4 / 3 an image's pixel and these. Left and right turns balance, which takes 4 / 3 edges a corner.
QG_HD size_t most_corners(const Extent& e) { return size_t(e.height) * size_t(e.width) + 2 * size_t(e.height + e.width) + 16; }

// The pixels x - 1, x, x + 1 of line y in bits 0, 1, 2.
template <class Word>
QG_HD unsigned three_pixels(const Bits<Word>& mask, int x, int y) {
  constexpr int kBits = bits_of<Word>();
  if (unsigned(y) >= unsigned(mask.extent.height)) return 0;
  const int c = x / kBits, shift = x % kBits;
  const Word word = mask.column(c)[y];
  if (shift > 0 && shift < kBits - 1) return unsigned(word >> (shift - 1)) & 7;
  if (shift == 0) return unsigned(word << 1 & 7) | (c > 0 ? unsigned(mask.column(c - 1)[y] >> (kBits - 1)) : 0u);
  return unsigned(word >> (kBits - 2)) | (c + 1 < mask.columns() ? unsigned(mask.column(c + 1)[y] & 1) << 2 : 0u);
}

// The corners of the outer boundary of the component whose first pixel this is: Moore's neighbour tracing, clockwise. `memory` holds
// most_corners() of them.
template <class Word>
QG_HD Corners trace(const Bits<Word>& mask, int start_x, int start_y, int32_t* memory) {
  int32_t* const corners = memory + 1;  // the start may turn out to be a corner when all others are there
  int count = 0, x = start_x, y = start_y, look = 0, came = -1, first = -1;
  for (;;) {
    const unsigned up = three_pixels(mask, x, y - 1), level = three_pixels(mask, x, y), down = three_pixels(mask, x, y + 1);
    // Bit 0 .. 7: E, SE, S, SW, W, NW, N, NE. The nibbles are the numbers 0 .. 7 with their bits reversed.
    const unsigned ring = level >> 2 | (0x73516240u >> (4 * down) & 7) << 1 | (level & 1) << 4 | up << 5;
    if (ring == 0) {
      corners[count++] = corner_at(x, y);
      return {corners, count};
    }
    const int direction = (look + lowest_one(uint32_t((ring | ring << 8) >> look))) & 7;
    if (x == start_x && y == start_y && direction == first) {
      if (came == first) return {corners, count};
      memory[0] = corner_at(x, y);
      return {memory, count + 1};
    }
    corners[count] = corner_at(x, y);
    count += first >= 0 && direction != came;
    first = first < 0 ? direction : first;
    // 1 0 -1 by two bits a direction, plus 1.
    x += int(0x901Au >> (2 * direction) & 3) - 1;
    y += int(0x01A9u >> (2 * direction) & 3) - 1;
    came = direction;
    look = (direction + 6 - (direction & 1)) & 7;
  }
}

// Corner of the largest squared distance from corner `from`, the first of equal ones.
template <class Team>
QG_HD int farthest_from(const Team& team, const Corners& outline, int from) {
  const int32_t* const at = outline.at;
  const int x0 = x_of(at[from]), y0 = y_of(at[from]);
  return team
      .most(0, outline.count,
            [=](int i) {
              const int dx = x_of(at[i]) - x0, dy = y_of(at[i]) - y0;
              return dx * dx + dy * dy;
            })
      .at;
}

// In 1/256 px, each edge rounded down.
template <class Team>
QG_HD int64_t perimeter(const Team& team, const Corners& outline) {
  int64_t sum[1] = {0};
  team.totals(outline.count, sum, [=](int i, int64_t* total) {
    const int32_t a = outline.at[i], b = outline.at[i > 0 ? i - 1 : outline.count - 1];
    const int64_t dx = x_of(a) - x_of(b), dy = y_of(a) - y_of(b);
    total[0] += whole_root((dx * dx + dy * dy) << 16);
  });
  return sum[0];
}

// Of the corners begin < i < end: the distance of the farthest from the chord, (cross product^2 << 8) / length^2; its place in *middle.
template <class Team>
QG_HD int64_t farthest_between(const Team& team, const int32_t* at, int begin, int end, int* middle) {
  *middle = begin;
  if (end - begin < 2) return -1;
  const int x0 = x_of(at[begin]), y0 = y_of(at[begin]), dx = x_of(at[end]) - x0, dy = y_of(at[end]) - y0;
  const Most most = team.most(begin + 1, end, [=](int i) {
    const int v = dx * (y_of(at[i]) - y0) - dy * (x_of(at[i]) - x0);
    return v < 0 ? -v : v;
  });
  *middle = most.at;
  const int64_t length = int64_t(dx) * dx + int64_t(dy) * dy;
  return ((int64_t(most.value) * most.value) << 8) / (length > 0 ? length : 1);
}

QG_HD bool is_flat(int32_t before, int32_t corner, int32_t after, int64_t tolerance) {
  const int64_t x0 = x_of(before), y0 = y_of(before), x = x_of(corner), y = y_of(corner), x1 = x_of(after), y1 = y_of(after);
  const int64_t dx = x1 - x0, dy = y1 - y0, cross = (x - x0) * dy - (y - y0) * dx;
  const int64_t forward = (x - x0) * (x1 - x) + (y - y0) * (y1 - y);
  return (cross * cross) << 9 <= tolerance * (dx * dx + dy * dy) && forward >= 0 && dx != 0 && dy != 0;
}

// Leaves out corners that lie almost on the line between their neighbours; after one that goes, the next stays.
QG_HD int tidy(int32_t* corners, int count, int64_t tolerance) {
  const int32_t first = corners[0];  // kept ones take the place of earlier ones
  int32_t before = corners[count - 1];
  int kept = 0, left = count;
  for (int i = 0; i < count; ++i) {
    if (left > 2 && is_flat(before, corners[i], i + 1 < count ? corners[i + 1] : first, tolerance)) {
      --left;
      if (++i == count) break;
    }
    before = corners[i];
    corners[kept++] = before;
  }
  return kept;
}

// Douglas-Peucker with the tolerance, in 1/256 px, bisected until `vertices` are left. `memory` has room for as many corners as the outline
// and two; the outline is overwritten, and the polygon lies in `polygon`, of 4 vertices + 2.
template <class Team>
QG_HD int simplify(const Team& team, const Corners& outline, int vertices, int32_t* memory, int32_t* polygon) {
  const int n = outline.count;
  int32_t* const ends = outline.at;
  if (n <= vertices) {
    team.for_each(n, [=](int i) { polygon[i] = ends[i]; });
    return n;
  }
  int one = 0, other = 0;
  for (int k = 0; k < 3; ++k) {
    const int next = farthest_from(team, outline, other);
    one = other;
    other = next;
  }
  int64_t low = 0, high = perimeter(team, outline) / 2;
  int32_t* const at = memory;  // from `one` round to `one`, so that no span goes over the end
  team.for_each(n + 1, [=](int i) { at[i] = ends[i + one < n ? i + one : i + one - n]; });
  const int far = other > one ? other - one : other - one + n;
  int count = 0;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2, capped = middle < 1 << 22 ? middle : 1 << 22;  // beyond, all is near enough
    const int64_t tolerance = (capped * capped) >> 8;
    team.one([=] { ends[0] = n; });
    int begin = 0, end = far, open = 1;  // ends that wait behind `end`
    bool is_open = true;
    count = 0;
    while (is_open && count <= 4 * vertices) {
      int farthest;
      if (farthest_between(team, at, begin, end, &farthest) > tolerance) {
        const int waits = end, slot = open++;
        team.one([=] { ends[slot] = waits; });
        end = farthest;
      } else {
        const int corner = begin, slot = count++;
        team.one([=] { polygon[slot] = at[corner]; });
        begin = end;
        is_open = open > 0;
        end = is_open ? ends[--open] : n;
      }
    }
    if (!is_open) {
      const int all = count;
      count = team.told([=] { return tidy(polygon, all, tolerance); });
    }
    if (count == vertices) break;
    if (count > vertices)
      low = middle;
    else
      high = middle;
  }
  return count;
}

// Of each line: left end << 16 | right end of its foreground, or -1.
template <class Team, class Word>
QG_HD void line_ends(const Team& team, const Bits<Word>& mask, int32_t* ends) {
  constexpr int kBits = bits_of<Word>();
  team.for_each(mask.lines(), [=](int i) {
    int left = 0, right = mask.columns() - 1;
    while (left < right && mask.column(left)[i] == 0) ++left;
    while (right > left && mask.column(right)[i] == 0) --right;
    const Word first = mask.column(left)[i], last = mask.column(right)[i];
    ends[i] = first == 0 ? -1 : (left * kBits + lowest_one(first)) << 16 | (right * kBits + highest_one(last));
  });
}

// One side of the hull of the ends of `lines` lines, from top to bottom. side: 1 = right, -1 = left.
QG_HD int hull_side(const int32_t* ends, int lines, int side, int32_t* corners) {
  int count = 0;
  for (int y = 0; y < lines; ++y) {
    if (ends[y] < 0) continue;
    const int x = side > 0 ? ends[y] & 0xFFFF : ends[y] >> 16;
    for (; count > 1; --count) {
      const int x0 = x_of(corners[count - 2]), y0 = y_of(corners[count - 2]), x1 = x_of(corners[count - 1]), y1 = y_of(corners[count - 1]);
      if (side * ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) > 0) break;
    }
    corners[count++] = corner_at(x, y);
  }
  return count;
}

// The convex hull of all foreground, clockwise; `corners` has room for 2 a line.
QG_HD int hull(const int32_t* ends, int lines, int32_t* corners) {
  const int right = hull_side(ends, lines, 1, corners), left = hull_side(ends, lines, -1, corners + right);
  for (int i = right, k = right + left - 1; i < k; ++i, --k) {
    const int32_t kept = corners[i];
    corners[i] = corners[k];
    corners[k] = kept;
  }
  return right + left;
}

// floor((start + t step) / by) for t = 0, 1, ...; 0 <= start < by.
struct Slope {
  int by, whole, part, rest, value;

  QG_HD Slope(int start, int step, int by) : by(by), whole(int(floor_div(step, by))), part(step - whole * by), rest(start), value(0) {}
  QG_HD void next() {
    rest += part;
    const int over = rest >= by;
    rest -= over ? by : 0;
    value += whole + over;
  }
};

template <class Word>
QG_HD Word* word_at(const Bits<Word>& bits, int x, int y) {
  return bits.column(x / bits_of<Word>()) + y;
}

// One edge from a to b. `flips`: changes a bit wherever the edge crosses a line, its lower end left out, rounded to the right; `outline`:
// sets max(|dx|, |dy|) + 1 points from a on, rounded half up.
template <class Word>
QG_HD void draw_edge(int32_t a, int32_t b, const Bits<Word>& flips, const Bits<Word>& outline) {
  constexpr int kBits = bits_of<Word>();
  const int x0 = x_of(a), y0 = y_of(a), dx = x_of(b) - x0, dy = y_of(b) - y0;
  const int across = dx < 0 ? -dx : dx, down = dy < 0 ? -dy : dy, top = dy < 0 ? y0 + dy : y0, top_x = dy < 0 ? x0 + dx : x0;
  if (down > 0) {
    Slope x(down - 1, dy < 0 ? -dx : dx, down);
    for (int t = 0; t < down; ++t, x.next()) *word_at(flips, top_x + x.value, top + t) ^= Word(1) << ((top_x + x.value) % kBits);
  }
  const int length = max_of(across, down), half = max_of(length, 1);
  Slope x(half, 2 * dx, 2 * half), y(half, 2 * dy, 2 * half);
  for (int t = 0; t <= length; ++t, x.next(), y.next())
    *word_at(outline, x0 + x.value, y0 + y.value) |= Word(1) << ((x0 + x.value) % kBits);
}

// Each bit becomes the parity of itself and those below it.
template <class Word>
QG_HD Word parity_below(Word v) {
  for (int shift = 1; shift < bits_of<Word>(); shift *= 2) v ^= Word(v << shift);
  return v;
}

// canvas.mask becomes the even-odd inside of the polygon and its outline.
template <class Team, class Word>
QG_HD void fill_polygon(const Team& team, const Canvas<Word>& canvas, const int32_t* corners, const int32_t* corner_count) {
  const Bits<Word> mask = canvas.mask, flips = canvas.spare[0], outline = canvas.spare[1];
  fill_plane(team, flips, false);
  fill_plane(team, outline, false);
  team.one([=] {
    const int count = *corner_count;
    for (int i = 0; i < count; ++i) draw_edge(corners[i], corners[i + 1 < count ? i + 1 : 0], flips, outline);
  });
  for (int c = 0; c < mask.columns(); ++c) {
    const Word* const before = flips.column(c > 0 ? c - 1 : 0);
    const Word carried = Word(0) - Word(c > 0);
    team.for_each(mask.lines(), [=](int i) {
      const Word carry = Word(Word(0) - Word(before[i] >> (bits_of<Word>() - 1))) & carried;
      const Word inside = parity_below(flips.column(c)[i]) ^ carry;
      flips.column(c)[i] = inside;
      mask.column(c)[i] = inside | outline.column(c)[i];
    });
  }
}

}  // namespace QG_NAMESPACE
