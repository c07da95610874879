// The blur of `smooth`: only pixels of the band are decided, the others see one value. A column of words at a time: sums along x of its
// lines into the arena, then sums of those along y, then, of volumes, along z.
#pragma once
#include "bits.h"
#include "team.h"

namespace QG_NAMESPACE {

constexpr int kMostSmoothing = 31;

// Weights at distance 0 .. radius px (one more where the radius is 0, of no meaning), as recipes/operations.py smoothing_weights gives them
// (which made this table).
QG_HD const uint16_t* smoothing_weights(int radius) {
  static constexpr uint16_t kWeights[] = {
      512, 234, 512, 339, 98,  512, 397, 185, 52,  512, 431, 256, 108, 32,  512, 452, 311, 166, 69,  22,  512, 466, 351, 219, 113, 48,  17,
      512, 475, 381, 263, 157, 81,  36,  14,  512, 482, 404, 300, 198, 116, 60,  28,  11,  512, 488, 421, 330, 234, 151, 88,  47,  22,  10,
      512, 492, 435, 355, 266, 185, 118, 69,  38,  19,  9,   512, 495, 446, 375, 294, 215, 147, 94,  56,  31,  16,  8,   512, 497, 455, 392,
      318, 243, 175, 119, 76,  46,  26,  14,  7,   512, 499, 462, 406, 339, 268, 202, 144, 98,  63,  39,  22,  12,  7,   512, 501, 468, 418,
      356, 291, 227, 169, 120, 82,  53,  33,  20,  11,  6,   512, 502, 473, 428, 372, 311, 249, 192, 142, 101, 69,  46,  29,  17,  10,  6,
      512, 503, 477, 436, 385, 328, 270, 214, 164, 121, 86,  59,  39,  25,  16,  9,   5,   512, 504, 480, 444, 397, 344, 288, 234, 185, 141,
      104, 74,  52,  35,  22,  14,  9,   5,   512, 505, 483, 450, 407, 358, 305, 253, 204, 160, 122, 90,  65,  45,  31,  20,  13,  8,   5,
      512, 505, 486, 455, 416, 370, 321, 271, 223, 179, 139, 106, 79,  57,  40,  27,  18,  12,  8,   5,   512, 506, 488, 460, 424, 381, 334,
      287, 240, 196, 157, 122, 93,  69,  50,  36,  25,  17,  11,  7,   5,   512, 506, 490, 465, 431, 391, 347, 301, 256, 213, 174, 138, 108,
      82,  61,  45,  32,  22,  15,  10,  7,   4,   512, 507, 492, 468, 437, 400, 358, 315, 271, 229, 190, 154, 123, 96,  73,  55,  40,  29,
      21,  14,  10,  6,   4,   512, 507, 494, 472, 442, 408, 369, 327, 285, 244, 205, 170, 137, 109, 86,  66,  49,  37,  27,  19,  13,  9,
      6,   4,   512, 508, 495, 475, 447, 415, 378, 339, 298, 259, 220, 185, 152, 123, 98,  77,  59,  45,  33,  24,  18,  12,  9,   6,   4,
      512, 508, 496, 477, 452, 421, 386, 349, 311, 272, 234, 199, 166, 137, 111, 88,  69,  54,  41,  31,  22,  16,  12,  8,   6,   4,   512,
      508, 497, 480, 456, 427, 394, 359, 322, 284, 248, 213, 180, 150, 123, 100, 80,  63,  49,  37,  28,  21,  15,  11,  8,   5,   4,   512,
      509, 498, 482, 460, 432, 401, 368, 332, 296, 260, 226, 193, 163, 136, 112, 91,  73,  57,  45,  34,  26,  19,  14,  10,  7,   5,   4,
      512, 509, 499, 484, 463, 437, 408, 376, 342, 307, 272, 239, 206, 176, 149, 124, 102, 83,  66,  52,  41,  32,  24,  18,  13,  10,  7,
      5,   4,   512, 509, 500, 485, 466, 442, 414, 383, 351, 317, 284, 251, 219, 189, 161, 136, 113, 93,  76,  61,  48,  38,  29,  22,  17,
      13,  9,   7,   5,   4,   512, 509, 501, 487, 469, 446, 419, 390, 359, 327, 294, 262, 231, 201, 173, 147, 124, 103, 85,  69,  56,  44,
      35,  27,  21,  16,  12,  9,   7,   5,   3,   512, 509, 501, 489, 471, 450, 424, 397, 367, 336, 304, 273, 242, 212, 185, 159, 135, 114,
      95,  78,  64,  52,  41,  33,  26,  20,  15,  12,  9,   6,   5,   3};
  return kWeights + (radius > 0 ? (radius - 1) * (radius + 2) / 2 : 0);
}

QG_HD int weights_total(const uint16_t* weights, int radius) {
  int total = weights[0];
  for (int d = 1; d <= radius; ++d) total += 2 * weights[d];
  return total;
}

// Sums along x of one column of words; of volumes, along x and y too.
QG_HD size_t smooth_arena(const Extent& e) { return size_t(e.height) * size_t(e.depth) * (e.depth > 1 ? 64 : 32); }

// Words of a line as if its ends were repeated beyond the image.
template <class Word>
QG_HD Word repeated_ends(const Bits<Word>& mask, int c, int line) {
  const int last = mask.columns() - 1;
  const Word first_word = mask.column(0)[line], last_word = mask.column(last)[line], inside = mask.last_column();
  const Word end = Word(0) - Word(last_word >> ((mask.extent.width - 1) % bits_of<Word>()) & 1);
  if (c < 0) return Word(0) - Word(first_word & 1);
  if (c > last) return end;
  return c < last ? mask.column(c)[line] : Word((last_word & inside) | (end & Word(~inside)));
}

template <class Word>
QG_HD void bits_to_flags(Word v, uint8_t* to) {
#ifndef __CUDACC__
  if (sizeof(Word) == 8) return unpack64(v, to, 64);
#endif
  for (int x = 0; x < bits_of<Word>(); ++x) to[x] = uint8_t(v >> x & 1);
}
// to = sums along x of the pixels of word column c.
template <class Word>
QG_HD void smooth_line(const Bits<Word>& mask, int c, int line, const uint16_t* weights, int radius, int total, uint16_t* to) {
  constexpr int kBits = bits_of<Word>();
  const Word before = repeated_ends(mask, c - 1, line), here = repeated_ends(mask, c, line), after = repeated_ends(mask, c + 1, line);
  // What is seen of the neighbours: their pixels within reach.
  const Word left = Word(before >> (kBits - radius)), right = Word(after << (kBits - radius)), reach = Word(~Word(0)) >> (kBits - radius);
  const bool ones = here == Word(~Word(0)) && left == reach && right == Word(reach << (kBits - radius));
  if (ones || (here == 0 && left == 0 && right == 0)) {
    for (int x = 0; x < kBits; ++x) to[x] = uint16_t(ones ? total : 0);
    return;
  }
  uint8_t flags[3 * kBits];
  bits_to_flags(before, flags);
  bits_to_flags(here, flags + kBits);
  bits_to_flags(after, flags + 2 * kBits);
  const uint8_t* const middle = flags + kBits;
  uint16_t sum[kBits];
  for (int x = 0; x < kBits; ++x) sum[x] = uint16_t(middle[x] * weights[0]);
  for (int d = 1; d <= radius; ++d) {
    const uint16_t weight = weights[d];
    QG_LANES for (int x = 0; x < kBits; ++x) sum[x] = uint16_t(sum[x] + uint8_t(middle[x - d] + middle[x + d]) * weight);
  }
  for (int x = 0; x < kBits; ++x) to[x] = sum[x];
}

#if defined(__AVX2__) && !defined(__CUDACC__)
// 16-bit lanes, of which pairs are multiplied and added to 32 bits.
struct Lanes {
#ifdef __AVX512BW__
  using Vector = __m512i;
  static constexpr int kPixels = 32;
  QG_HD static Vector load(const uint16_t* from) { return _mm512_loadu_si512(from); }
  QG_HD static Vector all(int v) { return _mm512_set1_epi32(v); }
  QG_HD static Vector add_short(Vector a, Vector b) { return _mm512_add_epi16(a, b); }
  QG_HD static Vector add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }
  QG_HD static Vector low(Vector a, Vector b, Vector weights) { return _mm512_madd_epi16(_mm512_unpacklo_epi16(a, b), weights); }
  QG_HD static Vector high(Vector a, Vector b, Vector weights) { return _mm512_madd_epi16(_mm512_unpackhi_epi16(a, b), weights); }
  // Bit k: lane k of the pixels in order is positive.
  QG_HD static uint64_t positive(Vector low, Vector high) {
    return _mm512_cmpgt_epi16_mask(_mm512_packs_epi32(low, high), _mm512_setzero_si512());
  }
#else
  using Vector = __m256i;
  static constexpr int kPixels = 16;
  QG_HD static Vector load(const uint16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  QG_HD static Vector all(int v) { return _mm256_set1_epi32(v); }
  QG_HD static Vector add_short(Vector a, Vector b) { return _mm256_add_epi16(a, b); }
  QG_HD static Vector add(Vector a, Vector b) { return _mm256_add_epi32(a, b); }
  QG_HD static Vector low(Vector a, Vector b, Vector weights) { return _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights); }
  QG_HD static Vector high(Vector a, Vector b, Vector weights) { return _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights); }
  QG_HD static uint64_t positive(Vector low, Vector high) {
    const Vector above = _mm256_cmpgt_epi16(_mm256_packs_epi32(low, high), _mm256_setzero_si256());
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(above), _mm256_extracti128_si256(above, 1));
    return uint64_t(uint32_t(_mm_movemask_epi8(bytes)));
  }
#endif
};

// Where the sum along an axis is above `most`, at number `line` of the `lines` along it that are `step` apart. The sums before stay below
// 2^14, two of them below 2^15.
QG_HD void decide_line(const uint16_t* sums, int line, int lines, size_t step, const uint16_t* weights, int radius, int most,
                       uint64_t* to) {
  using Vector = Lanes::Vector;
  uint64_t word = 0;
  for (int x = 0; x < 64; x += Lanes::kPixels) {
    const auto pair = [&](int d) {
      if (d > radius) return Lanes::all(0);
      const Vector up = Lanes::load(sums + size_t(max_of(line - d, 0)) * step + x);
      return Lanes::add_short(up, Lanes::load(sums + size_t(min_of(line + d, lines - 1)) * step + x));
    };
    const Vector middle = Lanes::load(sums + size_t(line) * step + x), first = pair(1), by = Lanes::all(weights[1] << 16 | weights[0]);
    Vector low = Lanes::add(Lanes::all(-most), Lanes::low(middle, first, by));
    Vector high = Lanes::add(Lanes::all(-most), Lanes::high(middle, first, by));
    for (int d = 2; d <= radius; d += 2) {
      const Vector a = pair(d), b = pair(d + 1), next = Lanes::all((d < radius ? weights[d + 1] << 16 : 0) | weights[d]);
      low = Lanes::add(low, Lanes::low(a, b, next));
      high = Lanes::add(high, Lanes::high(a, b, next));
    }
    word |= Lanes::positive(low, high) << x;
  }
  *to = word;
}
#endif

template <class Word>
QG_HD void decide_line(const uint16_t* sums, int line, int lines, size_t step, const uint16_t* weights, int radius, int most, Word* to) {
  constexpr int kBits = bits_of<Word>();
  const uint16_t* const middle = sums + size_t(line) * step;
  Word word = 0;
  for (int x = 0; x < kBits; ++x) {
    int sum = middle[x] * weights[0];
    for (int d = 1; d <= radius; ++d)
      sum += (sums[size_t(max_of(line - d, 0)) * step + x] + sums[size_t(min_of(line + d, lines - 1)) * step + x]) * weights[d];
    word |= Word(sum > most) << x;
  }
  *to = word;
}

constexpr int kPlaneShift = 14;  // what a sum along x and y is rounded by, so that it takes 14 bits again

// to = the sum along y at a line, rounded.
template <class Word>
QG_HD void sum_lines(const uint16_t* sums, int line, int lines, const uint16_t* weights, int radius, uint16_t* to) {
  constexpr int kBits = bits_of<Word>();
  int sum[kBits];
  const uint16_t* const middle = sums + size_t(line) * kBits;
  for (int x = 0; x < kBits; ++x) sum[x] = middle[x] * weights[0] + (1 << (kPlaneShift - 1));
  for (int d = 1; d <= radius; ++d) {
    const uint16_t *const up = sums + size_t(max_of(line - d, 0)) * kBits, *const down = sums + size_t(min_of(line + d, lines - 1)) * kBits;
    QG_LANES for (int x = 0; x < kBits; ++x) sum[x] += (up[x] + down[x]) * weights[d];
  }
  for (int x = 0; x < kBits; ++x) to[x] = uint16_t(sum[x] >> kPlaneShift);
}

// A blur's weights along each axis, and what the sums come to where all is 1.
struct Blur {
  Extent radii;
  const uint16_t *x, *y, *z;
  int total_x, plane, rounded;  // of a line, of a plane, of a plane rounded as sum_lines rounds

  // Radii up to kMostSmoothing, that along x 1 or more.
  QG_HD explicit Blur(const Extent& radii)
      : radii(radii), x(smoothing_weights(radii.width)), y(smoothing_weights(radii.height)), z(smoothing_weights(radii.depth)) {
    total_x = weights_total(x, radii.width);
    plane = total_x * weights_total(y, radii.height);
    rounded = (plane + (1 << (kPlaneShift - 1))) >> kPlaneShift;
  }
  QG_HD int volume() const { return rounded * weights_total(z, radii.depth); }
};

QG_HD Extent blur_radii(const Extent& radii) {
  return {min_of(radii.depth, kMostSmoothing), min_of(radii.height, kMostSmoothing), min_of(radii.width, kMostSmoothing)};
}

// The sums of word column c of which the last axis is still to be taken: of images along x, of volumes along x and y.
template <class Team, class Word>
QG_HD const uint16_t* column_sums(const Team& team, const Bits<Word>& mask, int c, const Blur& blur, int32_t* arena) {
  constexpr int kBits = bits_of<Word>();
  const int depth = mask.extent.depth, height = mask.extent.height, lines = mask.lines();
  uint16_t *const sums = reinterpret_cast<uint16_t*>(arena), *const planes = sums + size_t(lines) * kBits;
  team.for_each(lines, [=](int i) { smooth_line(mask, c, i, blur.x, blur.radii.width, blur.total_x, sums + size_t(i) * kBits); });
  if (depth == 1) return sums;
  team.for_each(depth, height, [=](int z, int y) {
    const size_t first = size_t(z) * size_t(height) * kBits;
    sum_lines<Word>(sums + first, y, height, blur.y, blur.radii.height, planes + first + size_t(y) * kBits);
  });
  return planes;
}

// out = mask blurred, where the band is; elsewhere the mask. A volume of one plane sees itself along z, so only the rounding is left.
template <class Team, class Word>
QG_HD void smooth_band(const Team& team, const Bits<Word>& mask, const Bits<Word>& band, const Blur& blur, bool is_volume,
                       const Bits<Word>& out, int32_t* arena) {
  constexpr int kBits = bits_of<Word>();
  const int depth = mask.extent.depth, height = mask.extent.height, lines = mask.lines(), columns = mask.columns();
  const int most = depth > 1   ? blur.volume() / 2
                   : is_volume ? ((blur.rounded / 2 + 1) << kPlaneShift) - (1 << (kPlaneShift - 1)) - 1
                               : blur.plane / 2;
  for (int c = 0; c < columns; ++c) {
    const Word* const wanted = band.column(c);
    const int any = team.sum(1, lines, [=](int, int i) { return int(wanted[i] != 0); });
    const uint16_t* const sums = any ? column_sums(team, mask, c, blur, arena) : nullptr;
    const Word inside = c + 1 < columns ? Word(~Word(0)) : mask.last_column();
    team.for_each(lines, [=](int i) {
      const Word was = mask.column(c)[i], at = wanted[i];
      if (at == 0) {
        out.column(c)[i] = was;
        return;
      }
      Word blurred;
      if (depth > 1)
        decide_line(sums + size_t(i % height) * kBits, i / height, depth, size_t(height) * kBits, blur.z, blur.radii.depth, most, &blurred);
      else
        decide_line(sums, i, height, kBits, blur.y, blur.radii.height, most, &blurred);
      out.column(c)[i] = Word((was & Word(~at)) | (blurred & at & inside));
    });
  }
}

}  // namespace QG_NAMESPACE
