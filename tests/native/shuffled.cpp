// The core run by a team that visits indices in shuffled order, for words of 32 and 64 bits: what depends on the order within a for_each
// is a race on a GPU. Built by tests as a library for ctypes.
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "../../csrc/core/overlap.h"
#include "../../csrc/core/program.h"

namespace QG_NAMESPACE {

struct ShuffledTeam {
  mutable std::mt19937 chance;

  template <class F>
  void for_each(int n, F f) const {
    std::vector<int> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), chance);
    for (int i : order) f(i);
  }
  template <class F>
  void for_each(int outer, int inner, F f) const {
    for_each(outer * inner, [&](int k) { f(k / inner, k % inner); });
  }
  template <class F>
  void for_each_within(int outer, int inner, int reach, F f) const {
    for_each(outer, inner, [&](int o, int i) { f(o, i, i >= reach, i + reach < inner); });
  }
  template <class F>
  int sum(int outer, int inner, F f) const {
    int total = 0;
    for_each(outer, inner, [&](int o, int i) { total += f(o, i); });
    return total;
  }
};

template <class Word>
void corrupt(const uint8_t* in, uint8_t* out, int32_t* counts, const Program& program, Extent extent, unsigned seed) {
  const ShuffledTeam team{std::mt19937(seed)};
  Bits<Word> plane{nullptr, extent, column_stride<Word>(extent)};
  std::vector<Word> memory(3 * size_t(plane.words()), Word(0xA5A5A5A5A5A5A5A5u));  // what nobody has written is garbage
  Canvas<Word> canvas{plane, plane, plane};
  canvas.truth.word = memory.data();
  canvas.mask.word = memory.data() + plane.words();
  canvas.spare.word = memory.data() + 2 * plane.words();
  constexpr int kBits = bits_of<Word>();
  for (int line = 0; line < plane.lines(); ++line)
    for (int c = 0; c < plane.columns(); ++c) {
      Word word = 0;
      for (int x = c * kBits; x < std::min(extent.width, (c + 1) * kBits); ++x)
        word |= Word(in[line * extent.width + x] != 0) << (x % kBits);
      canvas.mask.column(c)[line] = canvas.truth.column(c)[line] = word;
    }
  run(team, program, canvas);
  const Counts found = overlap(team, canvas.mask, canvas.truth);
  counts[0] = found.both;
  counts[1] = found.a;
  counts[2] = found.b;
  for (int line = 0; line < plane.lines(); ++line)
    for (int x = 0; x < extent.width; ++x) out[line * extent.width + x] = canvas.mask.column(x / kBits)[line] >> (x % kBits) & 1;
}

}  // namespace QG_NAMESPACE

extern "C" void shuffled(int bits, const uint8_t* in, uint8_t* out, int32_t* counts, const int32_t* program, int depth, int height,
                         int width, unsigned seed) {
  using namespace QG_NAMESPACE;
  const Program& steps = *reinterpret_cast<const Program*>(program);
  if (bits == 64)
    corrupt<uint64_t>(in, out, counts, steps, {depth, height, width}, seed);
  else
    corrupt<uint32_t>(in, out, counts, steps, {depth, height, width}, seed);
}
