// Looking pixels up and counting them as a block does it: a warp takes a word and each of its threads a pixel. These serve BlockTeam in
// place of what core/blob.h and core/affine.h have for other teams, and give the same.
#pragma once
#include "masks.h"
// masks.h first: it says what __device__ is
#include "../core/affine.h"

namespace QG_NAMESPACE {

template <class Word>
__device__ void count_lines(const BlockTeam& team, const Bits<Word>& mask, int32_t* columns, int32_t* lines) {
  team.for_each_word(mask.columns(), [&](int c, int x) {
    const Word* const word = mask.column(c);
    int32_t count = 0;
    for (int i = 0; i < mask.lines(); ++i) count += word[i] >> x & 1;
    columns[32 * c + x] = count;
  });
  team.for_each(padded_width(mask.extent) - 32 * mask.columns(), [&](int x) { columns[32 * mask.columns() + x] = 0; });
  team.for_each(mask.lines(), [&](int i) {
    int32_t count = 0;
    for (int c = 0; c < mask.columns(); ++c) count += count_ones(mask.column(c)[i]);
    lines[i] = count;
  });
}

// A warp works out the ends of 32 lines at once, then goes through these word by word.
template <class Word>
__device__ void look_up(const BlockTeam& team, const Sampler& sampler, const Box& box, const Bits<Word>& out) {
  const Ends ends(sampler, box);
  const int height = out.extent.height, width = out.extent.width, columns = out.columns();
  team.for_each_word(ceil_div(height, 32), [&](int group, int lane) {
    const Between mine = ends.of(min_of(32 * group + lane, height - 1), width);
    for (int k = 0; k < min_of(32, height - 32 * group); ++k) {
      const int line = 32 * group + k, begin = __shfl_sync(~0u, mine.begin, k), end = __shfl_sync(~0u, mine.end, k);
      for (int c = 0; c < columns; ++c) {
        const int x = 32 * c + lane;
        const bool there = x >= begin && x < end;
        // All threads of the warp agree on whether the word has pixels in between.
        const Word word = begin < 32 * c + 32 && end > 32 * c ? __ballot_sync(~0u, there && sampler.pixel(x, line)) : 0;
        if (lane == 0) out.column(c)[line] = word;
      }
    }
  });
}

}  // namespace QG_NAMESPACE
