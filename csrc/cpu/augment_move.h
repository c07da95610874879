// Where the pixels of a row come from, and bringing them there: up to four planes at a time, which lie interleaved as the bytes of a word,
// so that 64 bits are a pixel and its right neighbour in all of them.
#pragma once
#include <string.h>

#include "../core/augment.h"
#include "../core/floats.h"

namespace QG_NAMESPACE {

constexpr int kPlanes = 4;  // of an interleaved word

// Of each pixel of a row: offset of the first of the four pixels that it lies between; weights across (two of 16 bits) and along.
struct RowPlaces {
  int32_t *at, *across, *along;
};

// The first of two neighbours, and the second's weight in 1/256.
struct Pair {
  int32_t first, part;
};

QG_HD Pair pair_of(int64_t t, int side) {
  const int32_t s = int32_t(t) - 32768, low = s >> 16;
  const int32_t last = side - 2 < 0 ? 0 : side - 2;
  // Beyond the outermost centres both neighbours are the outermost pixel.
  if (low < 0 || side == 1) return {0, 0};
  if (low > last) return {last, 256};
  return {low, (s & 0xFFFF) >> 8};
}

// Whether places a and b, and so all between them, lie between the outermost centres: neither mirrored nor at an end.
QG_HD bool inside(int64_t a, int64_t b, int side) {
  const int64_t end = int64_t(side - 1) * kOne + kOne / 2;
  return a >= kOne / 2 && b >= kOne / 2 && a < end && b < end;
}

// Pixels x to x + 15 of a row, wherever they look.
QG_ROW void places_anywhere(int64_t tx, int64_t ty, int64_t sx, int64_t sy, int x, const Extent& extent, const RowPlaces& to) {
  for (int k = x; k < x + 16; ++k) {
    const int64_t px = reflected(tx + sx * k, extent.width), py = reflected(ty + sy * k, extent.height);
    const Pair across = pair_of(px, extent.width), along = pair_of(py, extent.height);
    to.at[k] = along.first * extent.width + across.first;
    to.across[k] = (256 - across.part) | (across.part << 16);
    to.along[k] = along.part;
  }
}

// Whether one mirror at each end is enough, so that all fits 32 bits.
QG_HD bool near_by(int64_t a, int64_t b, int side) {
  const int64_t end = int64_t(side) << 16;
  return side > 1 && a >= -end && b >= -end && a < 2 * end && b < 2 * end;
}

// The same, where places are near by.
QG_ROW void places_near_by(int32_t x0, int32_t y0, const int32_t* step_x, const int32_t* step_y, int x, const Extent& extent,
                           const RowPlaces& to) {
  const int32_t width = extent.width, end_x = extent.width << 16, end_y = extent.height << 16;
  const int32_t most_x = (extent.width - 1) << 16, most_y = (extent.height - 1) << 16;
  int32_t *const at = to.at + x, *const across = to.across + x, *const along = to.along + x;
  QG_LANES for (int k = 0; k < 16; ++k) {
    const auto place = [](int32_t t, int32_t end, int32_t most) __attribute__((always_inline)) {
      const int32_t low = t < 0 ? -1 - t : t, q = (low >= end ? 2 * end - 1 - low : low) - 32768;
      return q < 0 ? 0 : q > most ? most : q;
    };
    const int32_t qx = place(x0 + step_x[k], end_x, most_x), qy = place(y0 + step_y[k], end_y, most_y);
    // The last pixel is the second of the last two, by weight 256.
    const int32_t last_x = qx == most_x ? 1 : 0, last_y = qy == most_y ? 1 : 0;
    at[k] = ((qy >> 16) - last_y) * width + (qx >> 16) - last_x;
    const int32_t part = (qx >> 8 & 0xFF) + 256 * last_x;
    across[k] = 256 - part + (part << 16);
    along[k] = (qy >> 8 & 0xFF) + 256 * last_y;
  }
}

// Of whole vectors; what is right of the row looks somewhere too.
QG_ROW void row_places(const SourceMap& map, int y, const Extent& extent, const RowPlaces& to) {
  const int width = extent.width;
  const int64_t sx = map.row[2][2], sy = map.row[1][2], half = kOne / 2;
  const int64_t tx = map.row[2][1] * y + map.row[2][3] + half, ty = map.row[1][1] * y + map.row[1][3] + half;
  int32_t step_x[16], step_y[16];
  for (int k = 0; k < 16; ++k) {
    step_x[k] = int32_t(sx * k);
    step_y[k] = int32_t(sy * k);
  }
  for (int x = 0; x < width; x += 16) {
    const int64_t first_x = tx + sx * x, first_y = ty + sy * x;
    const int64_t last_x = first_x + 15 * sx, last_y = first_y + 15 * sy;
    if (!inside(first_x, last_x, width) || !inside(first_y, last_y, extent.height)) {
      if (near_by(first_x, last_x, width) && near_by(first_y, last_y, extent.height))
        places_near_by(int32_t(first_x), int32_t(first_y), step_x, step_y, x, extent, to);
      else
        places_anywhere(tx, ty, sx, sy, x, extent, to);
      continue;
    }
    const int32_t x0 = int32_t(first_x - half), y0 = int32_t(first_y - half);
    int32_t *const at = to.at + x, *const across = to.across + x, *const along = to.along + x;
    QG_LANES for (int k = 0; k < 16; ++k) {
      const int32_t qx = x0 + step_x[k], qy = y0 + step_y[k];
      at[k] = (qy >> 16) * width + (qx >> 16);
      const int32_t part = qx >> 8 & 0xFF;
      across[k] = 256 - part + (part << 16);
      along[k] = qy >> 8 & 0xFF;
    }
  }
}

// The nearest of the four pixels that places lie between, of a row of labels.
QG_ROW void nearest_row(const uint8_t* mask, const Extent& extent, const RowPlaces& from, uint8_t* to) {
  const int width = extent.width;
  const int32_t *const at = from.at, *const across = from.across, *const along = from.along;
  for (int x = 0; x < width; ++x) to[x] = mask[at[x] + (across[x] >> 16 >= 128) + (along[x] >= 128 ? width : 0)];
}

// Byte k of a word from plane k, 0 where there is none; planes[0] is always there.
QG_ROW void interleave(const uint8_t* const* planes, size_t pixels, uint32_t* words) {
  const uint8_t* const a = planes[0];
  const uint8_t *const b = planes[1] ? planes[1] : a, *const c = planes[2] ? planes[2] : a, *const d = planes[3] ? planes[3] : a;
  uint32_t kept = 0xFF;
  for (int k = 1; k < kPlanes; ++k) kept |= planes[k] ? 0xFFu << (8 * k) : 0;
  QG_LANES for (size_t p = 0; p < pixels; ++p) words[p] =
      (uint32_t(a[p]) | uint32_t(b[p]) << 8 | uint32_t(c[p]) << 16 | uint32_t(d[p]) << 24) & kept;
  words[pixels] = 0;  // right of the last pixel, by weight 0
}

// Sums of four pixels by weights of 1/256 along both axes, of all planes: emit(x, sums) for whole vectors of pixels, Ints[kPlanes]. With
// `labels`: plane 3 is a mask, of which the nearest of the four goes to labels[x], there too for whole vectors.
template <class Emit>
QG_HD void gather_row(const uint32_t* words, const Extent& extent, const RowPlaces& from, uint8_t* labels, Emit emit) {
  const int width = extent.width, below = extent.height > 1 ? width : 0;
  // Loads of 64 bits, put together, take less time than gather instructions.
#if defined(__AVX512BW__)
  const auto pair = [](int first) __attribute__((always_inline)) {  // of planes `first` and the next: 16-bit neighbours
    const auto four = [=](int k) __attribute__((always_inline)) { return int(0x80008000u) + (k + first + ((k + first + 4) << 16)); };
    return _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_setr_epi32(four(0), four(1), four(8), four(9)));
  };
  const __m512i low = pair(0), high = pair(2), whole = _mm512_set1_epi32(256);
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  for (int x = 0; x < width; x += 16) {
    __m512i sum[2][2];
    for (int part = 0; part < 2; ++part) {
      const int32_t* const at = from.at + x + 8 * part;
      const auto line = [=](const uint32_t* base) __attribute__((always_inline)) {
        const auto two = [=](int k) __attribute__((always_inline)) {
          __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(base + at[k]));
          return _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(v), reinterpret_cast<const double*>(base + at[k + 1])));
        };
        const __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(two(0)), two(2), 1);
        const __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(two(4)), two(6), 1);
        return _mm512_maskz_inserti64x4(0xFF, _mm512_castsi256_si512(a), b, 1);
      };
      const auto doubled = [=](const int32_t* row) __attribute__((always_inline)) {
        const __m256i eight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + x + 8 * part));
        return _mm512_maskz_shuffle_epi32(0xFFFF, _mm512_maskz_cvtepu32_epi64(0xFF, eight), _MM_PERM_CCAA);
      };
      const __m512i upper = line(words), lower = line(words + below);
      const __m512i across = doubled(from.across), along = doubled(from.along), rest = _mm512_sub_epi32(whole, along);
      for (int half = 0; half < 2; ++half) {
        const __m512i order = half ? high : low;
        const __m512i u = _mm512_madd_epi16(_mm512_shuffle_epi8(upper, order), across);
        const __m512i l = _mm512_madd_epi16(_mm512_shuffle_epi8(lower, order), across);
        sum[half][part] = _mm512_add_epi32(_mm512_mullo_epi32(u, rest), _mm512_mullo_epi32(l, along));
      }
      if (labels) {
        const __m512i nearest = _mm512_mask_blend_epi32(_mm512_cmpge_epi32_mask(along, rest), upper, lower);
        // The right pixel's weight is the highest of the four words of 16 bits; its label lies at bit 56, that of the left one at 24.
        const __mmask8 right = _mm512_cmpge_epu64_mask(across, _mm512_set1_epi64(int64_t(128) << 48));
        const __m512i shift = _mm512_mask_blend_epi64(right, _mm512_set1_epi64(24), _mm512_set1_epi64(56));
        const __m128i eight = _mm512_maskz_cvtepi64_epi8(0xFF, _mm512_maskz_srlv_epi64(0xFF, nearest, shift));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(labels + x + 8 * part), eight);
      }
    }
    Ints sums[kPlanes];
    for (int half = 0; half < 2; ++half) {
      sums[2 * half] = reinterpret_cast<Ints>(_mm512_permutex2var_epi32(sum[half][0], even, sum[half][1]));
      sums[2 * half + 1] = reinterpret_cast<Ints>(_mm512_permutex2var_epi32(sum[half][0], odd, sum[half][1]));
    }
    emit(x, sums);
  }
#elif defined(__AVX2__)
  const __m256i low =
      _mm256_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 8, -1, 12, -1, 9, -1, 13, -1, 0, -1, 4, -1, 1, -1, 5, -1, 8, -1, 12, -1, 9, -1, 13, -1);
  const __m256i high = _mm256_add_epi8(low, _mm256_set1_epi16(2)), whole = _mm256_set1_epi32(256);
  for (int x = 0; x < width; x += 8) {
    __m256i sum[2][2];
    for (int part = 0; part < 2; ++part) {
      const int32_t* const at = from.at + x + 4 * part;
      const auto line = [=](const uint32_t* base) __attribute__((always_inline)) {
        const auto two = [=](int k) __attribute__((always_inline)) {
          __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(base + at[k]));
          return _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(v), reinterpret_cast<const double*>(base + at[k + 1])));
        };
        return _mm256_inserti128_si256(_mm256_castsi128_si256(two(0)), two(2), 1);
      };
      const auto doubled = [=](const int32_t* row) __attribute__((always_inline)) {
        const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + x + 4 * part));
        return _mm256_shuffle_epi32(_mm256_cvtepu32_epi64(four), 0xA0);
      };
      const __m256i upper = line(words), lower = line(words + below);
      const __m256i across = doubled(from.across), along = doubled(from.along), rest = _mm256_sub_epi32(whole, along);
      for (int half = 0; half < 2; ++half) {
        const __m256i order = half ? high : low;
        const __m256i u = _mm256_madd_epi16(_mm256_shuffle_epi8(upper, order), across);
        const __m256i l = _mm256_madd_epi16(_mm256_shuffle_epi8(lower, order), across);
        sum[half][part] = _mm256_add_epi32(_mm256_mullo_epi32(u, rest), _mm256_mullo_epi32(l, along));
      }
    }
    Ints sums[kPlanes];
    for (int half = 0; half < 2; ++half) {
      const __m256 a = _mm256_castsi256_ps(sum[half][0]), b = _mm256_castsi256_ps(sum[half][1]);
      const auto mixed = [](__m256 v) __attribute__((always_inline)) {
        return reinterpret_cast<Ints>(_mm256_permute4x64_epi64(_mm256_castps_si256(v), 0xD8));
      };
      sums[2 * half] = mixed(_mm256_shuffle_ps(a, b, 0x88));
      sums[2 * half + 1] = mixed(_mm256_shuffle_ps(a, b, 0xDD));
    }
    emit(x, sums);
  }
#else
  for (int x = 0; x < width; x += kLanes) {
    int32_t total[kPlanes][kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const uint32_t *const p = words + from.at[x + i], *const q = p + below;
      const int32_t near = from.across[x + i] & 0xFFFF, far = from.across[x + i] >> 16, along = from.along[x + i];
      for (int k = 0; k < kPlanes; ++k) {
        const auto byte = [=](uint32_t word) { return int32_t(word >> (8 * k) & 0xFF); };
        total[k][i] = (byte(p[0]) * near + byte(p[1]) * far) * (256 - along) + (byte(q[0]) * near + byte(q[1]) * far) * along;
      }
    }
    Ints sums[kPlanes];
    for (int k = 0; k < kPlanes; ++k) sums[k] = load(total[k]);
    emit(x, sums);
  }
#endif
#if !defined(__AVX512BW__)
  if (!labels) return;
  for (int x = 0; x < width; ++x) {
    const bool right = from.across[x] >> 16 >= 128, lower = from.along[x] >= 128;
    labels[x] = uint8_t(words[from.at[x] + (right ? 1 : 0) + (lower ? below : 0)] >> 24);
  }
#endif
}

// Whether pixels only change places: no more than flips.
QG_HD bool flips_only(const SourceMap& map, const Extent& extent) {
  const int64_t side[3] = {extent.depth, extent.height, extent.width};
  bool only = map.row[2][1] == 0 && map.row[1][2] == 0;
  for (int axis = 0; axis < 3; ++axis) {
    const int64_t step = map.row[axis][axis], first = map.row[axis][3];
    only = only && ((step == kOne && first == 0) || (step == -kOne && first == (side[axis] - 1) * kOne));
  }
  return only;
}

// A row of bytes, from left to right or from right to left.
template <class To, class F>
QG_HD void row_in_order(const uint8_t* from, int width, bool turned, To* to, F f) {
  if (turned) {
    const uint8_t* const last = from + width - 1;
    QG_LANES for (int x = 0; x < width; ++x) to[x] = f(last[-x]);
  } else {
    QG_LANES for (int x = 0; x < width; ++x) to[x] = f(from[x]);
  }
}

}  // namespace QG_NAMESPACE
