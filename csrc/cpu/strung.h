// Erosion and dilation of images whose lines are whole bytes of bits, at the pace of memory. All lines are strung together, so that a
// step along x is a shift of the string (the ends of lines are masked) and one along y a shift by whole bytes. The passes of core/morph.h
// follow each other through the string, each some chunks of 512 pixels behind the one before, while bytes are still read in front and
// written behind: reading, passes and writing overlap. Each pass writes to where it has read before, and a bit further down, so that the
// string and what lies between the passes stay in the first-level cache.
#pragma once
#include <stdlib.h>
#include <string.h>

#include "../core/op.h"
#include "../task.h"
#include "pixels.h"

namespace QG_NAMESPACE {
namespace {

class Strung {
 public:
  // What is kept of the ends of lines grows with the width.
  static bool serves(const qg::MorphTask& task) { return task.depth == 1 && task.width % 8 == 0 && task.width <= 1 << 14; }

  explicit Strung(const qg::MorphTask& task) : width_(task.width), height_(task.height), radius_(task.radius) {
    pixels_ = width_ * height_;
    chunks_ = (pixels_ + kPixels - 1) / kPixels;
    while (period_ * kPixels % width_) ++period_;
    if (task.op == kErode || task.op == kOpening) add(true);
    if (task.op != kErode) add(false);
    if (task.op == kClosing) add(true);
    mark_ends();
  }
  Strung(const Strung&) = delete;
  ~Strung() { free(ends_); }

  bool failed() const { return failed_; }
  size_t bytes() const { return size_t(chunks_ * kBytes + down_ + beyond_ + kBytes); }

  // kPast: past the caches; `out` is then a cache line's.
  template <bool kPast>
  void run(const uint8_t* in, uint8_t* out, void* memory) const {
    uint8_t* const top = static_cast<uint8_t*>(memory) + down_;
    for (int k = 0; k < count_; ++k) memset(top - pass_[k].to, fill(k), size_t(pass_[k].to - pass_[k].from));
    // The usual case, one operation of a square that fits into the image, with its passes known to the compiler.
    const int each = count_ / 2;
    const bool usual = count_ && count_ == 2 * each && pass_[each - 1].along_x && !pass_[each].along_x;
    if (usual && each == 1) return pass_[0].erodes ? steps<true, 1, kPast>(in, out, top) : steps<false, 1, kPast>(in, out, top);
    if (usual && each == 2) return pass_[0].erodes ? steps<true, 2, kPast>(in, out, top) : steps<false, 2, kPast>(in, out, top);
    if (usual && each == 3) return pass_[0].erodes ? steps<true, 3, kPast>(in, out, top) : steps<false, 3, kPast>(in, out, top);
    steps<false, 0, kPast>(in, out, top);
  }

 private:
  static constexpr int kWords = 8, kBytes = 64, kPixels = 512;  // of a chunk
  // Chunks more than needed between a pass and the next: what was just stored in smaller pieces cannot be loaded whole before it has
  // reached the cache.
  static constexpr int kSettled = 2, kApart = 1;
  static constexpr int kMost = 128;  // passes: two for each doubling of the reach along two axes, of two operations

#if defined(__AVX512F__)
  static constexpr int kPiece = 64;  // bytes of a vector
#elif defined(__AVX2__)
  static constexpr int kPiece = 32;
#else
  static constexpr int kPiece = 16;
#endif
  typedef uint64_t Piece __attribute__((vector_size(kPiece)));
  typedef uint64_t Anywhere __attribute__((vector_size(kPiece), aligned(1), may_alias));

  struct Pass {
    int64_t below_in, below_out;  // bytes from where the reader is down to this pass's chunk, before it and after
    int64_t shift;                // y: bytes; x: bytes of its whole words
    int rest;                     // x: bits beyond whole words
    const uint64_t* ends;         // x: for each chunk, ones at the pixels whose neighbour before lies in another line; likewise after
    int64_t from, to, lag;        // bytes of the string below the top, before and after; chunks behind the reader
    int64_t pixels, reach;        // of the shift; bytes that are looked at beyond a chunk
    bool along_x, erodes;
  };
  static Piece load(const void* from) { return *static_cast<const Anywhere*>(from); }
  static void store(void* to, Piece v) { *static_cast<Anywhere*>(to) = v; }
  int fill(int k) const { return k < count_ && pass_[k].erodes ? 0xFF : 0; }

  void add(bool erodes) {
    for (int axis = 0; axis < 2; ++axis) {
      const int64_t side = axis ? height_ : width_, reach = radius_ < side - 1 ? radius_ : side - 1;
      for (int64_t c = 0; c < reach;) {
        const int64_t shift = reach - c < c + 1 ? reach - c : c + 1;
        const int64_t whole = shift / 64, bytes = axis ? shift * width_ / 8 : 8 * whole;
        Pass& pass = pass_[count_];
        pass = Pass{};
        pass.along_x = axis == 0;
        pass.erodes = erodes;
        pass.pixels = shift;
        pass.shift = bytes;
        pass.rest = int(shift % 64);
        pass.reach = axis ? bytes : whole ? bytes + 8 : kBytes;
        const int64_t chunks = (pass.reach + kBytes - 1) / kBytes;
        pass.from = down_;
        pass.to = down_ = pass.from + (chunks + 1) * kBytes;
        pass.lag = (count_ ? pass_[count_ - 1].lag : 0) + chunks + kSettled;
        pass.below_in = pass.lag * kBytes + pass.from;
        pass.below_out = pass.lag * kBytes + pass.to;
        if (pass.reach > beyond_) beyond_ = pass.reach;
        ++count_;
        c += shift;
      }
    }
  }

  void mark_ends() {
    int marked = 0;
    for (int k = 0; k < count_; ++k) marked += pass_[k].along_x;
    if (!marked) return;
    const int64_t table = 2 * period_ * 2 * kWords;  // the period twice, so that it can be gone through from anywhere
    const size_t bytes = size_t(marked * table) * sizeof(uint64_t);
    ends_ = static_cast<uint64_t*>(aligned_alloc(kBytes, bytes));
    failed_ = !ends_;
    if (ends_) memset(ends_, 0, bytes);
    uint64_t* at = ends_;
    for (int k = 0; k < count_ && ends_; ++k) {
      Pass& pass = pass_[k];
      if (!pass.along_x) continue;
      for (int64_t line = 0; line < 2 * period_ * kPixels; line += width_) {
        for (int64_t x = line; x < line + pass.pixels; ++x) mark(at, x);
        for (int64_t x = line + width_ - pass.pixels; x < line + width_; ++x) mark(at + kWords, x);
      }
      pass.ends = at + (period_ - pass.lag % period_) * 2 * kWords;
      at += table;
    }
  }
  static void mark(uint64_t* table, int64_t pixel) {
    table[pixel / kPixels * 2 * kWords + pixel % kPixels / 64] |= uint64_t(1) << pixel % 64;
  }

  static void read(const uint8_t* from, uint8_t* to) {
    for (int i = 0; i < kWords; ++i) put_word(to, i, pack64(from + 64 * i, 64));
  }
  static void put_word(uint8_t* to, int i, uint64_t word) { memcpy(to + 8 * i, &word, 8); }

  static void read_some(const uint8_t* from, int64_t left, uint8_t* to) {
    for (int i = 0; i < kWords && 64 * i < left; ++i) put_word(to, i, pack64(from + 64 * i, left - 64 * i < 64 ? int(left - 64 * i) : 64));
  }

  // Beyond the image lies what does not count for the pass that reads next.
  void finish(int k, uint8_t* string) const {
    if (k < count_) memset(string + pixels_ / 8, fill(k), size_t(chunks_ * kBytes - pixels_ / 8 + pass_[k].reach));
  }

  // kEach: passes along x, and then as many along y; 0: as they are listed.
  template <bool kErodes, int kEach, bool kPast>
  void steps(const uint8_t* in, uint8_t* out, uint8_t* top) const {
    const int64_t chunks = chunks_, behind = (count_ ? pass_[count_ - 1].lag : 0) + kApart;
    const int64_t steady = pixels_ / kPixels - 1;  // until there all chunks are whole and not the last
    int64_t step = 0, turn = 0;                    // turn: step modulo the period
    for (; step < behind || (steady <= behind && step < chunks + behind); ++step)
      one<kErodes, kEach, kPast, false>(in, out, top, step, turn, 0, nullptr);
    Piece near[2 * kEach + 1] = {};
    const int last_rest = kEach > 0 ? pass_[kEach - 1].rest : 0;
    for (int k = 0; k < kEach && step < steady; ++k) {
      near[2 * k] = load(top + step * kBytes - pass_[k].below_in - kBytes);
      near[2 * k + 1] = load(top + step * kBytes - pass_[k].below_in);
    }
    for (; step < steady; ++step) one<kErodes, kEach, kPast, true>(in, out, top, step, turn, last_rest, near);
    for (; step < chunks + behind; ++step) one<kErodes, kEach, kPast, false>(in, out, top, step, turn, 0, nullptr);
#if defined(__AVX2__)
    if (kPast) _mm_sfence();  // what was streamed becomes visible in its own time
#endif
  }

  // kSteady: all of them are at work, on whole chunks that are not the last.
  template <bool kErodes, int kEach, bool kPast, bool kSteady>
  __attribute__((always_inline)) void one(const uint8_t* in, uint8_t* out, uint8_t* top, int64_t step, int64_t& turn, int last_rest,
                                          Piece* near) const {
    uint8_t* const at = top + step * kBytes;
    if (kSteady || step < pixels_ / kPixels)
      read(in + step * kPixels, at);
    else if (step < chunks_)
      read_some(in + step * kPixels, pixels_ - step * kPixels, at);
    if (!kSteady && step == chunks_ - 1) finish(0, top);
    const auto at_work = [&](const Pass& pass) { return kSteady || uint64_t(step - pass.lag) < uint64_t(chunks_); };
    const auto finished = [&](int k) {
      if (!kSteady && step - pass_[k].lag == chunks_ - 1) finish(k + 1, top - pass_[k].to);
    };
    if constexpr (kEach > 0) {
#pragma GCC unroll 8
      for (int k = 0; k < 2 * kEach; ++k) {
        if (!at_work(pass_[k])) continue;
        if (k >= kEach)
          along_y<kErodes>(pass_[k], at);
        else if (kSteady && kPiece == kBytes)
          along_x_on<kErodes>(k, pass_[k].ends + turn * 2 * kWords, k + 1 < kEach ? k + 1 : last_rest, at, near[2 * k], near[2 * k + 1]);
        else
          along_x<kErodes>(pass_[k], at, turn);
        finished(k);
      }
    } else {
      for (int k = 0; k < count_; ++k) {
        const Pass& pass = pass_[k];
        if (!at_work(pass)) continue;
        if (pass.along_x)
          pass.erodes ? along_x<true>(pass, at, turn) : along_x<false>(pass, at, turn);
        else
          pass.erodes ? along_y<true>(pass, at) : along_y<false>(pass, at);
        finished(k);
      }
    }
    const int64_t chunk = step - (count_ ? pass_[count_ - 1].lag : 0) - kApart;
    const uint8_t* const result = top - down_ + chunk * kBytes;
    if (kSteady || (chunk >= 0 && chunk < pixels_ / kPixels))
      write<kPast>(result, out + chunk * kPixels);
    else if (chunk >= 0)
      write_some(result, pixels_ - chunk * kPixels, out + chunk * kPixels);
    turn = turn + 1 == period_ ? 0 : turn + 1;
  }

  template <bool kErodes>
  static void along_y(const Pass& pass, uint8_t* at) {
    const uint8_t* const from = at - pass.below_in;
    uint8_t* const to = at - pass.below_out;
    const int64_t shift = pass.shift;
    for (int i = 0; i < kBytes; i += kPiece) {
      const Piece here = load(from + i), before = load(from + i - shift), after = load(from + i + shift);
      store(to + i, kErodes ? here & before & after : here | before | after);
    }
  }

  template <bool kErodes>
  static void along_x(const Pass& pass, uint8_t* at, int64_t turn) {
    const uint8_t* const from = at - pass.below_in;
    uint8_t* const to = at - pass.below_out;
    const uint64_t *const lefts = pass.ends + turn * 2 * kWords, *const rights = lefts + kWords;
    const int64_t shift = pass.shift;
    const int rest = pass.rest, back = 64 - rest;
    for (int i = 0; i < kBytes; i += kPiece) {
      const Piece here = load(from + i);
      Piece before, after;
      if (shift == 0) {
        const Piece lower = load(from + i - 8), higher = load(from + i + 8);
        before = here << rest | lower >> back;
        after = here >> rest | higher << back;
      } else {
        before = load(from + i - shift) << rest | load(from + i - shift - 8) >> 1 >> (back - 1);
        after = load(from + i + shift) >> rest | load(from + i + shift + 8) << 1 << (back - 1);
      }
      const Piece left = load(lefts + i / 8), right = load(rights + i / 8);
      store(to + i, kErodes ? here & (before | left) & (after | right) : here | (before & ~left) | (after & ~right));
    }
  }

  // The same by a shift below a word, for a chunk that is in registers, with the one before: one load in place of three.
  template <bool kErodes>
  static void along_x_on(int k, const uint64_t* ends, int rest, uint8_t* at, Piece& last, Piece& here) {
#if defined(__AVX512F__)
    const int back = 64 - rest, below_in = kBytes * ((k + 1) * (kSettled + 1) + 2 * k);  // as `add` has it
    const Piece next = load(at - below_in + kBytes), left = load(ends), right = load(ends + kWords);
    const Piece lower = Piece(_mm512_maskz_alignr_epi64(0xFF, __m512i(here), __m512i(last), 7));
    const Piece higher = Piece(_mm512_maskz_alignr_epi64(0xFF, __m512i(next), __m512i(here), 1));
    const Piece before = here << rest | lower >> back, after = here >> rest | higher << back;
    store(at - below_in - 2 * kBytes, kErodes ? here & (before | left) & (after | right) : here | (before & ~left) | (after & ~right));
    last = here;
    here = next;
#else
    (void)k, (void)ends, (void)rest, (void)at, (void)last, (void)here;
#endif
  }

  template <bool kPast>
  static void write(const uint8_t* from, uint8_t* to) {
    for (int i = 0; i < kWords; ++i) {
      uint64_t word;
      memcpy(&word, from + 8 * i, 8);
      put64<kPast>(word, uint8_t(1), to + 64 * i);
    }
  }

  static void write_some(const uint8_t* from, int64_t left, uint8_t* to) {
    for (int i = 0; i < kWords && 64 * i < left; ++i) {
      uint64_t word;
      memcpy(&word, from + 8 * i, 8);
      put_some(word, left - 64 * i < 64 ? int(left - 64 * i) : 64, size_t(left - 64 * i), uint8_t(1), to + 64 * i);
    }
  }

  int64_t width_, height_, radius_, pixels_, chunks_, down_ = 0, beyond_ = 0;
  int64_t period_ = 1;  // chunks after which the ends of lines repeat
  int count_ = 0;
  bool failed_ = false;
  uint64_t* ends_ = nullptr;
  Pass pass_[kMost];
};

}  // namespace
}  // namespace QG_NAMESPACE
