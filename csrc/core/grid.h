// Stretches the cells of a grid, each axis by a table of source pixels. Along y lines are copied; along x too, of the mask turned about
// its diagonal.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "integers.h"
#include "team.h"

namespace QG_NAMESPACE {

constexpr int kMostCells = 64;

// Word columns of the turned mask, sources of all axes, factors and where their cells start.
QG_HD size_t grid_arena(const Extent& e) {
  const size_t turned = 2 * size_t(ceil_div(e.height * e.depth, 64)) * (size_t(e.width) + 63);
  return turned + size_t(e.width) + size_t(e.height) + size_t(e.depth) + 6 * kMostCells + 64;
}

// Turns a block of as many words as they have bits: bit x of word y becomes bit y of word x. Words i and i + n/2 trade half of their bits
// and become neighbours, which brings the next two together: all steps walk the block alike. Either of the two is the result.
template <class Word>
QG_HD Word* turn_block(Word* block, Word* spare) {
  constexpr int kBits = bits_of<Word>();
  Word keep = Word(~Word(0)) >> (kBits / 2);
  for (int half = kBits / 2; half; half >>= 1, keep ^= Word(keep << half)) {
    QG_LANES for (int i = 0; i < kBits / 2; ++i) {
      const Word a = block[i], b = block[i + kBits / 2], traded = Word((a >> half) ^ b) & keep;
      spare[2 * i] = Word(a ^ Word(traded << half));
      spare[2 * i + 1] = Word(b ^ traded);
    }
    Word* const turned = spare;
    spare = block;
    block = turned;
  }
  return block;
}

// source[p] of an axis: the sum of the steps before p, scaled to the side and rounded. starts: int64 scratch, one a cell and one more.
template <class Team>
QG_HD void find_sources(const Team& team, const int32_t* factors, int cells, int side, int64_t* starts, int32_t* source) {
  team.one([=] {
    int64_t sum = 0;
    for (int k = 0; k < cells; ++k) {
      starts[k] = sum;
      sum += int64_t(factors[k]) * ((k + 1) * side / cells - k * side / cells);
    }
    starts[cells] = sum;
  });
  const int64_t total = starts[cells] > 1 ? starts[cells] : 1, scale = int64_t(side) << 16;
  team.for_each(cells, [=](int k) {
    const int begin = k * side / cells, end = (k + 1) * side / cells;
    if (begin == end) return;
    // starts scale / total and its step as whole parts and remainders, so that only a cell divides
    const int64_t first = starts[k] * scale, step = factors[k] * scale, step_whole = step / total, step_rest = step % total;
    int64_t whole = first / total, rest = first % total;
    for (int p = begin; p < end; ++p) {
      const int64_t pixel = (whole + 32768) >> 16;
      source[p] = int32_t(pixel < side ? pixel : side - 1);
      whole += step_whole;
      rest += step_rest;
      const int64_t over = rest >= total;
      whole += over;
      rest -= total & -over;
    }
  });
}

// params: cells an axis, stretch in Q16.16.
template <class Team, class Word>
QG_ROW void grid(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  constexpr int kBits = bits_of<Word>();
  const Extent e = canvas.mask.extent;
  const int cells = params[0], depth = e.depth, height = e.height, width = e.width, lines = canvas.mask.lines();
  const int64_t least = 65536 - params[1], most = 65536 + int64_t(params[1]);
  int64_t* const starts = reinterpret_cast<int64_t*>(canvas.arena);
  int32_t* const factors = canvas.arena + 2 * (kMostCells + 1);
  int32_t *const from_x = factors + 3 * kMostCells, *const from_y = from_x + width, *const from_z = from_y + height;
  const uintptr_t behind = reinterpret_cast<uintptr_t>(from_z + depth);
  Word* const turned = reinterpret_cast<Word*>((behind + 7) / 8 * 8);
  const int drawn = canvas.axes * cells;
  team.for_each(ceil_div(drawn, 4), [=](int block) {
    const Words4 words = draw.block(uint32_t(block));
    for (int k = 0; k < 4 && 4 * block + k < drawn; ++k) factors[4 * block + k] = int32_t(between(words.word[k], least, most));
  });
  find_sources(team, factors, cells, width, starts, from_x);
  find_sources(team, factors + cells, cells, height, starts, from_y);
  if (depth > 1) find_sources(team, factors + 2 * cells, cells, depth, starts, from_z);

  const Bits<Word> mask = canvas.mask, across = canvas.spare[0], out = canvas.spare[1];
  const int columns = mask.columns(), bands = ceil_div(lines, kBits);
  team.for_each(columns * bands, [=](int k) {
    const int c = k % columns, band = k / columns, first = c * kBits;
    Word block[kBits], spare[kBits];
    for (int i = 0; i < kBits; ++i) block[i] = band * kBits + i < lines ? mask.column(c)[band * kBits + i] : Word(0);
    const Word* const done = turn_block(block, spare);
    Word* const to = turned + size_t(band) * size_t(width) + first;
    for (int x = 0; x < kBits && first + x < width; ++x) to[x] = done[x];
  });
  team.for_each(columns * bands, [=](int k) {
    const int c = k % columns, band = k / columns, first = c * kBits;
    const Word* const from = turned + size_t(band) * size_t(width);
    Word block[kBits], spare[kBits];
    for (int x = 0; x < kBits; ++x) block[x] = first + x < width ? from[from_x[first + x]] : Word(0);
    const Word* const done = turn_block(block, spare);
    for (int i = 0; i < kBits && band * kBits + i < lines; ++i) across.column(c)[band * kBits + i] = done[i];
  });
  team.for_each(columns * depth, height, [=](int o, int y) {
    const int c = o % columns, z = o / columns, source = depth > 1 ? from_z[z] : 0;
    out.column(c)[z * height + y] = across.column(c)[source * height + from_y[y]];
  });
  swap_planes(canvas.mask, canvas.spare[1]);
}

}  // namespace QG_NAMESPACE
