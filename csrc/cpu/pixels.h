// A mask's bytes to bits, and its bits to bytes or numbers of any kind, line by line: what the last word of a line reads or writes too
// much lies in the next line, which comes later.
#pragma once
#include <string.h>
#include <unistd.h>

#include "../core/bits.h"

namespace QG_NAMESPACE {

using Plane = Bits<uint64_t>;

QG_HD size_t pixels_of(const Plane& plane) { return size_t(plane.lines()) * size_t(plane.extent.width); }

// Whether no cache is likely to hold so many bytes that are written.
[[maybe_unused]] static bool is_large(int64_t bytes) {
#ifdef _SC_LEVEL3_CACHE_SIZE
  static const int64_t cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return bytes > (cache > 0 ? cache / 2 : 8 << 20);
#else
  return bytes > 8 << 20;
#endif
}

// One line; `to` is its word of the first column.
QG_HD void pack_line(const uint8_t* from, const Plane& plane, int line, uint64_t* to, int step) {
  const int width = plane.extent.width;
  int x = 0;
  for (; x + 64 <= width; x += 64, to += step) *to = pack64(from + x, 64);
  if (x < width) *to = pack64(from + x, width - x, size_t(plane.lines() - line) * size_t(width) - size_t(x));
}

// The mask `next` comes into L2 while this one is worked on: a large batch then waits for memory half as long.
QG_HD void prefetch_line(const uint8_t* next, int width) {
  for (int x = 0; x < width; x += 64) __builtin_prefetch(next + x, 0, 2);
}

[[maybe_unused]] static void pack_mask(const uint8_t* from, const uint8_t* next, const Plane& to) {
  const size_t width = size_t(to.extent.width);
  for (int line = 0; line < to.lines(); ++line) {
    pack_line(from + size_t(line) * width, to, line, to.word + line, to.stride);
    prefetch_line(next + size_t(line) * width, to.extent.width);
  }
}

// 64 bits to as many numbers of a kind whose 0 is all zeros: `one` is its 1. kPast: past the caches, so that memory that is only written is
// not read first; `to` is then a whole cache line's.
template <bool kPast>
QG_HD void put64(uint64_t bits, uint8_t one, uint8_t* to) {
  (void)one;
#if defined(__AVX512BW__)
  const __m512i v = _mm512_maskz_mov_epi8(bits, _mm512_set1_epi8(1));
  kPast ? _mm512_stream_si512(reinterpret_cast<__m512i*>(to), v) : _mm512_storeu_si512(to, v);
#elif defined(__AVX2__)
  const __m256i low = bits_as_bytes(uint32_t(bits)), high = bits_as_bytes(uint32_t(bits >> 32));
  __m256i* const at = reinterpret_cast<__m256i*>(to);
  kPast ? _mm256_stream_si256(at, low) : _mm256_storeu_si256(at, low);
  kPast ? _mm256_stream_si256(at + 1, high) : _mm256_storeu_si256(at + 1, high);
#else
  unpack64(bits, to, 64);
#endif
}
template <bool kPast>
QG_HD void put64(uint64_t bits, uint32_t one, uint32_t* to) {
#if defined(__AVX512BW__)
  for (int part = 0; part < 4; ++part) {
    const __m512i v = _mm512_maskz_set1_epi32(__mmask16(bits >> (16 * part)), int(one));
    kPast ? _mm512_stream_si512(reinterpret_cast<__m512i*>(to + 16 * part), v) : _mm512_storeu_si512(to + 16 * part, v);
  }
#else
  for (int x = 0; x < 64; ++x) to[x] = (0u - uint32_t(bits >> x & 1)) & one;
#endif
}
template <bool kPast>
QG_HD void put64(uint64_t bits, uint16_t one, uint16_t* to) {
#if defined(__AVX512BW__)
  for (int part = 0; part < 2; ++part) {
    const __m512i v = _mm512_maskz_set1_epi16(__mmask32(bits >> (32 * part)), short(one));
    kPast ? _mm512_stream_si512(reinterpret_cast<__m512i*>(to + 32 * part), v) : _mm512_storeu_si512(to + 32 * part, v);
  }
#else
  for (int x = 0; x < 64; ++x) to[x] = uint16_t((0u - uint32_t(bits >> x & 1)) & one);
#endif
}

// The first `count` of 64; all may be written where `room` has them.
template <class Number>
QG_HD void put_some(uint64_t bits, int count, size_t room, Number one, Number* to) {
  if (room >= 64) return put64<false>(bits, one, to);
  Number all[64];
  put64<false>(bits, one, all);
  memcpy(to, all, size_t(count) * sizeof(Number));
}

// One line; `from` is its word of the first column.
template <class Number>
QG_HD void unpack_line(const uint64_t* from, int step, const Plane& plane, int line, Number one, Number* to) {
  const int width = plane.extent.width;
  int x = 0;
  for (; x + 64 <= width; x += 64, from += step) put64<false>(*from, one, to + x);
  if (x < width) put_some(*from, width - x, size_t(plane.lines() - line) * size_t(width) - size_t(x), one, to + x);
}

// Past the caches: whole cache lines, of the bits of all lines strung together, so a line is whole bytes of bits. `spare` is scratch.
template <class Number>
static void stream_mask(const Plane& from, const Plane& spare, Number one, Number* to) {
  const size_t pixels = pixels_of(from), step = size_t(from.extent.width) / 8;
  uint8_t* const bits = reinterpret_cast<uint8_t*>(spare.word);
  for (int line = 0; line < from.lines(); ++line)
    for (int c = 0; c < from.columns(); ++c) memcpy(bits + size_t(line) * step + 8 * c, from.column(c) + line, 8);
  uint64_t word;
  size_t i = 0;
  for (; i + 64 <= pixels; i += 64) {
    memcpy(&word, bits + i / 8, 8);
    put64<true>(word, one, to + i);
  }
  if (i < pixels) {
    memcpy(&word, bits + i / 8, 8);
    put_some(word, int(pixels - i), pixels - i, one, to + i);
  }
#if defined(__AVX2__)
  _mm_sfence();  // what was streamed becomes visible in its own time
#endif
}

template <class Number>
static void unpack_mask(const Plane& from, const Plane& spare, bool is_large, Number one, Number* to) {
  const int width = from.extent.width;
  if (is_large && width % 8 == 0 && reinterpret_cast<uintptr_t>(to) % 64 == 0) return stream_mask(from, spare, one, to);
  for (int line = 0; line < from.lines(); ++line)
    unpack_line(from.word + line, from.stride, from, line, one, to + size_t(line) * size_t(width));
}

}  // namespace QG_NAMESPACE
