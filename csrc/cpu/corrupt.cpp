// Draws and runs programs on masks: each mask is packed to bits once, works there, is counted and unpacked once, straight to where it is
// wanted.
#include "../core/labels.h"
#include "../core/overlap.h"
#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

void unpack(const Plane& from, const Plane& spare, void* to, int kind, bool large) {
  switch (kind) {
    case qg::kFloat32:
      return unpack_mask(from, spare, large, uint32_t(0x3F800000), static_cast<uint32_t*>(to));
    case qg::kFloat16:
      return unpack_mask(from, spare, large, uint16_t(0x3C00), static_cast<uint16_t*>(to));
    case qg::kBfloat16:
      return unpack_mask(from, spare, large, uint16_t(0x3F80), static_cast<uint16_t*>(to));
    default:
      return unpack_mask(from, spare, large, uint8_t(1), static_cast<uint8_t*>(to));
  }
}

// Where the bytes are `label`.
void pack_label(const uint8_t* in, uint8_t label, const Plane& to) {
  const int width = to.extent.width;
  for (int line = 0; line < to.lines(); ++line)
    for (int c = 0, x = 0; x < width; ++c, x += 64) {
      const int count = min_of(64, width - x);
      const uint8_t* const from = in + size_t(line) * size_t(width) + size_t(x);
      uint8_t other[64] = {};
      for (int k = 0; k < count; ++k) other[k] = from[k] ^ label;
      to.column(c)[line] = ~pack64(other, count, 64) & (~0ull >> (64 - count));
    }
}

// `count` numbers by their bytes, from place `at` of a plane on.
void put_numbers(const qg::CorruptTask& task, void* to, size_t at, const uint8_t* bytes, int count) {
  if (task.out_kind == qg::kUint8) {
    memcpy(static_cast<uint8_t*>(to) + at, bytes, size_t(count));
  } else if (task.out_kind == qg::kFloat32) {
    QG_LANES for (int k = 0; k < count; ++k) static_cast<uint32_t*>(to)[at + size_t(k)] =
        static_cast<const uint32_t*>(task.numbers)[bytes[k]];
  } else {
    QG_LANES for (int k = 0; k < count; ++k) static_cast<uint16_t*>(to)[at + size_t(k)] =
        static_cast<const uint16_t*>(task.numbers)[bytes[k]];
  }
}

void unpack_labels(const LabelCanvas<uint64_t>& all, const qg::CorruptTask& task, void* to) {
  const int width = task.width;
  for (int line = 0; line < task.depth * task.height; ++line)
    for (int c = 0, x = 0; x < width; ++c, x += 64) {
      uint8_t labels[64] = {}, ones[64];
      for (int label = 1; label < all.classes; ++label) {
        const uint64_t word = all.of(label).mask.column(c)[line];
        if (word == 0) continue;
        unpack64(word, ones, 64);
        for (int k = 0; k < 64; ++k) labels[k] = uint8_t(labels[k] + ones[k] * label);
      }
      put_numbers(task, to, size_t(line) * size_t(width) + size_t(x), labels, min_of(64, width - x));
    }
}

// Writes and tells what became of one class.
void finish(const SerialTeam& team, const qg::CorruptTask& task, Canvas<uint64_t>& canvas, const Softness& softness, int64_t sample,
            int label) {
  const int64_t number = sample * (task.classes - 1) + label - 1;
  const size_t pixels = pixels_of(canvas.mask);
  const bool large = is_large(task.batch * task.out_step);
  void* const out = static_cast<uint8_t*>(task.out) + sample * task.out_step + (label - 1) * task.class_step;
  const Counts counts = overlap(team, canvas.mask, canvas.truth);
  float dice = dice_of(counts);
  if (softness.radius > 0) {
    const SoftCounts soft = soften(team, canvas, softness, [&](int c, int line, const uint8_t* levels) {
      put_numbers(task, out, size_t(line) * size_t(task.width) + size_t(64 * c), levels, min_of(64, task.width - 64 * c));
    });
    dice = soft_dice_of(soft, counts.b);
  } else if (task.classes == 2 || task.class_step) {
    unpack(canvas.mask, canvas.spare[0], out, task.out_kind, large);
  }
  tell(counts, dice, task, number);
  if (task.errors) {
    changed(team, canvas);
    uint8_t* const errors = task.errors + size_t(number) * pixels;
    unpack_mask(canvas.spare[0], canvas.spare[1], large, uint8_t(1), errors);
  }
}

void corrupt_one(const qg::CorruptTask& task, int64_t sample, const LabelCanvas<uint64_t>& all) {
  const SerialTeam team;
  const Recipe recipe{task.recipe};
  const uint64_t id = uint64_t(task.sample_ids[sample]);
  const int64_t image = task.image_ids ? task.image_ids[sample] : 0;
  const Program program =
      task.given_rows ? given_program(task.given_rows + kPositions * sample, task.seed, id) : draw_program(recipe, task.seed, id);
  const Softness softness = draw_softness(recipe, task.seed, id);
  for (int k = 0; k < kPositions; ++k) task.rows[kPositions * sample + k] = program.row[k];

  Canvas<uint64_t> canvas = all.of(1);
  const size_t pixels = pixels_of(canvas.mask), bytes = size_t(canvas.mask.words()) * sizeof(uint64_t);
  const uint8_t* const in = task.in + size_t(sample) * pixels;
  if (task.classes == 2) {
    pack_mask(in, sample + 1 < task.batch ? in + pixels : in, canvas.truth);
    memcpy(canvas.mask.word, canvas.truth.word, bytes);
    run(team, canvas, recipe, program, task.bank, image, task.seed, id);
    return finish(team, task, canvas, softness, sample, 1);
  }
  for (int label = 1; label < task.classes; ++label) {
    const Canvas<uint64_t> of_class = all.of(label);
    pack_label(in, uint8_t(label), of_class.truth);
    memcpy(of_class.mask.word, of_class.truth.word, bytes);
  }
  run_labels(team, all, {recipe, program, task.bank, image, task.seed, id});
  for (int label = 1; label < task.classes; ++label) {
    Canvas<uint64_t> of_class = all.of(label);
    finish(team, task, of_class, softness, sample, label);
  }
  if (task.class_step == 0) unpack_labels(all, task, static_cast<uint8_t*>(task.out) + sample * task.out_step);
}

}  // namespace

int corrupt(const qg::CorruptTask& task) {
  const Extent extent{task.depth, task.height, task.width};
  const Spacing spacing{task.spacing_z, task.spacing_y};
  const size_t planes = canvas_bytes<uint64_t>(extent, task.classes),
               arena = recipe_arena({task.recipe}, extent, spacing) * sizeof(int32_t);
  return for_masks(task.batch, task.threads, planes + arena, [&](int64_t sample, void* memory) {
    int32_t* const behind = reinterpret_cast<int32_t*>(static_cast<char*>(memory) + planes);
    corrupt_one(task, sample, {planes_in(static_cast<uint64_t*>(memory)), extent, task.axes, task.classes, spacing, behind});
  });
}

}  // namespace QG_NAMESPACE
