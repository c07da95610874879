// The inner loops of augmentation, a row of pixels at a time.
#pragma once
#include <string.h>

#include "../core/augment.h"

namespace QG_NAMESPACE {

// Of each pixel of a row: offset of the two pixels that it lies between and of the nearest; weights across (two of 16 bits) and along.
struct RowPlaces {
  int32_t *at, *near, *across, *along;
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

QG_HD bool within(int64_t a, int64_t b, int64_t end) { return a >= -end && a < 2 * end && b >= -end && b < 2 * end; }

// One mirror at each end is enough, and all fits 32 bits.
QG_HD int32_t reflected_once(int32_t t, int32_t end) {
  const int32_t low = t < 0 ? -1 - t : t;
  return low >= end ? 2 * end - 1 - low : low;
}

static void row_places(const SourceMap& map, int y, const Extent& extent, const RowPlaces& to) {
  const int width = extent.width, height = extent.height;
  const int64_t sx = map.row[2][2], sy = map.row[1][2], half = kOne / 2;
  const int64_t tx = map.row[2][1] * y + map.row[2][3] + half, ty = map.row[1][1] * y + map.row[1][3] + half;
  const int64_t right = int64_t(width) << 16, bottom = int64_t(height) << 16;
  const bool easy = width > 1 && height > 1 && within(tx, tx + sx * (width - 1), right) && within(ty, ty + sy * (width - 1), bottom);
  if (!easy) {
    for (int x = 0; x < width; ++x) {
      const int64_t px = reflected(tx + sx * x, width), py = reflected(ty + sy * x, height);
      const Pair across = pair_of(px, width), along = pair_of(py, height);
      to.near[x] = int32_t((py >> 16) * width + (px >> 16));
      to.at[x] = along.first * width + across.first;
      to.across[x] = (256 - across.part) | (across.part << 16);
      to.along[x] = along.part;
    }
  } else {
    const int32_t x0 = int32_t(tx), y0 = int32_t(ty), dx = int32_t(sx), dy = int32_t(sy), end_x = int32_t(right), end_y = int32_t(bottom);
    const int32_t last_x = width - 2, last_y = height - 2;
    int32_t *const at = to.at, *const near = to.near, *const across = to.across, *const along = to.along;
    QG_LANES for (int32_t x = 0; x < width; ++x) {
      const int32_t px = reflected_once(x0 + dx * x, end_x), py = reflected_once(y0 + dy * x, end_y);
      near[x] = (py >> 16) * width + (px >> 16);
      const int32_t qx = px - 32768, qy = py - 32768;
      const int32_t lx = qx >> 16, ly = qy >> 16;
      const int32_t part_x = lx < 0 ? 0 : lx > last_x ? 256 : (qx & 0xFFFF) >> 8;
      const int32_t part_y = ly < 0 ? 0 : ly > last_y ? 256 : (qy & 0xFFFF) >> 8;
      const int32_t cx = lx < 0 ? 0 : lx > last_x ? last_x : lx, cy = ly < 0 ? 0 : ly > last_y ? last_y : ly;
      at[x] = cy * width + cx;
      across[x] = (256 - part_x) | (part_x << 16);
      along[x] = part_y;
    }
  }
  for (int x = width; x < (width + 15) / 16 * 16; ++x) {
    to.at[x] = 0;
    to.across[x] = 256;
    to.along[x] = 0;
  }
}

// Sums of four pixels by weights of 1/256 along both axes. Reads up to three bytes behind the plane.
static void gather_row(const uint8_t* plane, const Extent& extent, const RowPlaces& from, int32_t* total) {
  const int width = extent.width, below = extent.height > 1 ? width : 0;
  int x = 0;
#if defined(__AVX512BW__)
  const __m512i byte = _mm512_set1_epi32(0xFF), high = _mm512_set1_epi32(0xFF0000), one = _mm512_set1_epi32(256);
  for (; x < width; x += 16) {
    const __m512i at = _mm512_loadu_si512(from.at + x), across = _mm512_loadu_si512(from.across + x);
    const __m512i along = _mm512_loadu_si512(from.along + x);
    const auto line = [&](const uint8_t* base) __attribute__((always_inline)) {
      const __m512i four = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), __mmask16(0xFFFF), at, base, 1);
      const __m512i two = _mm512_or_si512(_mm512_and_si512(four, byte), _mm512_and_si512(_mm512_maskz_slli_epi32(0xFFFF, four, 8), high));
      return _mm512_madd_epi16(two, across);
    };
    const __m512i upper = line(plane), lower = line(plane + below);
    _mm512_storeu_si512(total + x,
                        _mm512_add_epi32(_mm512_mullo_epi32(upper, _mm512_sub_epi32(one, along)), _mm512_mullo_epi32(lower, along)));
  }
#elif defined(__AVX2__)
  const __m256i byte = _mm256_set1_epi32(0xFF), high = _mm256_set1_epi32(0xFF0000), one = _mm256_set1_epi32(256);
  for (; x < width; x += 8) {
    const auto load = [&](const int32_t* row) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + x)); };
    const __m256i at = load(from.at), across = load(from.across), along = load(from.along);
    const auto line = [&](const uint8_t* base) {
      const __m256i four =
          _mm256_mask_i32gather_epi32(_mm256_setzero_si256(), reinterpret_cast<const int*>(base), at, _mm256_set1_epi32(-1), 1);
      const __m256i two = _mm256_or_si256(_mm256_and_si256(four, byte), _mm256_and_si256(_mm256_slli_epi32(four, 8), high));
      return _mm256_madd_epi16(two, across);
    };
    const __m256i upper = line(plane), lower = line(plane + below);
    const __m256i sum = _mm256_add_epi32(_mm256_mullo_epi32(upper, _mm256_sub_epi32(one, along)), _mm256_mullo_epi32(lower, along));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(total + x), sum);
  }
#endif
  const int right = width > 1 ? 1 : 0;
  for (; x < width; ++x) {
    const uint8_t *const p = plane + from.at[x], *const q = p + below;
    const int32_t near = from.across[x] & 0xFFFF, far = from.across[x] >> 16, along = from.along[x];
    total[x] = (p[0] * near + p[right] * far) * (256 - along) + (q[0] * near + q[right] * far) * along;
  }
}

// All `count` lines of `width` pixels, `step` apart, blurred across the lines.
static void blur_lines(float* first, size_t step, int count, int width, const float* taps, int reach, float* spare) {
  for (int k = 0; k < count; ++k) memcpy(spare + size_t(k) * size_t(width), first + size_t(k) * step, size_t(width) * sizeof(float));
  for (int k = 0; k < count; ++k) {
    float* const out = first + size_t(k) * step;
    for (int x = 0; x < width; ++x) out[x] = 0;
    for (int j = -reach; j <= reach; ++j) {
      const int at = k + j < 0 ? 0 : k + j >= count ? count - 1 : k + j;
      const float* const in = spare + size_t(at) * size_t(width);
      const float tap = taps[reach + j];
      QG_LANES for (int x = 0; x < width; ++x) out[x] += tap * in[x];
    }
  }
}

// Along all axes; `lines` holds max(height, depth) rows, `row` one with `reach` more at both ends.
static void blur_volume(float* image, const Extent& extent, const float* taps, int reach, float* lines, float* row) {
  const int width = extent.width;
  const size_t plane = size_t(extent.height) * size_t(width);
  for (size_t line = 0; line < size_t(extent.depth) * size_t(extent.height); ++line) {
    float* const out = image + line * size_t(width);
    memcpy(row, out, size_t(width) * sizeof(float));
    for (int x = 0; x < width; ++x) out[x] = 0;
    for (int j = -reach; j <= reach; ++j) {
      const float tap = taps[reach + j];
      const int begin = j < 0 ? min_of(-j, width) : 0, end = j > 0 ? max_of(width - j, 0) : width;
      for (int x = 0; x < begin; ++x) out[x] += tap * row[0];
      QG_LANES for (int x = begin; x < end; ++x) out[x] += tap * row[x + j];
      for (int x = end > begin ? end : begin; x < width; ++x) out[x] += tap * row[width - 1];
    }
  }
  for (int z = 0; z < extent.depth; ++z) blur_lines(image + size_t(z) * plane, size_t(width), extent.height, width, taps, reach, lines);
  if (extent.depth > 1)
    for (int y = 0; y < extent.height; ++y) blur_lines(image + size_t(y) * size_t(width), plane, extent.depth, width, taps, reach, lines);
}

// channels x (channels + 1): gains, saturation, contrast about the mean of all channels, brightness.
static void colour_matrix(const float* image, size_t pixels, int channels, const Look& look, float most_gain, const Draw& draw,
                          float* matrix) {
  const float luma[3] = {0.299f, 0.587f, 0.114f};
  float mean = 0;
  for (int c = 0; c < channels; ++c) {
    const float gain = 1 + around(draw.word(9 + c)) * most_gain;
    double sum = 0;
    for (size_t begin = 0; begin < pixels; begin += 1024) {
      const size_t end = begin + 1024 < pixels ? begin + 1024 : pixels;
      float part[16] = {};
      size_t p = begin;
      for (; p + 16 <= end; p += 16)
        for (int k = 0; k < 16; ++k) part[k] += image[size_t(c) * pixels + p + size_t(k)];
      for (; p < end; ++p) part[0] += image[size_t(c) * pixels + p];
      for (int k = 0; k < 16; ++k) sum += double(part[k]);
    }
    float column = 0;
    for (int r = 0; r < channels; ++r) {
      const float weight = channels == 3 ? luma[c] : 1.0f / float(channels);
      const float blend = (r == c ? look.saturation : 0.0f) + (1 - look.saturation) * weight;
      matrix[r * (channels + 1) + c] = blend * gain * look.contrast;
      column += blend * gain;
    }
    mean += column * float(sum / double(pixels));
  }
  const float added = (1 - look.contrast) * (mean / float(channels)) + look.brightness;
  for (int r = 0; r < channels; ++r) matrix[r * (channels + 1) + channels] = added;
}

// `count` pixels of all channels through the matrix, held in [0, 1], to the power `exponent`.
static void colour_rows(float* image, size_t pixels, int channels, int count, int padded, const float* matrix, float exponent,
                        float* rows) {
  for (int c = 0; c < channels; ++c) memcpy(rows + size_t(c) * size_t(padded), image + size_t(c) * pixels, size_t(count) * sizeof(float));
  for (int r = 0; r < channels; ++r) {
    float* const out = image + size_t(r) * pixels;
    const float* const m = matrix + r * (channels + 1);
    if (channels == 3) {
      const float *const a = rows, *const b = rows + padded, *const c = rows + 2 * padded;
      QG_LANES for (int x = 0; x < count; ++x) out[x] = m[3] + m[0] * a[x] + m[1] * b[x] + m[2] * c[x];
    } else {
      for (int x = 0; x < count; ++x) out[x] = m[channels];
      for (int c = 0; c < channels; ++c) {
        const float* const in = rows + size_t(c) * size_t(padded);
        QG_LANES for (int x = 0; x < count; ++x) out[x] += m[c] * in[x];
      }
    }
    QG_LANES for (int x = 0; x < count; ++x) {
      const float low = out[x] > 0 ? out[x] : 0.0f;
      out[x] = low < 1 ? low : 1.0f;
    }
    if (exponent != 1.0f) {
      QG_LANES for (int x = 0; x < count; ++x) out[x] = power_of(out[x], exponent);
    }
  }
}

// Pixel p: bytes of word p % 64 / 16 of block 16 (p / 64) + p % 16.
static void add_noise(float* image, size_t count, float deviation, const Draw& draw) {
  const float scale = deviation * 0.0067658751f;  // 1 / sqrt((256^2 - 1) / 3)
  alignas(64) int32_t word[64];
  for (size_t begin = 0; begin < count; begin += 64) {
    const uint32_t first = uint32_t(begin / 64 * 16);
#ifdef QG_LANES32
    for (int part = 0; part < 16; part += Lanes32::kLanes) {
      Lanes32::Vector four[4];
      draw.blocks(first + uint32_t(part), 0, four);
      for (int j = 0; j < 4; ++j) Lanes32::store(word + 16 * j + part, four[j]);
    }
#else
    for (uint32_t k = 0; k < 16; ++k) {
      const Words4 four = draw.block(first + k);
      for (int j = 0; j < 4; ++j) word[16 * j + int(k)] = int32_t(four.word[j]);
    }
#endif
    float grain[64];
    QG_LANES for (int k = 0; k < 64; ++k) {
      const uint32_t w = uint32_t(word[k]), pairs = (w & 0x00FF00FFu) + ((w >> 8) & 0x00FF00FFu);
      grain[k] = float(int32_t((pairs + (pairs >> 16)) & 0xFFFFu) - 510) * scale;
    }
    float* const out = image + begin;
    const int here = count - begin < 64 ? int(count - begin) : 64;
    QG_LANES for (int k = 0; k < here; ++k) {
      const float sum = out[k] + grain[k], low = sum > 0 ? sum : 0.0f;
      out[k] = low < 1 ? low : 1.0f;
    }
  }
}

}  // namespace QG_NAMESPACE
