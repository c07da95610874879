// Erosion and dilation by a square or cube of side 2 radius + 1, on bits. The window is separable; along an axis, a window of reach c
// combined (or: dilation, and: erosion) with its copies shifted by +s and -s has reach c + s as long as s <= c + 1, so reach r takes
// about log2(r) passes. (s <= 2c + 1 would tile the window too, but a copy of what lay beyond the border would be missing.) Outside the
// image lies the neutral value: 0 for dilation, 1 for erosion, so the border neither grows nor eats the mask.
#pragma once
#include "canvas.h"
#include "op.h"
#include "team.h"

namespace QG_NAMESPACE {

template <bool kErode, class Word>
QG_HD Word combine(Word a, Word b) {
  return kErode ? a & b : a | b;
}

// A word column that may lie beyond the image: then it reads as the outside. By arithmetic: out of a condition gcc makes a loop for each
// case and vectorises none.
template <bool kErode, class Word>
struct Column {
  const Word* word;
  Word keep, fill;

  QG_HD Column(const Bits<Word>& bits, int column) {
    const int there = unsigned(column) < unsigned(bits.columns());
    word = bits.column(column & -there);
    keep = Word(0) - Word(there);
    fill = kErode ? Word(~keep) : Word(0);
  }
  QG_HD Word operator[](int i) const { return (word[i] & keep) | fill; }
};

// out = in combined with in shifted by `shift` pixels both ways along x.
template <bool kErode, class Team, class Word>
QG_HD void pass_columns(const Team& team, const Bits<Word>& in, const Bits<Word>& out, int shift) {
  const int whole = shift / bits_of<Word>(), rest = shift % bits_of<Word>(), back = bits_of<Word>() - 1 - rest;
  if (whole == 0) {  // the usual case, with half of the work
    team.for_each(in.columns(), in.lines(), [=](int c, int i) {
      const Column<kErode, Word> left(in, c - 1), right(in, c + 1);
      const Word here = in.column(c)[i];
      const Word before = Word(here << rest) | Word(left[i] >> 1 >> back), after = Word(here >> rest) | Word(right[i] << 1 << back);
      out.column(c)[i] = combine<kErode>(here, combine<kErode>(before, after));
    });
    return;
  }
  team.for_each(in.columns(), in.lines(), [=](int c, int i) {
    const Column<kErode, Word> left(in, c - whole), lefter(in, c - whole - 1), right(in, c + whole), righter(in, c + whole + 1);
    // (v >> 1 >> back) is v >> (bits - rest), also where rest is 0.
    const Word before = Word(left[i] << rest) | Word(lefter[i] >> 1 >> back);
    const Word after = Word(right[i] >> rest) | Word(righter[i] << 1 << back);
    out.column(c)[i] = combine<kErode>(in.column(c)[i], combine<kErode>(before, after));
  });
}

// The same along y (lines of `height` words) or z (one line of all the words of a column, shifted by whole planes).
template <bool kErode, class Team, class Word>
QG_HD void pass_lines(const Team& team, const Bits<Word>& in, const Bits<Word>& out, int lines, int length, int shift) {
  constexpr Word kOutside = kErode ? ~Word(0) : Word(0);
  team.for_each_within(in.columns() * lines, length, shift, [=](int line, int i, bool has_before, bool has_after) {
    const int base = lines == 1 ? line * in.stride : line / lines * in.stride + line % lines * length;
    const Word* const from = in.word + base;
    const Word before = has_before ? from[i - shift] : kOutside, after = has_after ? from[i + shift] : kOutside;
    out.word[base + i] = combine<kErode>(from[i], combine<kErode>(before, after));
  });
}

// Sets the bits beyond the width to `ones`.
template <class Team, class Word>
QG_HD void fill_padding(const Team& team, const Bits<Word>& bits, bool ones) {
  const Word inside = bits.last_column();
  if (inside == Word(~Word(0))) return;
  Word* const last = bits.column(bits.columns() - 1);
  team.for_each(bits.lines(), [=](int i) { last[i] = Word((last[i] & inside) | (ones ? ~inside : Word(0))); });
}

QG_HD Extent all_ways(int radius) { return {radius, radius, radius}; }

// mask -> mask, with `spare` as scratch; the two may change places. Any radii >= 0.
template <bool kErode, class Team, class Word>
QG_HD void morph(const Team& team, Bits<Word>& mask, Bits<Word>& spare, const Extent& radii) {
  const Extent e = mask.extent;
  fill_padding(team, mask, kErode);
  for (int axis = 0; axis < 3; ++axis) {
    const int side = axis == 0 ? e.width : axis == 1 ? e.height : e.depth;
    const int reach = min_of(axis == 0 ? radii.width : axis == 1 ? radii.height : radii.depth, side - 1);
    for (int c = 0; c < reach;) {
      const int shift = min_of(reach - c, c + 1);
      if (axis == 0)
        pass_columns<kErode>(team, mask, spare, shift);
      else if (axis == 1)
        pass_lines<kErode>(team, mask, spare, e.depth, e.height, shift);
      else
        pass_lines<kErode>(team, mask, spare, 1, e.depth * e.height, shift * e.height);
      swap_planes(mask, spare);
      c += shift;
    }
  }
  fill_padding(team, mask, false);
}

// to = what dilation by the radii has more than erosion; `scratch` may change places with it. All three are not the mask.
template <class Team, class Word>
QG_HD void find_band(const Team& team, const Bits<Word>& mask, const Extent& radii, Bits<Word>& to, Bits<Word>& other,
                     Bits<Word>& scratch) {
  copy_plane(team, mask, to);
  copy_plane(team, mask, other);
  morph<false>(team, to, scratch, radii);
  morph<true>(team, other, scratch, radii);
  const Bits<Word> band = to, inside = other;
  team.for_each(band.columns(), band.lines(), [=](int c, int i) { band.column(c)[i] &= Word(~inside.column(c)[i]); });
}

// The operation by its number; `mask` and `spare` may change places.
template <class Team, class Word>
QG_HD void morph_by(const Team& team, Bits<Word>& mask, Bits<Word>& spare, int32_t op, const Extent& radii) {
  if (op == kErode || op == kOpening) morph<true>(team, mask, spare, radii);
  if (op != kErode) morph<false>(team, mask, spare, radii);
  if (op == kClosing) morph<true>(team, mask, spare, radii);
}

}  // namespace QG_NAMESPACE
