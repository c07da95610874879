// The field of an elastic warp: a plane of nodes, the spline between them, and what pixels become that it moves.
#pragma once
#include "picture.h"

namespace QG_NAMESPACE {

constexpr int kMostSpacing = 112, kTaps = 4;
constexpr int kVectorRoom = 32;  // behind tables, so that vectors may be read whole

// A plane of nodes, and how pixels lie between them.
struct Lattice {
  int spacing_x, spacing_y, across, down;  // pixels between nodes; nodes along x and y
  int gain[3];                             // Q16.16 px of displacement along x, y, z per unit of a node
  int32_t* moves[3];                       // [down, across]: what a node moves by, -510 .. 510
  int32_t* phase_y;                        // [spacing_y, 4]: weights of the four nodes around, of 256
  int32_t *node, *weight;                  // of pixels along x: number of the first node; [4, width]: its weights, w + 2^16 (64 w)
  int32_t* farthest;                       // [3, down]: of a row of nodes
  int width;                               // whole words of 64 pixels
};

QG_HD int lattice_width(const Extent& e) { return ceil_div(e.width, 64) * 64; }
QG_HD int nodes_along(int side, int spacing) { return (side - 1) / spacing + 4; }
// sqrt(3) smoothness, which is Q16.16 px.
QG_HD int lattice_spacing(int64_t smoothness) {
  const int64_t spacing = (smoothness * 113512 + (int64_t(1) << 31)) >> 32;
  return spacing < 1 ? 1 : spacing > kMostSpacing ? kMostSpacing : int(spacing);
}

// Words of what a plane of nodes and its pixels take, `axes` moves a node.
QG_HD size_t lattice_words(const Extent& e, int axes, int across, int down) {
  return size_t(axes) * (size_t(across) * size_t(down) + kVectorRoom + size_t(down)) + 2 * kTaps * kMostSpacing +
         (1 + kTaps) * size_t(lattice_width(e));
}

QG_HD size_t elastic_image_arena(const Extent& e, int32_t smoothness) {
  const int spacing = lattice_spacing(smoothness);
  return lattice_words(e, 2, nodes_along(e.width, spacing), nodes_along(e.height, spacing)) + picture_words(e);
}

// Weights of a cubic B-spline at phase j / spacing; the third takes what rounding leaves.
QG_HD void spline_weights(int j, int spacing, int32_t* weight) {
  const int64_t h = spacing, p = j, six = 6 * h * h * h, half = 3 * h * h * h;
  weight[0] = int32_t((256 * (h - p) * (h - p) * (h - p) + half) / six);
  weight[1] = int32_t((256 * (3 * p * p * p - 6 * p * p * h + 4 * h * h * h) + half) / six);
  weight[3] = int32_t((256 * p * p * p + half) / six);
  weight[2] = 256 - weight[0] - weight[1] - weight[3];
}

QG_HD int byte_sum(uint32_t v) { return int((v & 255) + (v >> 8 & 255) + (v >> 16 & 255) + (v >> 24)) - 510; }
QG_HD int size_of(int v) { return v < 0 ? -v : v; }

// Whole pixels that a field of so many 1/65536 of a node's unit moves by. Of volumes, whose gain may be larger, 1/16 of a unit counts.
template <int kAxes>
QG_HD int pixels_of(int32_t field, int gain) {
  return kAxes == 3 ? (((field >> 12) * gain >> 4) + 32768) >> 16 : (((field >> 10) * gain >> 6) + 32768) >> 16;
}

#ifdef QG_LANES32
// The spline along y at a line, of the nodes that follow `at`: v = 64 a + b as the 16-bit pair (b, a), which a weight (w, 64 w) multiplies.
template <int kAxes>
QG_HD Lanes32::Vector between_lines(const int32_t* at, int across, const int32_t* down) {
  using L = Lanes32;
  auto v = L::all(0);
  for (int k = 0; k < kTaps; ++k) v = L::add(v, L::times16(L::load(at + k * across), L::all(down[k])));
  if (kAxes == 3) v = L::template shifted<2>(v);
  return L::add(L::and_of(v, L::all(63)), L::template up<16>(L::template shifted<6>(v)));
}

// In 1/65536 px, half a pixel added.
template <int kAxes>
QG_HD Lanes32::Vector fine_pixels(Lanes32::Vector field, int gain) {
  using L = Lanes32;
  const auto fine = kAxes == 3 ? L::template shifted<12>(field) : L::template shifted<10>(field);
  const auto v = L::times(fine, L::all(gain));
  return L::add(kAxes == 3 ? L::template shifted<4>(v) : L::template shifted<6>(v), L::all(32768));
}

// The field of a line of kBits pixels, some lanes at a time.
template <int kAxes, int kBits>
struct FieldLine {
  const Lattice& lattice;
  const int first, begin;
  bool fits;  // all nodes in one register; else they go through memory
  Lanes32::Vector all[kAxes];
  int32_t at_node[kAxes][kBits + kTaps + kVectorRoom];

  QG_HD FieldLine(const Lattice& lattice, int first, int line) : lattice(lattice), first(first), begin(first / lattice.spacing_x) {
    using L = Lanes32;
    const int nodes = min_of((first + kBits - 1) / lattice.spacing_x + kTaps, lattice.across) - begin;
    const int row = line / lattice.spacing_y * lattice.across + begin;
    const int32_t* const down = lattice.phase_y + kTaps * (line % lattice.spacing_y);
    fits = nodes <= L::kLanes;
    for (int axis = 0; axis < kAxes; ++axis) {
      all[axis] = between_lines<kAxes>(lattice.moves[axis] + row, lattice.across, down);
      if (fits) continue;
      L::store(at_node[axis], all[axis]);
      for (int n = L::kLanes; n < nodes; n += L::kLanes)
        L::store(at_node[axis] + n, between_lines<kAxes>(lattice.moves[axis] + row + n, lattice.across, down));
    }
  }

  // What pixels x0 and on move by, as fine_pixels has it.
  QG_HD void at(int x0, Lanes32::Vector (&moved)[kAxes]) const {
    using L = Lanes32;
    const int base = lattice.node[x0] - begin;
    const auto node = L::add(L::load(lattice.node + x0), L::all(fits ? -begin : -lattice.node[x0]));
    L::Vector field[kAxes];
    for (int axis = 0; axis < kAxes; ++axis) field[axis] = L::all(0);
    for (int k = 0; k < kTaps; ++k) {
      const auto weight = L::load(lattice.weight + k * lattice.width + x0), at = L::add(node, L::all(fits ? k : 0));
      for (int axis = 0; axis < kAxes; ++axis) {
        const auto v = fits ? all[axis] : L::load(at_node[axis] + base + k);
        field[axis] = L::add(field[axis], L::times16(L::permuted(v, at), weight));
      }
    }
    for (int axis = 0; axis < kAxes; ++axis) moved[axis] = fine_pixels<kAxes>(field[axis], lattice.gain[axis]);
  }
};
#endif

#ifdef QG_WINDOWS
// How far an image's pixels may move so that a window holds the sources of 32 neighbours: a word column more on either side.
constexpr int kWindowReachX = kPictureBits, kWindowReachY = (kWindowLines - 1) / 2;

QG_HD uint64_t moved_in_windows(const Lattice& lattice, const Picture& picture, const Extent& e, int first, int line, uint64_t wanted) {
  using L = Lanes16;
  const FieldLine<2, 64> field(lattice, first, line);
  const int top = max_of(line - kWindowReachY, 0);
  uint64_t found = 0;
  for (int p = 0; p < 64; p += L::kLanes) {
    if (uint32_t(wanted >> p) == 0) continue;
    const int x0 = first + p;
    Lanes32::Vector low[2], high[2];
    field.at(x0, low);
    field.at(x0 + Lanes32::kLanes, high);
    const auto x = L::clamp(L::add(L::high_halves(low[0], high[0]), L::add(L::ramp(), L::all(x0))), picture.width - 1);
    const auto y = L::clamp(L::add(L::high_halves(low[1], high[1]), L::all(line)), e.height - 1);
    found |= uint64_t(Window(picture, max_of(x0 / kPictureBits - 1, 0), top).pixels(x, y)) << p;
  }
  return found & wanted;
}
#endif

// What the pixels of the word that begins with pixel `first` become, those that `wanted` asks for.
template <int kAxes, class Word>
QG_HD Word moved_word(const Lattice& lattice, const Picture& picture, const Extent& e, int first, int line, int plane, Word wanted) {
  constexpr int kBits = bits_of<Word>();
  Word found = 0;
#ifdef QG_LANES32
  using L = Lanes32;
  const FieldLine<kAxes, kBits> field(lattice, first, line);
  for (int p = 0; p < kBits; p += L::kLanes) {
    if ((wanted >> p & ((Word(1) << L::kLanes) - 1)) == 0) continue;
    const int x0 = first + p;
    L::Vector moved[kAxes];
    field.at(x0, moved);
    const auto px = L::clamp(L::add(L::add(L::template shifted<16>(moved[0]), L::ramp()), L::all(x0)), picture.width - 1);
    const auto py = L::clamp(L::add(L::template shifted<16>(moved[1]), L::all(line)), e.height - 1);
    auto index = L::all(0);
    if (kAxes == 3) {
      const auto pz = L::clamp(L::add(L::template shifted<16>(moved[kAxes - 1]), L::all(plane)), e.depth - 1);
      index = picture.index(px, py, pz, e.height);
    } else {
      index = picture.index(px, py);
    }
    found |= Word(L::gather_bits(L::every(), picture.word, index, px)) << p;
  }
#else
  const int begin = first / lattice.spacing_x;
  const int nodes = min_of((first + kBits - 1) / lattice.spacing_x + kTaps, lattice.across) - begin;
  const int row = line / lattice.spacing_y * lattice.across + begin;
  const int32_t* const down = lattice.phase_y + kTaps * (line % lattice.spacing_y);
  int32_t at_node[kAxes][kBits + kTaps];  // the spline along y at this line, by node
  for (int axis = 0; axis < kAxes; ++axis)
    for (int n = 0; n < nodes; ++n) {
      int32_t v = 0;
      for (int k = 0; k < kTaps; ++k) v += lattice.moves[axis][row + k * lattice.across + n] * down[k];
      at_node[axis][n] = kAxes == 3 ? v >> 2 : v;
    }
  for (int p = 0; p < kBits; ++p) {
    if ((wanted >> p & 1) == 0) continue;
    const int x = first + p, base = lattice.node[x] - begin;
    int at[3] = {x, line, plane};
    const int sides[3] = {e.width, e.height, e.depth};
    for (int axis = 0; axis < kAxes; ++axis) {
      int32_t field = 0;
      for (int k = 0; k < kTaps; ++k) field += at_node[axis][base + k] * (lattice.weight[k * lattice.width + x] & 0xFFFF);
      at[axis] = min_of(max_of(at[axis] + pixels_of<kAxes>(field, lattice.gain[axis]), 0), sides[axis] - 1);
    }
    found |= Word(picture.pixel(at[0], at[2] * e.height + at[1])) << p;
  }
#endif
  return Word(found & wanted);
}

}  // namespace QG_NAMESPACE
