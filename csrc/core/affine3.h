// Scales, rotates and shifts volumes, in space.
#pragma once
#include "affine.h"

namespace QG_NAMESPACE {

// Counts along the axes, then eight pictures (truncating; of one plane four) or one.
QG_HD size_t affine3_arena(const Extent& e) { return AxisCounts::words(e) + (e.depth > 1 ? 8 : 4) * picture_words(e); }

// Where voxel (x, y, z) comes from along each axis, x first: a x + b y + c z + d, Q16.16.
struct Affine3 {
  int64_t row[3][4];
};

// Foreground lies within, ends included, x first.
struct Box3 {
  int low[3], high[3];
};

struct Place3 {
  int64_t area, centre[3];  // centroid, Q16.16
  Box3 box;
};

template <class Team, class Word>
QG_HD Place3 place3_of(const Team& team, const Bits<Word>& mask, int32_t* arena) {
  const AxisCounts count(team, mask, arena);
  const int32_t* const counts[3] = {count.x, count.y, count.z};
  const int sides[3] = {mask.extent.width, mask.extent.height, mask.extent.depth};
  const int32_t* const planes = count.z;
  Place3 place{};
  place.area = team.sum(1, sides[2], [=](int, int i) { return int64_t(planes[i]); });
  if (place.area == 0) return place;
  for (int axis = 0; axis < 3; ++axis) {
    const int32_t* const along = counts[axis];
    place.centre[axis] = (team.sum(1, sides[axis], [=](int, int i) { return int64_t(along[i]) * i; }) << 16) / place.area;
    place.box.low[axis] = 0;
    place.box.high[axis] = sides[axis] - 1;
    while (along[place.box.low[axis]] == 0) ++place.box.low[axis];
    while (along[place.box.high[axis]] == 0) --place.box.high[axis];
  }
  return place;
}

// As Sampler; pictures hold the mask and its ANDs with its neighbours to the right (1), below (2) and behind (4), in all combinations. A
// volume of one plane has none behind.
struct Sampler3 {
  Picture picture;
  Affine3 map;
  int half, height, depth;
  bool truncate, narrow;

  QG_HD int64_t start(int axis, int y, int z) const { return map.row[axis][1] * y + map.row[axis][2] * z + map.row[axis][3] + half; }

  QG_HD uint32_t voxel(int x, const int64_t (&start)[3]) const {
    int64_t s[3];
    for (int axis = 0; axis < 3; ++axis) s[axis] = start[axis] + map.row[axis][0] * x;
    const int64_t px = s[0] >> 16, py = s[1] >> 16, pz = s[2] >> 16;
    if (px < 0 || px >= picture.width || py < 0 || py >= height || pz < 0 || pz >= depth) return 0;
    Picture from = picture;
    if (truncate) {
      const int behind = (s[2] >> 11 & 31) != 0;
      if (behind && depth == 1) return 0;
      const int which = int((s[0] >> 11 & 31) != 0) + 2 * int((s[1] >> 11 & 31) != 0) + 4 * behind;
      from.word += which * picture.to_next();
    }
    return from.pixel(int(px), int(pz) * height + int(py));
  }

  template <class Word>
  QG_HD Word word(int first, int begin, int end, const int64_t (&start)[3]) const {
    Word found = 0;
#ifdef QG_LANES32
    if (narrow) {
      using L = Lanes32;
      for (int x = begin / L::kLanes * L::kLanes; x < end; x += L::kLanes) {
        const auto at = [&](int axis) {
          const auto step = L::times(L::ramp(), L::all(int(map.row[axis][0])));
          return L::add(L::all(int(start[axis] + map.row[axis][0] * x)), step);
        };
        const auto vx = at(0), vy = at(1), vz = at(2);
        const auto px = L::shifted<16>(vx), py = L::shifted<16>(vy), pz = L::shifted<16>(vz);
        auto there = L::both(L::both(L::inside(px, picture.width), L::inside(py, height)), L::inside(pz, depth));
        if (L::none(there)) continue;
        auto index = picture.index(px, py, pz, height);
        if (truncate) {
          const int words = int(picture.to_next());
          index = L::add_where(L::any_of(vx, 31 << 11), index, words);
          index = L::add_where(L::any_of(vy, 31 << 11), index, 2 * words);
          if (depth > 1)
            index = L::add_where(L::any_of(vz, 31 << 11), index, 4 * words);
          else
            there = L::both(there, L::inside(L::and_of(vz, L::all(31 << 11)), 1));
        }
        found |= Word(L::gather_bits(there, picture.word, index, px)) << (x - first);
      }
      return found;
    }
#endif
    for (int x = begin; x < end; ++x) found |= Word(voxel(x, start)) << (x - first);
    return found;
  }
};

// to = from and its neighbour along an axis (0: x); beyond the volume lies 0. Not in place.
template <class Team, class Word>
QG_HD void and_neighbour(const Team& team, const Bits<Word>& from, const Bits<Word>& to, int axis) {
  constexpr int kBits = bits_of<Word>();
  const int columns = from.columns(), height = from.extent.height, depth = from.extent.depth;
  team.for_each(columns * depth, height, [=](int o, int y) {
    const int c = o % columns, z = o / columns, line = z * height + y;
    Word next = 0;
    if (axis == 0)
      next = Word(Word(from.column(c)[line] >> 1) | Word((c + 1 < columns ? from.column(c + 1)[line] : Word(0)) << (kBits - 1)));
    else if (axis == 1)
      next = y + 1 < height ? from.column(c)[line + 1] : Word(0);
    else
      next = z + 1 < depth ? from.column(c)[line + height] : Word(0);
    to.column(c)[line] = Word(from.column(c)[line] & next);
  });
}

// out = the mask through the map; one and other are scratch.
template <class Team, class Word>
QG_HD void sample_affine3(const Team& team, const Bits<Word>& mask, const Bits<Word>& out, Bits<Word> one, Bits<Word> other,
                          const Box3& box, const Affine3& map, bool truncate, int32_t* memory) {
  constexpr int kBits = bits_of<Word>();
  const int width = mask.extent.width, height = mask.extent.height, depth = mask.extent.depth, columns = mask.columns();
  const auto size = [](int64_t v) { return v < 0 ? -v : v; };
  bool narrow = true;
  for (const auto& row : map.row)
    narrow &= size(row[0]) * (columns * kBits) + size(row[1]) * height + size(row[2]) * depth + size(row[3]) < (int64_t(1) << 31) - kOne;
  const Sampler3 sampler{picture_of(team, mask, memory),
                         map,
                         truncate ? 1024 : 32768,
                         height,
                         depth,
                         truncate,
                         narrow && 8 * Picture{nullptr, width, mask.lines()}.to_next() < INT32_MAX};
  for (int which = 1; truncate && which < (depth > 1 ? 8 : 4); ++which) {
    copy_plane(team, mask, one);
    for (int axis = 0; axis < 3; ++axis) {
      if (!(which >> axis & 1)) continue;
      and_neighbour(team, one, other, axis);
      swap_planes(one, other);
    }
    picture_of(team, one, memory + which * sampler.picture.to_next() / 2);
  }
  double over[3];
  for (int axis = 0; axis < 3; ++axis) over[axis] = map.row[axis][0] ? 1.0 / double(map.row[axis][0]) : 0;
  team.for_each(depth, height, [=](int z, int y) {
    const int64_t start[3] = {sampler.start(0, y, z), sampler.start(1, y, z), sampler.start(2, y, z)};
    Between span{0, width};
    for (int axis = 0; axis < 3; ++axis)
      span = span.cut(map.row[axis][0], over[axis], start[axis], box.low[axis] * kOne, box.high[axis] * kOne + kOne - 1);
    for (int c = 0; c < columns; ++c) {
      const int first = c * kBits, begin = max_of(span.begin, first), end = min_of(span.end, min_of(first + kBits, width));
      out.column(c)[z * height + y] = begin < end ? sampler.template word<Word>(first, begin, end, start) : Word(0);
    }
  });
  fill_padding(team, out, false);
}

// params as affine_image has them; see kernels/reference/warp3.py for the words and the matrix.
template <class Team, class Word>
QG_ROW void affine_volume(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  const Extent e = canvas.mask.extent;
  const Place3 place = place3_of(team, canvas.mask, canvas.arena);
  if (place.area == 0) return;
  const Words4 words = draw.block(0), more = draw.block(1);
  const int64_t scale = between(words.word[0], params[0], params[1]), inverse = ((int64_t(1) << 32) + scale / 2) / scale;
  const int64_t degrees = params[2];
  const Turn tz = turn_of(between(words.word[1], -degrees, degrees)), ty = turn_of(between(more.word[0], -degrees, degrees));
  const Turn tx = turn_of(between(more.word[1], -degrees, degrees));
  const int64_t cz = tz.cosine, sz = tz.sine, cy = ty.cosine, sy = ty.sine, cx = tx.cosine, sx = tx.sine;
  const int64_t p = (cz * sy) >> 16, q = (sz * sy) >> 16;
  const int64_t rotation[3][3] = {{(cz * cy) >> 16, (p * sx - sz * cx) >> 16, (p * cx + sz * sx) >> 16},
                                  {(sz * cy) >> 16, (q * sx + cz * cx) >> 16, (q * cx - cz * sx) >> 16},
                                  {-sy, (cy * sx) >> 16, (cy * cx) >> 16}};
  const int64_t side[3] = {kSpacingOne, canvas.spacing.y, canvas.spacing.z}, sides[3] = {e.width, e.height, e.depth};
  const uint32_t shifts[3] = {words.word[2], words.word[3], more.word[2]};
  int64_t centre[3], at[3];
  for (int axis = 0; axis < 3; ++axis) {
    const int64_t reach = params[3] * sides[axis];
    centre[axis] = params[4] ? (sides[axis] - 1) * kOne / 2 : place.centre[axis];
    at[axis] = centre[axis] + between(shifts[axis], -reach, reach);
  }
  Affine3 map;
  for (int i = 0; i < 3; ++i) {
    int64_t sum = 0;
    for (int j = 0; j < 3; ++j) {
      map.row[i][j] = floor_div(((inverse * rotation[i][j]) >> 16) * side[j], side[i]);
      sum += map.row[i][j] * at[j];
    }
    map.row[i][3] = centre[i] - (sum >> 16);
  }
  int32_t* const memory = canvas.arena + AxisCounts::words(e);
  sample_affine3(team, canvas.mask, canvas.spare[0], canvas.spare[1], canvas.spare[2], place.box, map, params[5] != 0, memory);
  swap_planes(canvas.mask, canvas.spare[0]);
}

template <class Team, class Word>
QG_ROW void affine(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  if (canvas.axes == 3)
    affine_volume(team, canvas, params, draw);
  else
    affine_image(team, canvas, params, draw);
}

}  // namespace QG_NAMESPACE
