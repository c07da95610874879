// A mask as probabilities k / 255: blurred by the weights of `smooth`, its slope about 1/2 made steeper, cut to 0 .. 255.
#pragma once
#include "../task.h"
#include "canvas.h"
#include "morph.h"
#include "recipe.h"
#include "smooth.h"

namespace QG_NAMESPACE {

// Of a sum out of `total`: v = sum / total in Q16, then 1/2 + sharpness (v - 1/2) in Q24, then of 255, rounded half up.
struct Slope24 {
  int64_t inverse;  // 2^44 / total
  int32_t sharpness;

  QG_HD Slope24(int total, int32_t sharpness) : inverse(((int64_t(1) << 44) + total / 2) / total), sharpness(sharpness) {}
  QG_HD uint32_t level(int sum) const {
    const int32_t v = int32_t((sum * inverse + (1 << 27)) >> 28), w = (1 << 23) + sharpness * (v - (1 << 15));
    const uint32_t within = w < 0 ? 0u : w > 1 << 24 ? 1u << 24 : uint32_t(w);
    return (within * 255 + (1 << 23)) >> 24;
  }
};

// Sums of 255 times the probabilities: of the pixels that are in the truth, and of all.
struct SoftCounts {
  int64_t both, all;
};

// put(c, line, levels) for each word of the mask: the levels of its pixels, 0 beyond the width. softness.radius is 1 or more. Only words
// with pixels near the edge of the mask are blurred. The spares are used up.
template <class Team, class Word, class Put>
QG_HD SoftCounts soften(const Team& team, const Canvas<Word>& canvas, const Softness& softness, Put put) {
  constexpr int kBits = bits_of<Word>(), kLines = 1 << 16;  // whose sums take 31 bits
  const Bits<Word> mask = canvas.mask, truth = canvas.truth;
  const Blur blur(blur_radii(canvas.radii(softness.radius)));
  const int depth = mask.extent.depth, height = mask.extent.height, lines = mask.lines(), columns = mask.columns();
  const bool is_volume = canvas.axes == 3;
  const Slope24 slope(depth > 1 ? blur.volume() : is_volume ? blur.rounded : blur.plane, softness.sharpness);
  Bits<Word> band = canvas.spare[0], other = canvas.spare[1], scratch = canvas.spare[2];
  find_band(team, mask, blur.radii, band, other, scratch);
  SoftCounts counts{0, 0};
  for (int c = 0; c < columns; ++c) {
    const Word* const mixed = band.column(c);
    const int any = team.sum(1, lines, [=](int, int i) { return int(mixed[i] != 0); });
    const uint16_t* const sums = any ? column_sums(team, mask, c, blur, canvas.arena) : nullptr;
    const Word inside = c + 1 < columns ? Word(~Word(0)) : mask.last_column();
    for (int begin = 0; begin < lines; begin += kLines) {
      const int64_t found = team.sum(1, min_of(kLines, lines - begin), [&](int, int line) {
        const int i = begin + line;
        const Word here = mask.column(c)[i], in_truth = truth.column(c)[i];
        uint8_t level[kBits];
        if (mixed[i] == 0) {
          bits_to_flags(here, level);
          for (int x = 0; x < kBits; ++x) level[x] = uint8_t(level[x] * 255);
          put(c, i, level);
          return int64_t(255 * count_ones(Word(here & in_truth))) << 32 | int64_t(255 * count_ones(here));
        }
        const int along = depth > 1 ? i / height : i, many = depth > 1 ? depth : height;
        const size_t step = depth > 1 ? size_t(height) * kBits : kBits;
        const uint16_t *const first = sums + (depth > 1 ? size_t(i % height) * kBits : 0), *const weights = depth > 1 ? blur.z : blur.y;
        int sum[kBits];
        for (int x = 0; x < kBits; ++x) sum[x] = first[size_t(along) * step + x] * weights[0];
        for (int d = 1; d <= (depth > 1 ? blur.radii.depth : blur.radii.height); ++d) {
          const uint16_t *const up = first + size_t(max_of(along - d, 0)) * step, *const down =
                                                                                      first + size_t(min_of(along + d, many - 1)) * step;
          QG_LANES for (int x = 0; x < kBits; ++x) sum[x] += (up[x] + down[x]) * weights[d];
        }
        if (depth == 1 && is_volume)
          for (int x = 0; x < kBits; ++x) sum[x] = (sum[x] + (1 << (kPlaneShift - 1))) >> kPlaneShift;
        uint8_t there[kBits], wanted[kBits];
        bits_to_flags(inside, there);
        bits_to_flags(in_truth, wanted);
        int all = 0, both = 0;
        QG_LANES for (int x = 0; x < kBits; ++x) level[x] = uint8_t(slope.level(sum[x]) * there[x]);
        for (int x = 0; x < kBits; ++x) {
          all += level[x];
          both += level[x] * wanted[x];
        }
        put(c, i, level);
        return int64_t(both) << 32 | int64_t(all);
      });
      counts.both += found >> 32;
      counts.all += found & 0xFFFFFFFF;
    }
  }
  return counts;
}

// 2 sum(p t) / (sum(p) + sum(t)) with the pixels of the truth; there is one or the other.
QG_HD float soft_dice_of(const SoftCounts& counts, int truth) {
  const int64_t total = counts.all + 255 * int64_t(truth);
  return total == 0 ? 1.0f : 2.0f * float(counts.both) / float(total);
}

// Number `byte` of the task's table (see task.h), or the byte itself, to place `at` of a plane of the task's kind.
QG_HD void put_number(const qg::CorruptTask& task, void* to, size_t at, unsigned byte) {
  if (task.out_kind == qg::kUint8)
    static_cast<uint8_t*>(to)[at] = uint8_t(byte);
  else if (task.out_kind == qg::kFloat32)
    static_cast<uint32_t*>(to)[at] = static_cast<const uint32_t*>(task.numbers)[byte];
  else
    static_cast<uint16_t*>(to)[at] = static_cast<const uint16_t*>(task.numbers)[byte];
}

}  // namespace QG_NAMESPACE
