// Moves pixels by a smooth random field: a cubic B-spline over a lattice of sums of random bytes, with integer weights. A field of at most
// r pixels changes nothing that erosion by r leaves and nothing that dilation by r does not reach: only the band between is looked up.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "morph.h"
#include "picture.h"
#include "team.h"

namespace QG_NAMESPACE {

constexpr int kMostSpacing = 112, kTaps = 4;
constexpr int kVectorRoom = 32;  // behind tables, so that vectors may be read whole

struct Lattice {
  int spacing, across, down, gain;  // nodes along x and y; Q16.16 px of displacement per unit of a node
  int32_t *x, *y;                   // [down, across]: what a node moves by, -510 .. 510
  int32_t* phase;                   // [spacing, 4]: weights of the four nodes around, of 256
  int32_t *node, *weight;           // of pixels along x: number of the first node; [4, width]: its weights, w + 2^16 (64 w)
  int32_t* farthest;                // [down]: of a row of nodes
  int width;                        // whole words of 64 pixels
};

QG_HD size_t elastic_arena(const Extent& e) {  // spacing 1 has the most nodes
  const size_t nodes = (size_t(e.width) + 3) * (size_t(e.height) + 3), width = size_t(ceil_div(e.width, 64)) * 64;
  return 2 * (nodes + kVectorRoom) + kTaps * kMostSpacing + (1 + kTaps) * width + size_t(e.height) + 3 + picture_words(e);
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

// Whole pixels that a field of so many 1/65536 of a node's unit moves by.
QG_HD int pixels_of(int32_t field, int gain) { return (((field >> 10) * gain >> 6) + 32768) >> 16; }

// 65536 times the most that the spline is between this row of nodes and the next. It lies within its Bezier points, which are (1 4 1) / 6,
// (2 1) / 3 and (1 2) / 3 of neighbouring nodes along each axis; 1560 / 65536 of the largest is more than the rounded weights are off.
QG_HD int farthest_of(const int32_t* row, int across) {
  const int32_t *const above = row - across, *const below = row + across;
  int most = 0, largest = 0;
  for (int y = 0; y < 3; ++y) {  // in 1/36
    const int a = y == 0 ? 1 : 0, b = y == 2 ? 2 : 4, c = y == 0 ? 1 : y == 1 ? 2 : 4;
    for (int i = 1; i < across - 1; ++i) {
      const int left = a * above[i - 1] + b * row[i - 1] + c * below[i - 1];
      const int here = a * above[i] + b * row[i] + c * below[i];
      const int right = a * above[i + 1] + b * row[i + 1] + c * below[i + 1];
      most = max_of(most, max_of(size_of(left + 4 * here + right), max_of(size_of(4 * here + 2 * right), size_of(2 * here + 4 * right))));
    }
  }
  for (const int32_t* nodes = above; nodes <= below; nodes += across)
    for (int i = 0; i < across; ++i) largest = max_of(largest, size_of(nodes[i]));
  return min_of(largest * 65536, most * 65536 / 36 + 1 + 1560 * largest);
}

// Words 2 m and 2 m + 1 of plane 1 are node m's.
template <class Team>
QG_HD void draw_nodes(const Team& team, const Lattice& to, int nodes, const Draw& draw) {
#ifdef QG_LANES32
  using L = Lanes32;
  team.for_each(ceil_div(nodes, 2 * L::kLanes), [=](int group) {
    L::Vector word[4];
    draw.blocks(uint32_t(group * L::kLanes), 1, word);
    for (int k = 0; k < 4; ++k) {
      const auto pairs = L::add(L::and_of(word[k], L::all(0xFF00FF)), L::and_of(L::template down<8>(word[k]), L::all(0xFF00FF)));
      word[k] = L::add(L::times16(pairs, L::all(0x10001)), L::all(-510));
    }
    L::store_pairs(to.x + 2 * L::kLanes * group, word[0], word[2]);
    L::store_pairs(to.y + 2 * L::kLanes * group, word[1], word[3]);
  });
#else
  team.for_each(ceil_div(nodes, 2), [=](int block) {
    const Words4 words = draw.block(uint32_t(block), 1);
    for (int k = 0; k < 2; ++k) {
      to.x[2 * block + k] = byte_sum(words.word[2 * k]);
      to.y[2 * block + k] = byte_sum(words.word[2 * k + 1]);
    }
  });
#endif
}

// params: standard deviation of the displacement and smoothness, Q16.16 px.
template <class Team>
QG_HD Lattice draw_lattice(const Team& team, const Extent& e, const int32_t* params, const Draw& draw, int32_t* memory) {
  Lattice lattice{};
  const int spacing = max_of(int((int64_t(params[1]) * 113512 + (int64_t(1) << 31)) >> 32), 1);  // sqrt(3) smoothness
  lattice.spacing = spacing;
  lattice.across = (e.width - 1) / spacing + 4;
  lattice.down = (e.height - 1) / spacing + 4;
  lattice.width = ceil_div(e.width, 64) * 64;
  const int nodes = lattice.across * lattice.down;
  lattice.x = memory;
  lattice.y = lattice.x + nodes + kVectorRoom;
  lattice.phase = lattice.y + nodes + kVectorRoom;
  lattice.node = lattice.phase + kTaps * kMostSpacing;
  lattice.weight = lattice.node + lattice.width;
  lattice.farthest = lattice.weight + kTaps * lattice.width;
  const Lattice to = lattice;
  draw_nodes(team, to, nodes, draw);
  team.for_each(spacing, [=](int j) { spline_weights(j, spacing, to.phase + kTaps * j); });
  team.for_each(ceil_div(to.width, spacing), [=](int node) {
    for (int j = 0; j < spacing && node * spacing + j < to.width; ++j) {
      to.node[node * spacing + j] = node;
      for (int k = 0; k < kTaps; ++k) to.weight[k * to.width + node * spacing + j] = to.phase[kTaps * j + k] * (1 + (64 << 16));
    }
  });
  team.for_each(to.down - 2, [=](int row) {
    const int x = farthest_of(to.x + (row + 1) * to.across, to.across), y = farthest_of(to.y + (row + 1) * to.across, to.across);
    to.farthest[row] = max_of(x, y);
  });
  // So that the field's mean variance is amplitude^2; 454050 is 2^26 over the standard deviation of a sum of four random bytes.
  int64_t power = 0;
  for (int i = 0; i < kTaps * spacing; ++i) power += int64_t(to.phase[i]) * to.phase[i];
  lattice.gain = int(int64_t(params[0]) * 454050 / ((power / spacing) << 10));
  return lattice;
}

QG_HD int reach_of(const Lattice& lattice) {
  int most = 0;
  for (int row = 0; row < lattice.down - 2; ++row) most = max_of(most, lattice.farthest[row]);
  return max_of(pixels_of(most, lattice.gain), -pixels_of(-most, lattice.gain));
}

#ifdef QG_LANES32
// The spline along y at a line, of the nodes that follow `at`: v = 64 a + b as the 16-bit pair (b, a), which a weight (w, 64 w) multiplies.
QG_HD Lanes32::Vector between_lines(const int32_t* at, int across, const int32_t* down) {
  using L = Lanes32;
  auto v = L::all(0);
  for (int k = 0; k < kTaps; ++k) v = L::add(v, L::times16(L::load(at + k * across), L::all(down[k])));
  return L::add(L::and_of(v, L::all(63)), L::template up<16>(L::template shifted<6>(v)));
}

QG_HD Lanes32::Vector whole_pixels(Lanes32::Vector field, int gain) {
  using L = Lanes32;
  const auto v = L::template shifted<6>(L::times(L::template shifted<10>(field), L::all(gain)));
  return L::template shifted<16>(L::add(v, L::all(32768)));
}
#endif

// What the pixels of the word that begins with pixel `first` become, those that `wanted` asks for.
template <class Word>
QG_HD Word moved_word(const Lattice& lattice, const Picture& picture, int first, int line, Word wanted) {
  constexpr int kBits = bits_of<Word>();
  const int begin = first / lattice.spacing;
  const int nodes = min_of((first + kBits - 1) / lattice.spacing + kTaps, lattice.across) - begin;
  const int row = line / lattice.spacing * lattice.across + begin;
  const int32_t* const down = lattice.phase + kTaps * (line % lattice.spacing);
  Word found = 0;
#ifdef QG_LANES32
  using L = Lanes32;
  const bool fits = nodes <= L::kLanes;  // all nodes in one register; else they go through memory
  int32_t x_of[kBits + kTaps + kVectorRoom], y_of[kBits + kTaps + kVectorRoom];
  const auto x_all = between_lines(lattice.x + row, lattice.across, down), y_all = between_lines(lattice.y + row, lattice.across, down);
  for (int n = 0; !fits && n < nodes; n += L::kLanes) {
    L::store(x_of + n, between_lines(lattice.x + row + n, lattice.across, down));
    L::store(y_of + n, between_lines(lattice.y + row + n, lattice.across, down));
  }
  for (int p = 0; p < kBits; p += L::kLanes) {
    if ((wanted >> p & ((Word(1) << L::kLanes) - 1)) == 0) continue;
    const int x0 = first + p, base = lattice.node[x0] - begin;
    const auto node = L::add(L::load(lattice.node + x0), L::all(fits ? -begin : -lattice.node[x0]));
    auto fx = L::all(0), fy = L::all(0);
    for (int k = 0; k < kTaps; ++k) {
      const auto weight = L::load(lattice.weight + k * lattice.width + x0), at = L::add(node, L::all(fits ? k : 0));
      const auto x = fits ? x_all : L::load(x_of + base + k), y = fits ? y_all : L::load(y_of + base + k);
      fx = L::add(fx, L::times16(L::permuted(x, at), weight));
      fy = L::add(fy, L::times16(L::permuted(y, at), weight));
    }
    const auto mx = whole_pixels(fx, lattice.gain), my = whole_pixels(fy, lattice.gain);
    const auto px = L::clamp(L::add(L::add(mx, L::ramp()), L::all(x0)), picture.width - 1);
    const auto py = L::clamp(L::add(my, L::all(line)), picture.lines - 1);
    found |= Word(L::gather_bits(L::every(), picture.word, picture.index(px, py), px)) << p;
  }
#else
  int32_t x_of[kBits + kTaps], y_of[kBits + kTaps];  // the spline along y at this line, by node
  for (int n = 0; n < nodes; ++n) {
    x_of[n] = y_of[n] = 0;
    for (int k = 0; k < kTaps; ++k) {
      x_of[n] += lattice.x[row + k * lattice.across + n] * down[k];
      y_of[n] += lattice.y[row + k * lattice.across + n] * down[k];
    }
  }
  for (int p = 0; p < kBits; ++p) {
    if ((wanted >> p & 1) == 0) continue;
    const int x = first + p, base = lattice.node[x] - begin;
    int32_t fx = 0, fy = 0;
    for (int k = 0; k < kTaps; ++k) {
      const int weight = lattice.weight[k * lattice.width + x] & 0xFFFF;
      fx += x_of[base + k] * weight;
      fy += y_of[base + k] * weight;
    }
    const int px = x + pixels_of(fx, lattice.gain), py = line + pixels_of(fy, lattice.gain);
    const int inside_x = min_of(max_of(px, 0), picture.width - 1), inside_y = min_of(max_of(py, 0), picture.lines - 1);
    found |= Word(picture.pixel(inside_x, inside_y)) << p;
  }
#endif
  return Word(found & wanted);
}

// params: standard deviation of the displacement and smoothness, Q16.16 px.
template <class Team, class Word>
QG_ROW void elastic(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  const Bits<Word> mask = canvas.mask;
  const Extent e = mask.extent;
  const Lattice lattice = draw_lattice(team, e, params, draw, canvas.arena);
  const int reach = reach_of(lattice);
  if (reach == 0) return;
  const Picture picture = picture_of(team, mask, lattice.farthest + e.height + 3);
  find_band(team, mask, all_ways(reach), canvas.spare[0], canvas.spare[1], canvas.spare[2]);
  const Bits<Word> band = canvas.spare[0];
  team.for_each(mask.columns(), e.height, [=](int c, int line) {
    const Word wanted = band.column(c)[line];
    if (wanted == 0) return;
    Word* const word = mask.column(c) + line;
    *word = Word((*word & Word(~wanted)) | moved_word(lattice, picture, c * bits_of<Word>(), line, wanted));
  });
}

}  // namespace QG_NAMESPACE
