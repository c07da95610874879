// Both ends of augmentation: masks and half-precision images as a store keeps them, and results as a network takes them.
#pragma once
#include <string.h>

#include "../core/augment.h"
#include "../task.h"

namespace QG_NAMESPACE {

QG_HD int32_t bits_of_float(float v) {
  int32_t bits;
  memcpy(&bits, &v, 4);
  return bits;
}

QG_HD float float_of_bits(int32_t bits) {
  float v;
  memcpy(&v, &bits, 4);
  return v;
}

// IEEE half precision to single; an exponent of all ones is not looked for.
QG_HD float half_to_float(uint16_t half) {
  const float v = float_of_bits(int32_t(half & 0x7FFF) << 13) * 0x1p112f;
  return half & 0x8000 ? -v : v;
}

// Single precision to half, to nearest and even; what is too large becomes infinite.
QG_HD uint16_t float_to_half(float v) {
  const int32_t bits = bits_of_float(v), size = bits & 0x7FFFFFFF, sign = int32_t(uint32_t(bits) >> 16) & 0x8000;
  const int32_t normal = (size - (112 << 23) + 0xFFF + (size >> 13 & 1)) >> 13;
  const int32_t small = bits_of_float(float_of_bits(size) + 0.5f) - bits_of_float(0.5f);  // below 2^-14, in units of 2^-24
  const int32_t half = size < (113 << 23) ? small : size < 0x477FF000 ? normal : 0x7C00;
  return uint16_t(sign | half);
}

// To bfloat16, to nearest and even.
QG_HD uint16_t float_to_bfloat(float v) {
  const uint32_t bits = uint32_t(bits_of_float(v));
  return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// Labels of a mask from `planes` planes of bits, pixel p in bit p % 8 of byte p / 8 of each; `labels` has room for whole bytes.
static void unpack_bits(const uint8_t* bits, int planes, size_t pixels, uint8_t* labels) {
  const size_t bytes = (pixels + 7) / 8;
  for (int k = 0; k < planes; ++k) {
    const uint8_t* const plane = bits + size_t(k) * bytes;
    for (size_t i = 0; i < bytes; ++i) {
      // Bit j of the byte into bit 0 of byte j: the byte eight times, one bit of each kept, and brought down.
      const uint64_t kept = uint64_t(plane[i]) * 0x0101010101010101u & 0x8040201008040201u;
      uint64_t eight = ((kept + 0x7F7F7F7F7F7F7F7Fu) >> 7 & 0x0101010101010101u) << k;
      if (k) {
        uint64_t before;
        memcpy(&before, labels + 8 * i, 8);
        eight |= before;
      }
      memcpy(labels + 8 * i, &eight, 8);
    }
  }
}

// [channels, pixels] to the network's layout; one channel's normalisation is v scale + bias.
template <class To, int kChannels, class F>
static void finish_as(const float* image, size_t pixels, int channels, const float* scales, bool last, To* to, F convert) {
  const int count = kChannels ? kChannels : channels;
  const float *const scale = scales, *const bias = scales + channels;
  if (!last) {
    for (int c = 0; c < count; ++c) {
      const float* const from = image + size_t(c) * pixels;
      To* const out = to + size_t(c) * pixels;
      const float a = scale[c], b = bias[c];
      QG_LANES for (size_t p = 0; p < pixels; ++p) out[p] = convert(from[p] * a + b);
    }
  } else if (kChannels) {
    QG_LANES for (size_t p = 0; p < pixels; ++p) {
      for (int c = 0; c < count; ++c) to[p * size_t(count) + size_t(c)] = convert(image[size_t(c) * pixels + p] * scale[c] + bias[c]);
    }
  } else {
    for (int c = 0; c < count; ++c)
      QG_LANES for (size_t p = 0; p < pixels; ++p) to[p * size_t(count) + size_t(c)] =
          convert(image[size_t(c) * pixels + p] * scale[c] + bias[c]);
  }
}

template <class To, class F>
static void finish_to(const float* image, size_t pixels, int channels, const float* scales, bool last, void* to, F convert) {
  To* const out = static_cast<To*>(to);
  if (channels == 1) return finish_as<To, 1>(image, pixels, 1, scales, false, out, convert);
  if (channels == 3) return finish_as<To, 3>(image, pixels, 3, scales, last, out, convert);
  finish_as<To, 0>(image, pixels, channels, scales, last, out, convert);
}

// scales: of all channels, then what is added.
static void finish(const float* image, size_t pixels, int channels, const float* scales, bool last, int kind, void* to) {
  if (kind == qg::kHalf)
    finish_to<uint16_t>(image, pixels, channels, scales, last, to, [](float v) __attribute__((always_inline)) { return float_to_half(v); });
  else if (kind == qg::kBrain)
    finish_to<uint16_t>(image, pixels, channels, scales, last, to,
                        [](float v) __attribute__((always_inline)) { return float_to_bfloat(v); });
  else
    finish_to<float>(image, pixels, channels, scales, last, to, [](float v) __attribute__((always_inline)) { return v; });
}

}  // namespace QG_NAMESPACE
