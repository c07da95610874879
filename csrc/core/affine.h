// Scales, rotates and shifts: every pixel of the result looks its source up. Lines are cut to where their sources can lie in the mask's
// box.
#pragma once
#include "blob.h"
#include "canvas.h"
#include "draw.h"
#include "integers.h"
#include "morph.h"
#include "picture.h"
#include "team.h"

namespace QG_NAMESPACE {

constexpr int64_t kOne = 65536;  // Q16.16

// Counts of the mask's columns and lines, then four pictures (truncating) or one.
QG_HD size_t affine_arena(const Extent& e) { return size_t(padded_width(e)) + size_t(e.height) + 4 * picture_words(e); }

struct Turn {
  int64_t cosine, sine;  // Q16.16
};

// Of Q16.16 degrees: quarter turns taken off, then Taylor polynomials in Q28.
QG_HD Turn turn_of(int64_t degrees) {
  const int64_t quarter = 90 * kOne, one = int64_t(1) << 28;
  const int64_t turns = floor_div(degrees + quarter / 2, quarter);
  const int64_t x = ((degrees - turns * quarter) * 18740330) >> 18;  // pi / 180 in Q30
  const int64_t square = (x * x) >> 28;
  int64_t s = one, c = one;
  for (int k = 9; k > 1; k -= 2) {
    s = one - floor_div((square * s) >> 28, k * (k - 1));
    c = one - floor_div((square * c) >> 28, (k - 1) * (k - 2));
  }
  s = (((x * s) >> 28) + 2048) >> 12;
  c = (c + 2048) >> 12;
  switch (turns & 3) {
    case 0:
      return {c, s};
    case 1:
      return {-s, c};
    case 2:
      return {-c, -s};
    default:
      return {s, -c};
  }
}

// Where pixel (x, y) comes from: x: ax x + bx y + cx, likewise y, Q16.16.
struct Affine {
  int64_t ax, bx, cx, ay, by, cy;
};

// Foreground lies within, ends included.
struct Box {
  int left, right, top, bottom;
};

struct Place {
  int64_t area, x, y;  // x, y: centroid, Q16.16
  Box box;
};

template <class Team, class Word>
QG_HD Place place_of(const Team& team, const Bits<Word>& mask, int32_t* arena) {
  int32_t *const columns = arena, *const lines = arena + padded_width(mask.extent);
  const int width = mask.extent.width, height = mask.extent.height;
  count_lines(team, mask, columns, lines);
  Place place{};
  place.area = team.sum(1, height, [=](int, int i) { return int64_t(lines[i]); });
  if (place.area == 0) return place;
  place.x = (team.sum(1, width, [=](int, int i) { return int64_t(columns[i]) * i; }) << 16) / place.area;
  place.y = (team.sum(1, height, [=](int, int i) { return int64_t(lines[i]) * i; }) << 16) / place.area;
  Box box{0, width - 1, 0, height - 1};
  while (columns[box.left] == 0) ++box.left;
  while (columns[box.right] == 0) --box.right;
  while (lines[box.top] == 0) ++box.top;
  while (lines[box.bottom] == 0) --box.bottom;
  place.box = box;
  return place;
}

struct Between {
  int begin, end;

  // x of begin .. end with low <= a x + b <= high, and perhaps one or two more at each end: rounding does not matter.
  QG_HD Between cut(int64_t a, double over_a, int64_t b, int64_t low, int64_t high) const {
    if (a == 0) return b < low || b > high ? Between{0, 0} : *this;
    const double p = double(low - b) * over_a, q = double(high - b) * over_a;
    const int64_t first = int64_t(p < q ? p : q) - 1, last = int64_t(p < q ? q : p) + 2;
    return {first > begin ? int(first < end ? first : end) : begin, last < end ? int(last > begin ? last : begin) : end};
  }
};

// The pixels begin .. end of one line, to words of the canvas. `half` rounds: 2^15 to the nearest pixel; truncating, 2^10, and a pixel is
// 1 where all that linear interpolation would weigh are: pictures hold the mask and its ANDs with its neighbours to the right, below, both.
struct Sampler {
  Picture picture;
  Affine map;
  int half;
  bool truncate, narrow;  // narrow: all coordinates fit 32 bits
#ifdef QG_LANES32
  Lanes32::Vector step_x, step_y;  // of the lanes from the first
#endif

  QG_HD Sampler(const Picture& picture, const Affine& map, bool truncate, bool narrow)
      : picture(picture), map(map), half(truncate ? 1024 : 32768), truncate(truncate), narrow(narrow) {
#ifdef QG_LANES32
    step_x = Lanes32::times(Lanes32::ramp(), Lanes32::all(int(map.ax)));
    step_y = Lanes32::times(Lanes32::ramp(), Lanes32::all(int(map.ay)));
#endif
  }

  QG_HD uint32_t pixel(int x, int line) const {
    const int64_t sx = map.ax * x + map.bx * line + map.cx + half, sy = map.ay * x + map.by * line + map.cy + half;
    const int64_t px = sx >> 16, py = sy >> 16;
    if (px < 0 || px >= picture.width || py < 0 || py >= picture.lines) return 0;
    Picture from = picture;
    if (truncate) from.word += picture.to_next() * (((sx >> 11 & 31) != 0) + 2 * ((sy >> 11 & 31) != 0));
    return from.pixel(int(px), int(py));
  }

#ifdef QG_LANES32
  // A vector's pixels, x and on; sx, sy: the line's coordinates at x = 0, `half` added.
  QG_HD uint32_t gathered(int x, int64_t sx, int64_t sy) const {
    using L = Lanes32;
    const auto vx = L::add(L::all(int(sx + map.ax * x)), step_x), vy = L::add(L::all(int(sy + map.ay * x)), step_y),
               px = L::shifted<16>(vx), py = L::shifted<16>(vy);
    const auto there = L::both(L::inside(px, picture.width), L::inside(py, picture.lines));
    if (L::none(there)) return 0;
    auto index = picture.index(px, py);
    if (truncate) {
      index = L::add_where(L::any_of(vx, 31 << 11), index, int(picture.to_next()));
      index = L::add_where(L::any_of(vy, 31 << 11), index, 2 * int(picture.to_next()));
    }
    return L::gather_bits(there, picture.word, index, px);
  }
#endif

#ifdef QG_WINDOWS
  // Bit k: pixel x + k, of those from `begin` to `end`, which lie within x .. x + 31. False where their sources do not lie in one window.
  QG_HD bool in_window(int x, int begin, int end, int64_t sx, int64_t sy, uint32_t* found) const {
    using L = Lanes16;
    const auto low = [](int64_t a, int64_t b) { return int((a < b ? a : b) >> 16); };
    const int64_t ax = sx + map.ax * begin, bx = sx + map.ax * (end - 1), ay = sy + map.ay * begin, by = sy + map.ay * (end - 1);
    const int left = max_of(low(ax, bx), 0), right = min_of(-low(~ax, ~bx) - 1, picture.width - 1);
    const int top = max_of(low(ay, by), 0), bottom = min_of(-low(~ay, ~by) - 1, picture.lines - 1);
    *found = 0;
    if (left > right || top > bottom) return true;
    const int column = left / kPictureBits;
    if (right / kPictureBits - column >= kWindowColumns || bottom - top >= kWindowLines) return false;
    using Wide = Lanes32;
    const auto vx0 = Wide::add(Wide::all(int(sx + map.ax * x)), step_x), vx1 = Wide::add(vx0, Wide::all(int(map.ax) * Wide::kLanes));
    const auto vy0 = Wide::add(Wide::all(int(sy + map.ay * x)), step_y), vy1 = Wide::add(vy0, Wide::all(int(map.ay) * Wide::kLanes));
    const auto px = L::high_halves(vx0, vx1), py = L::high_halves(vy0, vy1);
    const uint32_t there = L::inside(px, picture.width) & L::inside(py, picture.lines) & (~0u >> (32 - (end - begin)) << (begin - x));
    if (!truncate) {
      *found = Window(picture, column, top).pixels(px, py) & there;
      return true;
    }
    // What is 1 with all its neighbours is 1 with any of them; few are left.
    const auto seen = [&](int k) {
      return Window({picture.word + k * picture.to_next(), picture.width, picture.lines}, column, top).pixels(px, py);
    };
    *found = seen(3) & there;
    const uint32_t left_out = there & ~*found;
    if (left_out == 0) return true;
    const uint32_t between_x = L::any_of(L::low_halves(vx0, vx1), 31 << 11), between_y = L::any_of(L::low_halves(vy0, vy1), 31 << 11);
    for (int k = 0; k < 3; ++k) {
      const uint32_t these = left_out & (k & 1 ? between_x : ~between_x) & (k & 2 ? between_y : ~between_y);
      if (these) *found |= seen(k) & these;
    }
    return true;
  }
#endif

  template <class Word>
  QG_HD Word word(int first, int begin, int end, int line) const {
    Word found = 0;
#ifdef QG_LANES32
    if (narrow) {
      const int64_t sx = map.bx * line + map.cx + half, sy = map.by * line + map.cy + half;
#ifdef QG_WINDOWS
      for (int x = begin / Lanes16::kLanes * Lanes16::kLanes; x < end; x += Lanes16::kLanes) {
        uint32_t some;
        if (!in_window(x, max_of(begin, x), min_of(end, x + Lanes16::kLanes), sx, sy, &some))
          some = gathered(x, sx, sy) | gathered(x + Lanes32::kLanes, sx, sy) << Lanes32::kLanes;
        found |= Word(some) << (x - first);
      }
#else
      for (int x = begin / Lanes32::kLanes * Lanes32::kLanes; x < end; x += Lanes32::kLanes)
        found |= Word(gathered(x, sx, sy)) << (x - first);
#endif
      return found;
    }
#endif
    for (int x = begin; x < end; ++x) found |= Word(pixel(x, line)) << (x - first);
    return found;
  }
};

// Which pixels of a line can have sources in the box.
struct Ends {
  Affine map;
  Box box;
  double over_ax, over_ay;
  int64_t half;

  QG_HD Ends(const Sampler& sampler, const Box& box)
      : map(sampler.map),
        box(box),
        over_ax(map.ax ? 1.0 / double(map.ax) : 0),
        over_ay(map.ay ? 1.0 / double(map.ay) : 0),
        half(sampler.half) {}
  QG_HD Between of(int line, int width) const {
    const Between span =
        Between{0, width}.cut(map.ax, over_ax, map.bx * line + map.cx + half, box.left * kOne, box.right * kOne + kOne - 1);
    return span.cut(map.ay, over_ay, map.by * line + map.cy + half, box.top * kOne, box.bottom * kOne + kOne - 1);
  }
};

template <class Team, class Word>
QG_HD void look_up(const Team& team, const Sampler& sampler, const Box& box, const Bits<Word>& out) {
  constexpr int kBits = bits_of<Word>();
  const Ends ends(sampler, box);
  const int width = out.extent.width, columns = out.columns();
  team.for_each(out.extent.height, [=](int line) {
    const Between span = ends.of(line, width);
    for (int c = 0; c < columns; ++c) {
      const int first = c * kBits, begin = max_of(span.begin, first), end = min_of(span.end, min_of(first + kBits, width));
      out.column(c)[line] = begin < end ? sampler.template word<Word>(first, begin, end, line) : Word(0);
    }
  });
}

// out = the mask through the map; the mask is used up where `truncate`.
template <class Team, class Word>
QG_HD void sample_affine(const Team& team, const Bits<Word>& mask, const Bits<Word>& out, const Bits<Word>& other, const Box& box,
                         const Affine& map, bool truncate, int32_t* memory) {
  constexpr int kBits = bits_of<Word>();
  const int height = mask.extent.height, columns = mask.columns();
  const auto size = [](int64_t v) { return v < 0 ? -v : v; };
  const int64_t far_x = size(map.ax) * (columns * kBits) + size(map.bx) * height + size(map.cx);
  const int64_t far_y = size(map.ay) * (columns * kBits) + size(map.by) * height + size(map.cy);
  const int64_t most = (int64_t(1) << 31) - kOne;
  const int words = int(picture_words(mask.extent));
  const Sampler sampler(picture_of(team, mask, memory), map, truncate, far_x < most && far_y < most);
  if (truncate) {
    team.for_each(columns, height, [=](int c, int i) {
      const Word next = c + 1 < columns ? mask.column(c + 1)[i] : Word(0);
      out.column(c)[i] = Word(mask.column(c)[i] & Word(Word(mask.column(c)[i] >> 1) | Word(next << (kBits - 1))));
    });
    picture_of(team, out, memory + words);
    const auto and_below = [=](const Bits<Word>& from, const Bits<Word>& to) {
      team.for_each(columns, height,
                    [=](int c, int i) { to.column(c)[i] = i + 1 < height ? Word(from.column(c)[i] & from.column(c)[i + 1]) : Word(0); });
    };
    and_below(mask, other);
    picture_of(team, other, memory + 2 * words);
    and_below(out, other);
    picture_of(team, other, memory + 3 * words);
  }
  look_up(team, sampler, box, out);
  fill_padding(team, out, false);
}

// params: least and largest scale, degrees, reach of the side, all Q16.16; whether about the image's centre; whether to truncate.
template <class Team, class Word>
QG_ROW void affine_image(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  const Bits<Word> mask = canvas.mask;
  const int64_t width = mask.extent.width, height = mask.extent.height;
  const Place place = place_of(team, mask, canvas.arena);
  if (place.area == 0) return;
  const Words4 words = draw.block(0);
  const int64_t scale = between(words.word[0], params[0], params[1]), inverse = ((int64_t(1) << 32) + scale / 2) / scale;
  const Turn turn = turn_of(between(words.word[1], -int64_t(params[2]), params[2]));
  const int64_t a = (inverse * turn.cosine) >> 16, b = (inverse * turn.sine) >> 16;
  const int64_t cx = params[4] ? (width - 1) * kOne / 2 : place.x, cy = params[4] ? (height - 1) * kOne / 2 : place.y;
  // source = A (target - centre - shift) + centre, with A = rotation back / scale.
  const int64_t x = cx + between(words.word[2], -params[3] * width, params[3] * width);
  const int64_t y = cy + between(words.word[3], -params[3] * height, params[3] * height);
  const Affine map{a, -b, cx - ((a * x - b * y) >> 16), b, a, cy - ((b * x + a * y) >> 16)};
  int32_t* const memory = canvas.arena + padded_width(mask.extent) + int(height);
  sample_affine(team, mask, canvas.spare[0], canvas.spare[1], place.box, map, params[5] != 0, memory);
  swap_planes(canvas.mask, canvas.spare[0]);
}

}  // namespace QG_NAMESPACE
