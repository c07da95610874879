// A mask that single pixels are looked up in: 32 pixels a word, whatever the canvas has; word columns lie one after the other.
#pragma once
#include "lanes.h"
#include "team.h"

namespace QG_NAMESPACE {

struct Picture {
  uint32_t* word;
  int width, lines;

  QG_HD int words() const { return ceil_div(width, 32) * lines; }
  // x and y (of volumes: line z height + y) must lie in the image.
  QG_HD uint32_t pixel(int x, int y) const { return word[(x >> 5) * lines + y] >> (x & 31) & 1; }

#ifdef QG_LANES32
  QG_HD Lanes32::Vector index(Lanes32::Vector x, Lanes32::Vector y) const {
    return Lanes32::add(Lanes32::times16(Lanes32::shifted<5>(x), Lanes32::all(lines)), y);  // both below 2^15
  }
  QG_HD Lanes32::Vector index(Lanes32::Vector x, Lanes32::Vector y, Lanes32::Vector z, int height) const {
    const auto line = Lanes32::add(Lanes32::times(z, Lanes32::all(height)), y);
    return Lanes32::add(Lanes32::times(Lanes32::shifted<5>(x), Lanes32::all(lines)), line);
  }
#endif
};

QG_HD size_t picture_words(const Extent& e) { return size_t(ceil_div(e.width, 32)) * size_t(e.height) * size_t(e.depth); }

template <class Team, class Word>
QG_HD Picture picture_of(const Team& team, const Bits<Word>& mask, int32_t* memory) {
  constexpr int kParts = bits_of<Word>() / 32;
  uint32_t* const to = reinterpret_cast<uint32_t*>(memory);
  const int lines = mask.lines();
  team.for_each(ceil_div(mask.extent.width, 32), lines,
                [=](int c, int i) { to[c * lines + i] = uint32_t(mask.column(c / kParts)[i] >> (c % kParts * 31) >> (c % kParts)); });
  return {to, mask.extent.width, lines};
}

}  // namespace QG_NAMESPACE
