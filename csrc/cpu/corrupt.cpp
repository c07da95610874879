// Draws and runs programs on masks: each mask is packed to bits once, works there, is counted and unpacked once, straight to where it is
// wanted.
#include "../core/overlap.h"
#include "../core/program.h"
#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

template <class Number>
void unpack_as(const Bits<uint64_t>& from, uint32_t one, Number* to) {
  const int width = from.extent.width;
  for (int line = 0; line < from.lines(); ++line)
    for (int c = 0, x = 0; x < width; ++c, x += 64)
      unpack64_as(from.column(c)[line], Number(one), to + size_t(line) * size_t(width) + x, min_of(64, width - x));
}

void unpack(const Bits<uint64_t>& from, void* to, int kind) {
  switch (kind) {
    case qg::kFloat32:
      return unpack_as(from, 0x3F800000, static_cast<uint32_t*>(to));
    case qg::kFloat16:
      return unpack_as(from, 0x3C00, static_cast<uint16_t*>(to));
    case qg::kBfloat16:
      return unpack_as(from, 0x3F80, static_cast<uint16_t*>(to));
    default:
      for (int line = 0; line < from.lines(); ++line) unpack_line(from, line, static_cast<uint8_t*>(to));
  }
}

void corrupt_one(const qg::CorruptTask& task, int64_t sample, Canvas<uint64_t> canvas) {
  const SerialTeam team;
  const size_t pixels = size_t(canvas.mask.lines()) * size_t(task.width);
  const uint8_t* const in = task.in + size_t(sample) * pixels;
  void* const out = static_cast<uint8_t*>(task.out) + sample * task.out_step;
  pack_mask(in, sample + 1 < task.batch ? in + pixels : in, canvas.truth);
  memcpy(canvas.mask.word, canvas.truth.word, size_t(canvas.mask.words()) * sizeof(uint64_t));

  const Recipe recipe{task.recipe};
  const uint64_t id = uint64_t(task.sample_ids[sample]);
  const Program program =
      task.given_rows ? given_program(task.given_rows + kPositions * sample, task.seed, id) : draw_program(recipe, task.seed, id);
  for (int k = 0; k < kPositions; ++k) task.rows[kPositions * sample + k] = program.row[k];
  run(team, canvas, recipe, program, task.bank, task.image_ids ? task.image_ids[sample] : 0, task.seed, id);

  unpack(canvas.mask, out, task.out_kind);
  tell(overlap(team, canvas.mask, canvas.truth), task, sample);
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
    corrupt_one(task, sample, canvas_on(static_cast<uint64_t*>(memory), extent, task.axes, behind, {task.spacing_z, task.spacing_y}));
  });
}

}  // namespace QG_NAMESPACE
