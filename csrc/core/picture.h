// A mask that single pixels are looked up in: 16 pixels a word, whatever the canvas has; word columns lie one after the other.
#pragma once
#include "lanes.h"
#include "team.h"

namespace QG_NAMESPACE {

constexpr int kPictureBits = 16;
constexpr int kWindowColumns = 4, kWindowLines = 32;

struct Picture {
  uint16_t* word;
  int width, lines;

  QG_HD int columns() const { return ceil_div(width, kPictureBits); }
  // From a picture to one that lies behind it: whole words of 32 bits, and what may be read behind the last.
  QG_HD int64_t to_next() const { return (int64_t(columns()) * lines + 1) / 2 * 2 + kWindowLines; }
  // x and y (of volumes: line z height + y) must lie in the image.
  QG_HD uint32_t pixel(int x, int y) const { return uint32_t(word[(x >> 4) * lines + y]) >> (x & 15) & 1; }

#ifdef QG_LANES32
  QG_HD Lanes32::Vector index(Lanes32::Vector x, Lanes32::Vector y) const {
    return Lanes32::add(Lanes32::times16(Lanes32::shifted<4>(x), Lanes32::all(lines)), y);  // both below 2^15
  }
  QG_HD Lanes32::Vector index(Lanes32::Vector x, Lanes32::Vector y, Lanes32::Vector z, int height) const {
    const auto line = Lanes32::add(Lanes32::times(z, Lanes32::all(height)), y);
    return Lanes32::add(Lanes32::times(Lanes32::shifted<4>(x), Lanes32::all(lines)), line);
  }
#endif
};

// In 32-bit words.
QG_HD size_t picture_words(const Extent& e) { return size_t(Picture{nullptr, e.width, e.height * e.depth}.to_next() / 2); }

template <class Team, class Word>
QG_HD Picture picture_of(const Team& team, const Bits<Word>& mask, int32_t* memory) {
  constexpr int kParts = bits_of<Word>() / kPictureBits;
  uint16_t* const to = reinterpret_cast<uint16_t*>(memory);
  const int lines = mask.lines();
  team.for_each(ceil_div(mask.extent.width, kPictureBits), lines,
                [=](int c, int i) { to[c * lines + i] = uint16_t(mask.column(c / kParts)[i] >> (c % kParts * kPictureBits)); });
  return {to, mask.extent.width, lines};
}

#ifdef QG_WINDOWS
// A piece of an image, 64 pixels by 32 lines, in registers: 32 pixels are looked up at once, which gathering from memory takes longer for.
struct Window {
  Lanes16::Vector column[kWindowColumns];
  Lanes16::Vector origin;

  // Word columns beyond the last and lines beyond the image hold anything.
  QG_HD Window(const Picture& picture, int first_column, int first_line) : origin(Lanes16::all(kWindowLines * first_column + first_line)) {
    for (int k = 0; k < kWindowColumns; ++k)
      column[k] = Lanes16::load(picture.word + min_of(first_column + k, picture.columns() - 1) * picture.lines + first_line);
  }
  // Bit k: pixel (x[k], y[k]), which must lie in the window.
  QG_HD uint32_t pixels(Lanes16::Vector x, Lanes16::Vector y) const {
    using L = Lanes16;
    const auto index = L::subtract(L::add(L::up<1>(L::and_of(x, L::all(-16))), y), origin);
    const auto word = L::blend(L::any_of(index, 64), L::permuted(column[0], index, column[1]), L::permuted(column[2], index, column[3]));
    return L::bits_at(word, L::and_of(x, L::all(15)));
  }
};
#endif

}  // namespace QG_NAMESPACE
