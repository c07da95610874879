// What changes the look of a moved sample while it lies in L2: blur, colour, noise, each one pass.
#pragma once
#include <string.h>

#include "../core/augment.h"
#include "../core/floats.h"

namespace QG_NAMESPACE {

// The first `count` lanes, fewer than there are. No call where there are masks: round one all constants of a loop would be loaded again.
QG_HD void store_some(float* to, Floats v, int count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, __mmask16((1u << count) - 1), v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(to, reinterpret_cast<__m256i>(all(count) > Ints{0, 1, 2, 3, 4, 5, 6, 7}), v);
#else
  memcpy(to, &v, size_t(count) * sizeof(float));
#endif
}

QG_HD Floats within_one(Floats v) {
#if defined(__AVX512F__)
  return _mm512_maskz_min_ps(0xFFFF, _mm512_maskz_max_ps(0xFFFF, v, Floats{}), all(1.0f));
#elif defined(__AVX__)
  return _mm256_min_ps(_mm256_max_ps(v, Floats{}), all(1.0f));
#else
  const Floats low = select(v > 0.0f, v, Floats{});
  return select(low < 1.0f, low, all(1.0f));
#endif
}

template <int kValue>
struct Whole {
  static constexpr int value = kValue;
};

// A Gaussian over `from`, of whole vectors, which has `reach` pixels, and room for a vector, more at both ends. taps: the middle one and
// those to a side. kReach: `reach` where it is known (its loop is then unrolled and taps stay in registers), else 0.
template <int kReach>
QG_ROW void blur_along(const float* from, int count, const float* taps, int reach, float* to) {
  const int most = kReach ? kReach : reach;
#if defined(__AVX512F__)
  if constexpr (kReach > 0) {  // vectors that lie across two are made of both: a load from there takes two
    Floats before = load(from - kLanes), here = load(from);
    for (int x = 0; x < count; x += kLanes) {
      const Floats after = load(from + x + kLanes);
      const Ints a = as_ints(before), b = as_ints(here), c = as_ints(after);
      Floats sum = here * taps[0];
      const auto beside = [&](auto shift) __attribute__((always_inline)) {
        constexpr int j = decltype(shift)::value;
        const __m512i left = _mm512_maskz_alignr_epi32(0xFFFF, reinterpret_cast<__m512i>(b), reinterpret_cast<__m512i>(a), kLanes - j);
        const __m512i right = _mm512_maskz_alignr_epi32(0xFFFF, reinterpret_cast<__m512i>(c), reinterpret_cast<__m512i>(b), j);
        sum = fused(as_floats(reinterpret_cast<Ints>(left)) + as_floats(reinterpret_cast<Ints>(right)), taps[j], sum);
      };
      beside(Whole<1>{});
      if constexpr (kReach > 1) beside(Whole<2>{});
      if constexpr (kReach > 2) beside(Whole<3>{});
      store(to + x, sum);
      before = here;
      here = after;
    }
    return;
  }
#endif
  for (int x = 0; x < count; x += kLanes) {
    const float* const at = from + x;
    Floats sum = load(at) * taps[0];
    for (int j = 1; j <= most; ++j) sum = fused(load(at - j) + load(at + j), taps[j], sum);
    store(to + x, sum);
  }
}

// The same over lines that lie one above the other: line[0] the middle one, line[2 j - 1] and line[2 j] those beside it.
template <int kReach>
QG_ROW void blur_across(const float* const* lines, int width, const float* taps, int reach, float* to) {
  const float* line[kReach ? 2 * kReach + 1 : kMostTaps];
  const int most = kReach ? kReach : reach;
  for (int j = 0; j <= 2 * most; ++j) line[j] = lines[j];
  const auto at = [&](int x) __attribute__((always_inline)) {
    Floats sum = load(line[0] + x) * taps[0];
    for (int j = 1; j <= most; ++j) sum = fused(load(line[2 * j - 1] + x) + load(line[2 * j] + x), taps[j], sum);
    return sum;
  };
  int x = 0;
  for (; x + kLanes <= width; x += kLanes) store(to + x, at(x));
  if (x < width) store_some(to + x, at(x), width - x);
}

// A row of `width` into `to`, borders replicated. `edge` holds the pixels about an end, of at most two vectors and a reach to both sides.
template <int kReach>
static void blur_row(const float* from, int width, const float* taps, int reach, float* edge, float* to) {
  float* const middle = edge + (reach > kLanes ? reach : kLanes);
  const auto at_end = [&](int first) {  // two vectors from `first` on
    const int count = width - first < 2 * kLanes ? width - first : 2 * kLanes;
    for (int k = -reach; k < count + reach; ++k) {
      const int x = first + k;
      middle[k] = from[x < 0 ? 0 : x >= width ? width - 1 : x];
    }
    blur_along<kReach>(middle, count, taps, reach, to + first);
  };
  at_end(0);
  int x = 2 * kLanes;
  if (reach > x) {  // few pixels or wide blurs: everywhere is near an end
    for (; x < width; x += 2 * kLanes) at_end(x);
    return;
  }
  const int whole = (width - (reach > kLanes ? reach : kLanes)) / kLanes * kLanes;
  if (whole > x) {
    blur_along<kReach>(from + x, whole - x, taps, reach, to + x);
    x = whole;
  }
  for (; x < width; x += 2 * kLanes) at_end(x);
}

// Lines that are `step` apart, blurred across each other in place; a ring of 2 reach + 1 lines holds them as they were. into(from, to):
// what is done to a line of `width` on its way into the ring. A line of the ring has `padded` floats.
template <int kReach, class F>
static void blur_lines(float* first, size_t step, int count, int width, const float* taps, int reach, float* ring, int padded, F into) {
  const int lines = 2 * reach + 1;
  const float* line[kMostTaps];
  const auto held = [=](int k) {
    const int at = k < 0 ? 0 : k >= count ? count - 1 : k;
    return ring + size_t(at % lines) * size_t(padded);
  };
  for (int y = 0; y < count + reach; ++y) {
    if (y < count) into(first + size_t(y) * step, held(y));
    const int out = y - reach;
    if (out < 0) continue;
    line[0] = held(out);
    for (int j = 1; j <= reach; ++j) {
      line[2 * j - 1] = held(out - j);
      line[2 * j] = held(out + j);
    }
    blur_across<kReach>(line, width, taps, reach, first + size_t(out) * step);
  }
}

// Along all axes, borders replicated. ring: kMostTaps lines of `padded` floats; edge: 6 vectors and 2 reaches.
template <int kReach>
static void blur_all(float* image, const Extent& extent, const float* taps, int reach, float* ring, float* edge, int padded) {
  const int width = extent.width;
  const size_t plane = size_t(extent.height) * size_t(width);
  const auto along = [=](const float* from, float* to) { blur_row<kReach>(from, width, taps, reach, edge, to); };
  const auto plain = [=](const float* from, float* to) { memcpy(to, from, size_t(width) * sizeof(float)); };
  for (int z = 0; z < extent.depth; ++z)
    blur_lines<kReach>(image + size_t(z) * plane, size_t(width), extent.height, width, taps, reach, ring, padded, along);
  if (extent.depth > 1)
    for (int y = 0; y < extent.height; ++y)
      blur_lines<kReach>(image + size_t(y) * size_t(width), plane, extent.depth, width, taps, reach, ring, padded, plain);
}

static void blur_volume(float* image, const Extent& extent, const float* taps, int reach, float* ring, float* edge, int padded) {
  (reach == 1   ? blur_all<1>
   : reach == 2 ? blur_all<2>
   : reach == 3 ? blur_all<3>
                : blur_all<0>)(image, extent, taps, reach, ring, edge, padded);
}

QG_ROW double sum_of(const float* from, size_t count) {
  double total = 0;
  for (size_t begin = 0; begin < count; begin += 4096) {
    const size_t end = begin + 4096 < count ? begin + 4096 : count;
    Sum sum;
    sum.clear();
    size_t p = begin;
    for (; p + kStep <= end; p += kStep)
      for (int part = 0; part < kParts; ++part) sum.add(part, load(from + p + size_t(part * kLanes)));
    double rest = sum.total();
    for (; p < end; ++p) rest += double(from[p]);
    total += rest;
  }
  return total;
}

// channels x (channels + 1): gains, saturation, contrast about the mean of all channels, brightness.
// matrix comes with the channels' means in its first column.
static void colour_matrix(int channels, const Look& look, float most_gain, const Draw& draw, float* matrix) {
  const float luma[3] = {0.299f, 0.587f, 0.114f};
  float means[64], mean = 0;
  for (int c = 0; c < channels; ++c) means[c] = matrix[c * (channels + 1)];
  for (int c = 0; c < channels; ++c) {
    const float gain = 1 + around(draw.word(9 + c)) * most_gain;
    float column = 0;
    for (int r = 0; r < channels; ++r) {
      const float weight = channels == 3 ? luma[c] : 1.0f / float(channels);
      const float blend = (r == c ? look.saturation : 0.0f) + (1 - look.saturation) * weight;
      matrix[r * (channels + 1) + c] = blend * gain * look.contrast;
      column += blend * gain;
    }
    mean += column * means[c];
  }
  const float added = (1 - look.contrast) * (mean / float(channels)) + look.brightness;
  for (int r = 0; r < channels; ++r) matrix[r * (channels + 1) + channels] = added;
}

// x^power for 0 <= x <= 1 and 0 < power < 8, to 2e-6; 0 up to 1e-30. x = 2^n (1 + t), sqrt(1/2) <= 1 + t < sqrt(2); log2(1 + t) / t to 3e-7
// and (2^f - 1) / f to 1e-7, |f| <= 1/2, by Remez's criterion.
QG_HD Floats power_of(Floats x, float power) {
  const Ints bits = as_ints(x) - 0x3F3504F3;  // of sqrt(1/2)
  const Floats n = __builtin_convertvector(bits >> 23, Floats);
  const Floats t = as_floats((bits & 0x007FFFFF) + 0x3F3504F3) - 1.0f, t2 = t * t;
  const Floats low = fused(t, -0.721375823f, 1.44269967f), middle = fused(t, -0.358963191f, 0.480466247f);
  const Floats high = fused(t2, 0.170658484f, fused(t, -0.272686601f, 0.297250450f));
  const Floats logarithm = fused(fused(t2, fused(t2, high, middle), low), t, n);
  const Floats y = larger(logarithm * power, all(-126.0f)), shifted = y + (12582912.0f + 127.0f);
  const Floats f = y - (shifted - (12582912.0f + 127.0f)), f2 = f * f;
  const Floats q = fused(f2, fused(f, 0.00134072592f, 0.00967187528f), fused(f, 0.0555030853f, 0.240222350f));
  const Floats e = fused(fused(q, f, 0.693147242f), f, 1.0f);
  return select(x > 1e-30f, e * as_floats(as_ints(shifted) << 23), Floats{});
}

// Whole vectors of `count` pixels through the matrix, held in [0, 1], to the power `exponent`; channels lie `stride` apart. No call stands
// within the loop, so that constants stay in registers. kChannels 0: any number.
template <int kChannels, bool kPower>
QG_ROW void colour_vectors(float* image, size_t stride, size_t count, int channels, const float* matrix, float exponent) {
  const int c_count = kChannels ? kChannels : channels;
  Floats in[kChannels ? kChannels : 64];
  for (size_t p = 0; p < count; p += size_t(kLanes)) {
    for (int c = 0; c < c_count; ++c) in[c] = load(image + size_t(c) * stride + p);
    for (int r = 0; r < c_count; ++r) {
      const float* const m = matrix + r * (c_count + 1);
      Floats out = all(m[c_count]);
      for (int c = 0; c < c_count; ++c) out = fused(in[c], m[c], out);
      out = within_one(out);
      store(image + size_t(r) * stride + p, kPower ? power_of(out, exponent) : out);
    }
  }
}

template <int kChannels, bool kPower>
static void colour_pixels(float* image, size_t stride, size_t count, int channels, const float* matrix, float exponent) {
  const size_t whole = count / size_t(kLanes) * size_t(kLanes), rest = count - whole;
  colour_vectors<kChannels, kPower>(image, stride, whole, channels, matrix, exponent);
  if (!rest) return;
  float some[64 * kLanes] = {};
  for (int c = 0; c < channels; ++c) memcpy(some + c * kLanes, image + size_t(c) * stride + whole, rest * sizeof(float));
  colour_vectors<kChannels, kPower>(some, kLanes, size_t(kLanes), channels, matrix, exponent);
  for (int c = 0; c < channels; ++c) memcpy(image + size_t(c) * stride + whole, some + c * kLanes, rest * sizeof(float));
}

constexpr int kGrain = 128;  // values that 16 blocks of noise make

// Sums of the four nibbles of halves of words, of blocks first to first + 15: value p of these has half p / 64 of word p % 64 / 16 of block
// p % 16.
QG_HD void noise_sums(const Draw& draw, uint32_t first, int32_t* sums) {
  uint32_t words[64];
#ifdef QG_LANES32
  for (int part = 0; part < 16; part += Lanes32::kLanes) {
    Lanes32::Vector four[4];
    draw.blocks(first + uint32_t(part), 0, four);
    for (int j = 0; j < 4; ++j) Lanes32::store(reinterpret_cast<int32_t*>(words) + 16 * j + part, four[j]);
  }
#else
  for (uint32_t k = 0; k < 16; ++k) {
    const Words4 four = draw.block(first + k);
    for (int j = 0; j < 4; ++j) words[16 * j + int(k)] = four.word[j];
  }
#endif
  QG_LANES for (int k = 0; k < 64; ++k) {
    const uint32_t pairs = (words[k] & 0x0F0F0F0Fu) + (words[k] >> 4 & 0x0F0F0F0Fu);
    const uint32_t fours = pairs + (pairs >> 8);
    sums[k] = int32_t(fours & 0xFF);
    sums[k + 64] = int32_t(fours >> 16 & 0xFF);
  }
}

// Nearly normal noise: four nibbles have the mean 30 and the deviation sqrt((16^2 - 1) / 3). `count`: whole grains from `first` on.
QG_ROW void noise_vectors(float* image, size_t first, size_t count, float deviation, const Draw& draw) {
  const Floats scale = all(deviation * 0.108465229f), middle = scale * -30.0f;
  alignas(64) int32_t sums[kGrain];
  for (size_t begin = 0; begin < count; begin += kGrain) {
    noise_sums(draw, uint32_t((first + begin) / kGrain * 16), sums);
    for (int k = 0; k < kGrain; k += kLanes) {
      float* const at = image + begin + k;
      const Floats grain = __builtin_convertvector(load(sums + k), Floats);
      store(at, within_one(fused(grain, scale, load(at) + middle)));
    }
  }
}

// `first`: the number of the sample's value at image[0], a multiple of kGrain.
static void add_noise(float* image, size_t first, size_t count, float deviation, const Draw& draw) {
  const size_t whole = count / kGrain * kGrain, rest = count - whole;
  noise_vectors(image, first, whole, deviation, draw);
  if (!rest) return;
  float some[kGrain] = {};
  memcpy(some, image + whole, rest * sizeof(float));
  noise_vectors(some, first + whole, kGrain, deviation, draw);
  memcpy(image + whole, some, rest * sizeof(float));
}

}  // namespace QG_NAMESPACE
