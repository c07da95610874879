// Erosion and dilation of images by small windows, as strung.h does them, but with all that lies between the passes in registers: a pass
// takes chunks of 512 pixels as they come, keeps the last two, and hands on what it makes of the middle one of three. A step along x is a
// shift of the chunk, one along y a permutation of its 32-bit words, so lines are whole words, and such a step goes one chunk far at most.
// A dilation is the erosion of the complement. Outside the image all are ones: what a pass makes of them there reaches only pixels whose
// window holds the pixels that it came from.
#pragma once
#include <string.h>

#include "../core/op.h"
#include "../task.h"
#include "pixels.h"

namespace QG_NAMESPACE {
namespace {

class Chained {
 public:
  static bool serves(const qg::MorphTask& task) {
    if (task.depth != 1 || task.width % 32 || task.width > kPixels || task.radius < 1 || task.radius > 7) return false;
    return (task.op == kErode || task.op == kDilate) && Chained(task.width, task.radius).down_ <= kMostDown;
  }

  explicit Chained(const qg::MorphTask& task) : Chained(task.width, task.radius) {
    pixels_ = int64_t(task.height) * task.width;
    dilates_ = task.op == kDilate;
    mark_ends(task.width);
    const int word_y = task.width / 32;
    for (int k = 0; k < down_; ++k) {
      for (int i = 0; i < 16; ++i) {
        from_before_[k][i] = 16 + i - word_y * shift_y_[k];
        from_after_[k][i] = i + word_y * shift_y_[k];
      }
    }
  }

  bool failed() const { return false; }
  size_t bytes() const { return (kPacked + kDone) * sizeof(Words); }

  // kPast: past the caches; `out` is then a cache line's. `memory` is 64-byte aligned.
  template <bool kPast>
  void run(const uint8_t* in, uint8_t* out, void* memory) const {
    Words* const words = static_cast<Words*>(memory);
    if (across_ == 1) return steps<1, 1, kPast>(in, out, words);
    if (across_ == 2) return down_ == 2 ? steps<2, 2, kPast>(in, out, words) : steps<2, 3, kPast>(in, out, words);
    down_ == 3 ? steps<3, 3, kPast>(in, out, words) : steps<3, 4, kPast>(in, out, words);
  }

 private:
  static constexpr int kWords = 8, kPixels = 512;       // of a chunk
  static constexpr int kMostAcross = 3, kMostDown = 4;  // passes along x and along y
  static constexpr int kPeriod = 15;                    // chunks after which the ends of lines repeat, at most
  // What was stored in words cannot be loaded whole before it has reached the cache: so many chunks later it has.
  static constexpr int kSettled = 3;
  static constexpr int kPacked = 4, kDone = 2;  // chunks that are kept as words, before the passes and after
  typedef uint64_t Words[kWords];
  typedef uint64_t Chunk __attribute__((vector_size(64)));

  Chained(int width, int radius) {
    for (int c = 0; c < radius; c += shift_x_) {
      shift_x_ = radius - c < c + 1 ? radius - c : c + 1;
      ++across_;
    }
    for (int c = 0; c < radius; ++down_) {
      const int grown = radius - c < c + 1 ? radius - c : c + 1, most = kPixels / width, shift = grown < most ? grown : most;
      if (down_ < kMostDown) shift_y_[down_] = shift;
      c += shift;
    }
  }

  // ends_[k][t]: in the chunk that pass k works on in steps t, t + period ..., ones at the pixels whose neighbour before lies in another
  // line; then likewise after.
  void mark_ends(int width) {
    while (period_ * kPixels % width) ++period_;
    memset(ends_, 0, sizeof ends_);
    for (int k = 0; k < across_; ++k) {
      const int shift = k + 1 < across_ ? 1 << k : shift_x_, late = (kSettled + 1 + k) % period_;
      for (int line = 0; line < period_ * kPixels; line += width) {
        for (int x = line; x < line + shift; ++x) mark(ends_[k][(x / kPixels + late) % period_][0], x % kPixels);
        for (int x = line + width - shift; x < line + width; ++x) mark(ends_[k][(x / kPixels + late) % period_][1], x % kPixels);
      }
    }
  }
  static void mark(uint64_t* words, int pixel) { words[pixel / 64] |= uint64_t(1) << pixel % 64; }

  template <int kAcross, int kDown, bool kPast>
  void steps(const uint8_t* in, uint8_t* out, Words* packed) const {
    constexpr int kPasses = kAcross + kDown, kBehind = kSettled + kPasses + 1;  // chunks from where is read to where is written
    Words* const done = packed + kPacked;
    const int64_t chunks = (pixels_ + kPixels - 1) / kPixels, whole = pixels_ / kPixels;
    const __m512i ones = _mm512_set1_epi64(-1), flip = dilates_ ? ones : _mm512_setzero_si512();
    const uint64_t outside = dilates_ ? 0 : ~uint64_t(0);
    const int rest = shift_x_;
    memset(packed, dilates_ ? 0 : 0xFF, kPacked * sizeof(Words));
    __m512i last[kPasses], here[kPasses];
    for (int k = 0; k < kPasses; ++k) last[k] = here[k] = ones;
    __m512i from_before[kDown], from_after[kDown];
    for (int k = 0; k < kDown; ++k) {
      from_before[k] = _mm512_load_si512(from_before_[k]);
      from_after[k] = _mm512_load_si512(from_after_[k]);
    }
    // The chunk where the image ends, and those behind it. Nothing is called within the loop, so that all stays in registers.
    Words ending, beyond;
    for (int i = 0; i < kWords; ++i) {
      ending[i] = last_word(in + whole * kPixels + 64 * i, pixels_ - whole * kPixels - 64 * i, outside);
      beyond[i] = outside;
    }
    int turn = 0;  // step modulo the period
    for (int64_t step = 0; step < chunks + kBehind; ++step) {
      uint64_t* const words = packed[step % kPacked];
      if (step < whole)
        for (int i = 0; i < kWords; ++i) words[i] = pack64(in + step * kPixels + 64 * i, 64);
      else
        _mm512_store_si512(words, _mm512_loadu_si512(step == whole ? ending : beyond));
      __m512i next = _mm512_xor_si512(_mm512_load_si512(packed[(step + kPacked - kSettled) % kPacked]), flip);
#pragma GCC unroll 8
      for (int k = 0; k < kPasses; ++k) {
        __m512i made;
        if (k >= kAcross)
          made = along_y(from_before[k - kAcross], from_after[k - kAcross], last[k], here[k], next);
        else if (k + 1 < kAcross)
          made = along_x(1 << k, ends_[k][turn], last[k], here[k], next);
        else
          made = along_x(rest, ends_[k][turn], last[k], here[k], next);
        last[k] = here[k];
        here[k] = next;
        next = made;
      }
      _mm512_store_si512(done[step % kDone], _mm512_xor_si512(next, flip));
      const uint64_t* const result = done[(step + kDone - 1) % kDone];
      const int64_t chunk = step - kBehind;
      if (chunk >= 0 && chunk < whole)
        for (int i = 0; i < kWords; ++i) put64<kPast>(result[i], uint8_t(1), out + chunk * kPixels + 64 * i);
      turn = turn + 1 == period_ ? 0 : turn + 1;
    }
    const uint64_t* const result = done[(chunks + kBehind - 2) % kDone];
    for (int64_t at = whole * kPixels, i = 0; at < pixels_; at += 64, ++i)
      put_some(result[i], pixels_ - at < 64 ? int(pixels_ - at) : 64, size_t(pixels_ - at), uint8_t(1), out + at);
    if (kPast) _mm_sfence();  // what was streamed becomes visible in its own time
  }

  static __m512i along_x(int shift, const Words* ends, __m512i last, __m512i here, __m512i next) {
    const int back = 64 - shift;
    const Chunk lower = Chunk(_mm512_maskz_alignr_epi64(0xFF, here, last, 7)),
                higher = Chunk(_mm512_maskz_alignr_epi64(0xFF, next, here, 1));
    const Chunk before = Chunk(here) << shift | lower >> back | Chunk(_mm512_load_si512(ends[0]));
    const Chunk after = Chunk(here) >> shift | higher << back | Chunk(_mm512_load_si512(ends[1]));
    return __m512i(Chunk(here) & before & after);
  }

  static __m512i along_y(__m512i from_before, __m512i from_after, __m512i last, __m512i here, __m512i next) {
    return here & _mm512_permutex2var_epi32(last, from_before, here) & _mm512_permutex2var_epi32(here, from_after, next);
  }

  static uint64_t last_word(const uint8_t* from, int64_t left, uint64_t outside) {
    if (left <= 0) return outside;
    return left < 64 ? pack64(from, int(left)) | outside << left : pack64(from, 64);
  }

  alignas(64) Words ends_[kMostAcross][kPeriod][2];
  alignas(64) int32_t from_before_[kMostDown][16], from_after_[kMostDown][16];
  int64_t pixels_ = 0;
  int across_ = 0, down_ = 0, shift_x_ = 0, shift_y_[kMostDown] = {}, period_ = 1;
  bool dilates_ = false;
};

}  // namespace
}  // namespace QG_NAMESPACE
