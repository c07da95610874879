// Draws and runs programs on masks: each mask is packed to bits once, works there, is counted and unpacked once, straight to where it is
// wanted.
#include "../core/overlap.h"
#include "../core/program.h"
#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

// Bits to numbers of any kind: `one` is the kind's 1, and 0 is all zeros.
template <class Number>
void unpack_numbers(const Bits<uint64_t>& from, Number* to, Number one) {
  const int width = from.extent.width;
  for (int line = 0; line < from.lines(); ++line) {
    Number* const here = to + size_t(line) * size_t(width);
    for (int c = 0; c < from.columns(); ++c) {
      const uint64_t word = from.column(c)[line];
      const int count = min_of(64, width - 64 * c);
      for (int x = 0; x < count; ++x) here[64 * c + x] = Number((word >> x & 1) * one);
    }
  }
}

void unpack_mask(const Bits<uint64_t>& from, void* to, int kind) {
  switch (kind) {
    case qg::kFloat32:
      return unpack_numbers(from, static_cast<uint32_t*>(to), uint32_t(0x3F800000));
    case qg::kFloat16:
      return unpack_numbers(from, static_cast<uint16_t*>(to), uint16_t(0x3C00));
    case qg::kBfloat16:
      return unpack_numbers(from, static_cast<uint16_t*>(to), uint16_t(0x3F80));
    default:
      for (int line = 0; line < from.lines(); ++line) unpack_line(from, line, static_cast<uint8_t*>(to));
  }
}

void corrupt_one(const qg::CorruptTask& task, int64_t sample, Canvas<uint64_t> canvas) {
  const SerialTeam team;
  const size_t pixels = size_t(canvas.mask.lines()) * size_t(task.width);
  const uint8_t* const in = task.in + size_t(sample) * pixels;
  pack_mask(in, sample + 1 < task.batch ? in + pixels : in, canvas.truth);
  copy_plane(team, canvas.truth, canvas.mask);

  const Recipe recipe{task.recipe};
  const uint64_t id = uint64_t(task.sample_ids[sample]);
  const Program program =
      task.given_rows ? given_program(task.given_rows + kPositions * sample, task.seed, id) : draw_program(recipe, task.seed, id);
  for (int k = 0; k < kPositions; ++k) task.rows[kPositions * sample + k] = program.row[k];
  run(team, canvas, recipe, program, task.bank, task.image_ids ? task.image_ids[sample] : 0, task.seed, id);

  unpack_mask(canvas.mask, static_cast<uint8_t*>(task.out) + sample * task.out_step, task.out_kind);
  const Counts counts = overlap(team, canvas.mask, canvas.truth);
  int32_t* const to = task.counts + 3 * sample;
  to[0] = counts.both;
  to[1] = counts.a;
  to[2] = counts.b;
  if (task.errors) {
    changed(team, canvas);
    for (int line = 0; line < canvas.mask.lines(); ++line) unpack_line(canvas.spare[0], line, task.errors + size_t(sample) * pixels);
  }
}

}  // namespace

int corrupt(const qg::CorruptTask& task) {
  const Extent extent{task.depth, task.height, task.width};
  const Bits<uint64_t> plane{nullptr, extent, column_stride<uint64_t>(extent)};
  const size_t planes = size_t(plane.words()) * kPlanes * sizeof(uint64_t), arena = recipe_arena({task.recipe}, extent) * sizeof(int32_t);
  return for_masks(task.batch, task.threads, planes + arena, [&](int64_t sample, void* memory) {
    int32_t* const behind = reinterpret_cast<int32_t*>(static_cast<char*>(memory) + planes);
    corrupt_one(task, sample, canvas_on(static_cast<uint64_t*>(memory), extent, behind));
  });
}

}  // namespace QG_NAMESPACE
