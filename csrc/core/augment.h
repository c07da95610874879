// Augmentation: what is drawn for a sample, where its pixels come from, how it looks. Places are Q16.16 and weights 1/256, so that masks
// and moved images are the same on every device; looks are floats.
#pragma once
#include "affine.h"

namespace QG_NAMESPACE {

constexpr uint32_t kGeometryStream = 0x41000000u, kLookStream = 0x41000001u, kNoiseStream = 0x41000003u;
constexpr int kMostTaps = 41;  // of a blur whose sigma is at most 8 px

// What the host tells of a geometry: probabilities as parts of 2^32, Q16.16 degrees and parts of a side, 257 inverses of zooms.
struct GeometryTable {
  const int64_t* word;
  QG_HD int64_t flip() const { return word[0]; }
  QG_HD int64_t moves() const { return word[1]; }
  QG_HD int64_t degrees() const { return word[2]; }
  QG_HD int64_t translate() const { return word[3]; }
  QG_HD int64_t inverse(uint32_t drawn) const {
    const int64_t* const at = word + 4 + (drawn >> 24);
    return at[0] + (((at[1] - at[0]) * int64_t((drawn >> 8) & 0xFFFF)) >> 16);
  }
};

// And of a look: probabilities of blur, colour and noise, then the largest blur, brightness, contrast, saturation, colour, gamma, noise.
struct LookTable {
  const double* number;
  QG_HD uint64_t chance(int k) const { return uint64_t(number[k]); }
  QG_HD float blur() const { return float(number[3]); }
  QG_HD float strength(int k) const { return float(number[4 + k]); }
};

// Axis k of the source: row[k] . (z, y, x, 1), Q16.16; images have depth 1.
struct SourceMap {
  int64_t row[3][4];
};

QG_HD SourceMap source_map(const GeometryTable& table, const Draw& draw, const Extent& extent, int axes) {
  uint32_t word[12];
  for (int block = 0; block < 3; ++block) {
    const Words4 four = draw.block(uint32_t(block));
    for (int k = 0; k < 4; ++k) word[4 * block + k] = four.word[k];
  }
  const bool moves = int64_t(word[0]) < table.moves();
  const int64_t inverse = moves ? table.inverse(word[2]) : kOne;
  const Turn turn = turn_of(moves ? between(word[1], -table.degrees(), table.degrees()) : 0);
  const int64_t a = (inverse * turn.cosine) >> 16, b = (inverse * turn.sine) >> 16;
  const int64_t side[3] = {extent.depth, extent.height, extent.width};
  const int64_t plain[3][3] = {{axes == 3 ? inverse : kOne, 0, 0}, {0, a, -b}, {0, b, a}};
  SourceMap map;
  for (int axis = 0; axis < 3; ++axis) {
    const int drawn = axis - (3 - axes);
    const bool real = drawn >= 0;
    const int64_t sign = real && int64_t(word[3 + (real ? drawn : 0)]) < table.flip() ? -1 : 1;
    const int64_t shift = real && moves ? between(word[3 + axes + drawn], -table.translate(), table.translate()) * side[axis] : 0;
    int64_t centre = 0;
    for (int k = 3 - axes; k < 3; ++k) centre += plain[axis][k] * (side[k] - 1);
    centre >>= 1;
    for (int k = 0; k < 3; ++k) map.row[axis][k] = sign * plain[axis][k];
    map.row[axis][3] = (side[axis] - 1) * (kOne / 2) - sign * (centre + shift);
    if (!real) map.row[axis][3] = 0;
  }
  return map;
}

// A place (+ 1/2) on an axis of `side` pixels that is mirrored at its ends: in [0, side) pixels.
QG_HD int64_t reflected(int64_t t, int64_t side) {
  const int64_t end = side << 16, turn = t - floor_div(t, 2 * end) * 2 * end;
  return turn >= end ? 2 * end - 1 - turn : turn;
}

// What a sample's look is made of. matrix: channels x (channels + 1), the last column being what is added.
struct Look {
  bool blurs, colours;
  float sigma, gamma, noise, brightness, contrast, saturation;
};

QG_HD float unit(uint32_t word) { return float(word >> 8) * 0x1p-24f; }
QG_HD float around(uint32_t word) { return 2 * unit(word) - 1; }

QG_HD Look look_of(const LookTable& table, const Draw& draw) {
  uint32_t word[12];
  for (int block = 0; block < 3; ++block) {
    const Words4 four = draw.block(uint32_t(block));
    for (int k = 0; k < 4; ++k) word[4 * block + k] = four.word[k];
  }
  Look look;
  look.sigma = word[0] < table.chance(0) ? unit(word[1]) * table.blur() : 0.0f;
  look.blurs = look.sigma > 0;
  look.colours = word[2] < table.chance(1);
  look.brightness = look.colours ? around(word[3]) * table.strength(0) : 0.0f;
  look.contrast = look.colours ? 1 + around(word[4]) * table.strength(1) : 1.0f;
  look.saturation = look.colours ? 1 + around(word[5]) * table.strength(2) : 1.0f;
  look.gamma = look.colours ? around(word[6]) * table.strength(4) : 0.0f;  // its logarithm
  look.noise = word[7] < table.chance(2) ? unit(word[8]) * table.strength(5) : 0.0f;
  return look;
}

// The taps of a blur, -radius to radius, at `taps`; returns how many on each side are not 0.
QG_HD int blur_taps(float sigma, int radius, float* taps) {
  float total = 0;
  const float width = sigma > 1e-3f ? sigma : 1e-3f;
  for (int k = -radius; k <= radius; ++k) {
    const float tap = __builtin_expf(-float(k * k) / (2 * width * width));
    taps[k + radius] = tap > 1e-6f ? tap : 0.0f;
    total += taps[k + radius];
  }
  int reach = 0;
  for (int k = 0; k <= radius; ++k) {
    taps[radius + k] /= total;
    taps[radius - k] = taps[radius + k];
    if (taps[radius + k] > 0) reach = k;
  }
  return reach;
}

}  // namespace QG_NAMESPACE
