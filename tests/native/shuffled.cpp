// The core run by a team that visits indices in shuffled order, for words of 32 and 64 bits: what depends on the order within a for_each
// is a race on a GPU. Built by tests as a library for ctypes.
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "../../csrc/core/labels.h"
#include "../../csrc/core/overlap.h"

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
  auto sum(int outer, int inner, F f) const -> decltype(f(0, 0)) {
    decltype(f(0, 0)) total = 0;
    for_each(outer, inner, [&](int o, int i) { total += f(o, i); });
    return total;
  }
  template <class F>
  void one(F f) const {
    f();
  }
  template <class F>
  int told(F f) const {
    return f();
  }
  template <class F>
  void few(F f) const {
    f(*this);
  }
  template <class F>
  Most most(int begin, int end, F f) const {
    Most found{-1, begin};
    for_each(std::max(end - begin, 0), [&](int k) {
      const Most here{f(begin + k), begin + k};
      if (here.value > found.value || (here.value == found.value && here.at < found.at)) found = here;
    });
    return found;
  }
  template <int kTotals, class F>
  void totals(int n, int64_t (&total)[kTotals], F f) const {
    for_each(n, [&](int i) { f(i, total); });
  }
};

// label 0: where bytes are not 0, else where they are the label.
template <class Word>
void read(const uint8_t* from, unsigned label, const Bits<Word>& to) {
  constexpr int kBits = bits_of<Word>();
  const int width = to.extent.width;
  for (int line = 0; line < to.lines(); ++line)
    for (int c = 0; c < to.columns(); ++c) {
      Word word = 0;
      for (int x = c * kBits; x < std::min(width, (c + 1) * kBits); ++x) {
        const unsigned byte = from[line * width + x];
        word |= Word(label == 0 ? byte != 0 : byte == label) << (x % kBits);
      }
      to.column(c)[line] = word;
    }
}

template <class Word>
bool write(const Bits<Word>& from, uint8_t* to) {
  constexpr int kBits = bits_of<Word>();
  const int width = from.extent.width;
  bool clean = true;  // no bits beyond the width
  for (int line = 0; line < from.lines(); ++line) {
    for (int x = 0; x < width; ++x) to[line * width + x] = from.column(x / kBits)[line] >> (x % kBits) & 1;
    clean &= (from.column(from.columns() - 1)[line] & ~from.last_column()) == 0;
  }
  return clean;
}

// Writes and tells what became of one class; what `status` is, if anything is wrong.
template <class Word>
int finish(const ShuffledTeam& team, const qg::CorruptTask& task, Canvas<Word>& canvas, const Softness& softness, int64_t sample,
           int label) {
  constexpr int kBits = bits_of<Word>();
  const int pixels = task.depth * task.height * task.width;
  const int64_t number = sample * (task.classes - 1) + label - 1;
  char* const out = static_cast<char*>(task.out) + sample * task.out_step + (label - 1) * task.class_step;
  const Counts counts = overlap(team, canvas.mask, canvas.truth);
  float dice = dice_of(counts);
  std::vector<uint8_t> ones(pixels);
  if (!write(canvas.mask, ones.data())) return 1;
  if (softness.radius > 0) {
    const SoftCounts soft = soften(team, canvas, softness, [&](int c, int line, const uint8_t* levels) {
      for (int x = c * kBits; x < std::min(task.width, (c + 1) * kBits); ++x)
        put_number(task, out, size_t(line * task.width + x), levels[x % kBits]);
    });
    dice = soft_dice_of(soft, counts.b);
  } else {
    const unsigned one = Recipe{task.recipe}.p_soft() ? 255 : unsigned(label);  // labels are added up: each pixel has one
    for (int i = 0; i < pixels; ++i)
      if (ones[i] || label == 1 || task.class_step) put_number(task, out, size_t(i), ones[i] ? one : 0);
  }
  tell(counts, dice, task, number);
  changed(team, canvas);
  write(canvas.spare[0], task.errors + number * pixels);
  return 0;
}

// Memory behind the planes and the arena must stay as it is.
template <class Word>
int corrupt(const qg::CorruptTask& task, unsigned order) {
  constexpr Word kGarbage = Word(0xA5A5A5A5A5A5A5A5u);
  constexpr int32_t kUntouched = 0x5A5A5A5A;
  const ShuffledTeam team{std::mt19937(order)};
  const Recipe recipe{task.recipe};
  const Extent extent{task.depth, task.height, task.width};
  const size_t words = size_t(Bits<Word>{nullptr, extent, column_stride<Word>(extent)}.words()),
               arena = recipe_arena(recipe, extent, {task.spacing_z, task.spacing_y});
  const int pixels = task.depth * task.height * task.width;
  for (int64_t sample = 0; sample < task.batch; ++sample) {
    std::vector<Word> memory(planes_of(task.classes) * words + 8, kGarbage);
    std::vector<int64_t> scratch(arena / 2 + 8, int64_t(0x3C3C3C3C3C3C3C3C));
    int32_t* const begin = reinterpret_cast<int32_t*>(scratch.data());
    for (int k = 0; k < 8; ++k) begin[arena + k] = kUntouched;
    const LabelCanvas<Word> all{planes_in(memory.data()), extent, task.axes, task.classes, {task.spacing_z, task.spacing_y}, begin};
    for (int label = 1; label < task.classes; ++label) {
      read(task.in + sample * pixels, task.classes == 2 ? 0 : unsigned(label), all.of(label).truth);
      read(task.in + sample * pixels, task.classes == 2 ? 0 : unsigned(label), all.of(label).mask);
    }
    const auto truths = memory.begin() + (kSpares + task.classes - 1) * words;  // the last planes
    const std::vector<Word> before(truths, truths + (task.classes - 1) * words);
    const uint64_t id = uint64_t(task.sample_ids[sample]);
    const int64_t image = task.image_ids ? task.image_ids[sample] : 0;
    const Program program =
        task.given_rows ? given_program(task.given_rows + 3 * sample, task.seed, id) : draw_program(recipe, task.seed, id);
    const Softness softness = draw_softness(recipe, task.seed, id);
    for (int k = 0; k < 3; ++k) task.rows[3 * sample + k] = program.row[k];
    Canvas<Word> canvas = all.of(1);
    if (task.classes == 2)
      run(team, canvas, recipe, program, task.bank, image, task.seed, id);
    else
      run_labels(team, all, {recipe, program, task.bank, image, task.seed, id});
    for (int label = 1; label < task.classes; ++label) {
      if (label > 1) canvas = all.of(label);
      if (finish(team, task, canvas, softness, sample, label)) return 1;
    }
    if (!std::equal(before.begin(), before.end(), truths)) return 2;
    if (std::any_of(memory.end() - 8, memory.end(), [](Word w) { return w != kGarbage; })) return 3;
    if (std::any_of(begin + arena, begin + arena + 8, [](int32_t w) { return w != kUntouched; })) return 4;
  }
  return 0;
}

}  // namespace QG_NAMESPACE

extern "C" {

int task_bytes() { return int(sizeof(qg::CorruptTask)); }

int shuffled(int bits, const qg::CorruptTask* task, unsigned order) {
  return bits == 64 ? QG_NAMESPACE::corrupt<uint64_t>(*task, order) : QG_NAMESPACE::corrupt<uint32_t>(*task, order);
}
}
