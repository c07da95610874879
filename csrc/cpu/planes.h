// Pixels of tensors of any strides and numbers, a block at a time: where they lie side by side as floats they are read and written in
// place, else they go through a buffer that the first-level cache holds.
#pragma once
#include "../core/floats.h"
#include "../task.h"

namespace QG_NAMESPACE {

QG_HD float from_bits(uint32_t bits) {
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}
QG_HD uint32_t to_bits(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

// A number of each kind in memory, as a float or as a label. float16 by arithmetic on its bits, since not all sets can convert it.
struct Half {
  uint16_t bits;
  QG_HD operator float() const {
    const uint32_t sign = uint32_t(bits & 0x8000) << 16, rest = uint32_t(bits & 0x7FFF) << 13;
    const float scaled = from_bits(rest) * 5.192296858534828e33f;  // 2^112: the exponents' biases; exact for denormals too
    return from_bits(sign | (rest >= 0x0F800000 ? rest | 0x70000000 : to_bits(scaled)));
  }
  QG_HD void set(float v) {  // rounded to nearest even
    const uint32_t all = to_bits(v), sign = all & 0x80000000, rest = all ^ sign;
    const uint32_t small = to_bits(from_bits(rest) + 0.5f) - 0x3F000000;  // the sum rounds to a denormal's unit, 2^-24
    const uint32_t usual = (rest + 0xFFF + ((rest >> 13) & 1) - 0x38000000) >> 13;
    const uint32_t large = rest > 0x7F800000 ? 0x7E00 : 0x7C00;
    bits = uint16_t((sign >> 16) | (rest < 0x38800000 ? small : rest >= 0x477FF000 ? large : usual));
  }
};
struct Brain {
  uint16_t bits;
  QG_HD operator float() const { return from_bits(uint32_t(bits) << 16); }
  QG_HD void set(float v) {
    const uint32_t all = to_bits(v);
    bits = uint16_t((all & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : (all + 0x7FFF + ((all >> 16) & 1)) >> 16);
  }
};
struct Single {
  float v;
  QG_HD operator float() const { return v; }
  QG_HD void set(float w) { v = w; }
};
template <class Number>
struct Label {
  Number v;
  QG_HD operator int32_t() const { return sizeof(Number) < 8 || v == Number(int32_t(v)) ? int32_t(v) : INT32_MIN; }
};

// f(data, stride, done, count) for each run of pixels first .. first + n of a line.
template <class F>
QG_HD void for_runs(const qg::Plane& plane, int64_t start, int64_t first, int n, F f) {
  for (int done = 0; done < n;) {
    const int64_t line = first / plane.width, x = first % plane.width;
    const int count = plane.width - x < n - done ? int(plane.width - x) : n - done;
    const int64_t at = start + line / plane.height * plane.stride_z + line % plane.height * plane.stride_y + x * plane.stride_x;
    f(at, plane.stride_x, done, count);
    done += count;
    first += count;
  }
}

template <class Number, class To>
QG_ROW void gather(const Number* from, int64_t stride, To* to, int n) {
  if (stride == 1) {
    QG_LANES for (int i = 0; i < n; ++i) to[i] = To(from[i]);
  } else {
    for (int i = 0; i < n; ++i) to[i] = To(from[i * stride]);
  }
}

template <class Number>
QG_ROW void scatter(const float* from, Number* to, int64_t stride, int n) {
  if (stride == 1) {
    QG_LANES for (int i = 0; i < n; ++i) to[i].set(from[i]);
  } else {
    for (int i = 0; i < n; ++i) to[i * stride].set(from[i]);
  }
}

template <class Number, class To>
QG_HD void gather_all(const qg::Plane& plane, int64_t start, int64_t first, int n, To* to) {
  for_runs(plane, start, first, n, [&](int64_t at, int64_t stride, int done, int count) {
    gather(static_cast<const Number*>(plane.data) + at, stride, to + done, count);
  });
}

// The place of pixel `first` where the n pixels from there on lie side by side as floats; else null.
QG_HD float* in_place(const qg::Plane& plane, int64_t start, int64_t first, int n) {
  if (plane.kind != qg::kFloat || plane.stride_x != 1 || first % plane.width + n > plane.width) return nullptr;
  const int64_t line = first / plane.width;
  return static_cast<float*>(plane.data) + start + line / plane.height * plane.stride_z + line % plane.height * plane.stride_y +
         first % plane.width;
}

// A block of a class's pixels: n of them, then `rest` up to whole steps. Either where they lie or in `buffer`.
QG_HD const float* read(const qg::Plane& plane, int64_t sample, int k, int64_t first, int n, int steps, float rest, float* buffer) {
  const int64_t start = sample * plane.sample_stride + k * plane.class_stride;
  if (n == steps) {
    if (const float* there = in_place(plane, start, first, n)) return there;
  }
  if (plane.kind == qg::kFloat) gather_all<Single>(plane, start, first, n, buffer);
  if (plane.kind == qg::kHalf) gather_all<Half>(plane, start, first, n, buffer);
  if (plane.kind == qg::kBrain) gather_all<Brain>(plane, start, first, n, buffer);
  for (int i = n; i < steps; ++i) buffer[i] = rest;
  return buffer;
}

QG_HD const int32_t* read_labels(const qg::Plane& plane, int64_t sample, int64_t first, int n, int steps, int32_t* buffer) {
  const int64_t start = sample * plane.sample_stride;
  if (plane.kind == qg::kByte) gather_all<Label<uint8_t>>(plane, start, first, n, buffer);
  if (plane.kind == qg::kSigned) gather_all<Label<int8_t>>(plane, start, first, n, buffer);
  if (plane.kind == qg::kShort) gather_all<Label<int16_t>>(plane, start, first, n, buffer);
  if (plane.kind == qg::kInt) gather_all<Label<int32_t>>(plane, start, first, n, buffer);
  if (plane.kind == qg::kLong) gather_all<Label<int64_t>>(plane, start, first, n, buffer);
  for (int i = n; i < steps; ++i) buffer[i] = 0;
  return buffer;
}

// Where to put a block of a gradient; `write` then brings it home where that is the buffer.
QG_HD float* place(const qg::Plane& plane, int64_t sample, int k, int64_t first, int n, int steps, float* buffer) {
  float* const there =
      n == steps ? in_place(plane, sample * plane.sample_stride + k * plane.class_stride, first, n) : static_cast<float*>(nullptr);
  return there ? there : buffer;
}

QG_HD void write(const qg::Plane& plane, int64_t sample, int k, int64_t first, int n, const float* from, const float* buffer) {
  if (from != buffer) return;
  const int64_t start = sample * plane.sample_stride + k * plane.class_stride;
  for_runs(plane, start, first, n, [&](int64_t at, int64_t stride, int done, int count) {
    if (plane.kind == qg::kFloat) scatter(from + done, static_cast<Single*>(plane.data) + at, stride, count);
    if (plane.kind == qg::kHalf) scatter(from + done, static_cast<Half*>(plane.data) + at, stride, count);
    if (plane.kind == qg::kBrain) scatter(from + done, static_cast<Brain*>(plane.data) + at, stride, count);
  });
}

}  // namespace QG_NAMESPACE
