// Blurs as a block does them: a warp takes a word and each of its threads a pixel, so that sums are read and written side by side and
// nothing is kept in arrays. These serve BlockTeam in place of what core/smooth.h and core/soft.h have for other teams, and give the same.
#pragma once
#include "masks.h"
// masks.h first: it says what __device__ is
#include "../core/soft.h"

namespace QG_NAMESPACE {

// The sums of word column c of which the last axis is still to be taken, as column_sums of core/smooth.h.
template <class Word>
__device__ const uint16_t* column_sums(const BlockTeam& team, const Bits<Word>& mask, int c, const Blur& blur, int32_t* arena) {
  const int depth = mask.extent.depth, height = mask.extent.height, lines = mask.lines();
  uint16_t *const sums = reinterpret_cast<uint16_t*>(arena), *const planes = sums + size_t(lines) * 32;
  team.for_each_word(lines, [&](int line, int x) {
    const Word before = repeated_ends(mask, c - 1, line), here = repeated_ends(mask, c, line), after = repeated_ends(mask, c + 1, line);
    // Bit 31 + d: pixel x + d.
    const uint64_t low = uint64_t(here) << 32 | before, high = uint64_t(after) << 32 | here;
    const uint64_t near = x == 31 ? high : low >> (x + 1) | uint64_t(after) << (63 - x);
    int sum = int(near >> 31 & 1) * blur.x[0];
    for (int d = 1; d <= blur.radii.width; ++d) sum += int((near >> (31 - d) & 1) + (near >> (31 + d) & 1)) * blur.x[d];
    sums[size_t(line) * 32 + x] = uint16_t(sum);
  });
  if (depth == 1) return sums;
  team.for_each_word(lines, [&](int line, int x) {
    const int y = line % height;
    const uint16_t* const first = sums + size_t(line - y) * 32 + x;
    int sum = first[size_t(y) * 32] * blur.y[0] + (1 << (kPlaneShift - 1));
    for (int d = 1; d <= blur.radii.height; ++d)
      sum += (first[size_t(max_of(y - d, 0)) * 32] + first[size_t(min_of(y + d, height - 1)) * 32]) * blur.y[d];
    planes[size_t(line) * 32 + x] = uint16_t(sum >> kPlaneShift);
  });
  return planes;
}

// The sum along the last axis at pixel x of a line of that column.
__device__ inline int last_sum(const uint16_t* sums, const Extent& e, const Blur& blur, int line, int x) {
  const bool deep = e.depth > 1;
  const int at = deep ? line / e.height : line, many = deep ? e.depth : e.height, radius = deep ? blur.radii.depth : blur.radii.height;
  const size_t step = deep ? size_t(e.height) * 32 : 32;
  const uint16_t *const first = sums + (deep ? size_t(line % e.height) * 32 : 0) + x, *const weights = deep ? blur.z : blur.y;
  int sum = first[size_t(at) * step] * weights[0];
  for (int d = 1; d <= radius; ++d)
    sum += (first[size_t(max_of(at - d, 0)) * step] + first[size_t(min_of(at + d, many - 1)) * step]) * weights[d];
  return sum;
}

template <class Word>
__device__ void smooth_band(const BlockTeam& team, const Bits<Word>& mask, const Bits<Word>& band, const Blur& blur, bool is_volume,
                            const Bits<Word>& out, int32_t* arena) {
  const Extent e = mask.extent;
  const int most = e.depth > 1 ? blur.volume() / 2
                   : is_volume ? ((blur.rounded / 2 + 1) << kPlaneShift) - (1 << (kPlaneShift - 1)) - 1
                               : blur.plane / 2;
  for (int c = 0; c < mask.columns(); ++c) {
    const Word* const wanted = band.column(c);
    const int any = team.sum(1, mask.lines(), [=](int, int i) { return int(wanted[i] != 0); });
    const uint16_t* const sums = any ? column_sums(team, mask, c, blur, arena) : nullptr;
    const Word inside = c + 1 < mask.columns() ? Word(~Word(0)) : mask.last_column();
    team.for_each_word(mask.lines(), [&](int line, int x) {
      const Word was = mask.column(c)[line], at = wanted[line];
      const Word blurred = at ? __ballot_sync(~0u, last_sum(sums, e, blur, line, x) > most) : 0;
      if (x == 0) out.column(c)[line] = Word((was & Word(~at)) | (blurred & at & inside));
    });
  }
}

// put(c, line, x, level) for each pixel; else as soften of core/soft.h.
template <class Word, class Put>
__device__ SoftCounts soften_pixels(const BlockTeam& team, const Canvas<Word>& canvas, const Softness& softness, Put put) {
  const Bits<Word> mask = canvas.mask, truth = canvas.truth;
  const Blur blur(blur_radii(canvas.radii(softness.radius)));
  const Extent e = mask.extent;
  const bool flat = e.depth == 1 && canvas.axes == 3;
  const Slope24 slope(e.depth > 1 ? blur.volume() : flat ? blur.rounded : blur.plane, softness.sharpness);
  Bits<Word> band = canvas.spare[0], other = canvas.spare[1], scratch = canvas.spare[2];
  find_band(team, mask, blur.radii, band, other, scratch);
  int64_t both = 0, all = 0;
  for (int c = 0; c < mask.columns(); ++c) {
    const Word* const mixed = band.column(c);
    const int any = team.sum(1, mask.lines(), [=](int, int i) { return int(mixed[i] != 0); });
    const uint16_t* const sums = any ? column_sums(team, mask, c, blur, canvas.arena) : nullptr;
    team.for_each_word(mask.lines(), [&](int line, int x) {
      if (32 * c + x >= e.width) return;
      uint32_t level = (mask.column(c)[line] >> x & 1) * 255;
      if (mixed[line]) {
        const int sum = last_sum(sums, e, blur, line, x);
        level = slope.level(flat ? (sum + (1 << (kPlaneShift - 1))) >> kPlaneShift : sum);
      }
      all += level;
      both += level * (truth.column(c)[line] >> x & 1);
      put(c, line, x, level);
    });
  }
  const int threads = int(blockDim.x);
  return {team.sum(1, threads, [&](int, int) { return both; }), team.sum(1, threads, [&](int, int) { return all; })};
}

}  // namespace QG_NAMESPACE
