// Draws and runs programs on masks, one block a mask: pack to bits in shared memory, work there, count, unpack.
#include "masks.h"
// masks.h first: it says what __device__ is
#include "../core/labels.h"
#include "../core/overlap.h"
#include "api.h"

namespace QG_NAMESPACE {
namespace {

constexpr int kCorruptThreads = 128;

__device__ void unpack_as(const BlockTeam& team, const Bits<Word>& from, void* to, int kind) {
  if (kind == qg::kFloat32)
    unpack_numbers(team, from, static_cast<uint32_t*>(to), uint32_t(0x3F800000));
  else if (kind == qg::kUint8)
    unpack(team, from, static_cast<uint8_t*>(to));
  else
    unpack_numbers(team, from, static_cast<uint16_t*>(to), uint16_t(kind == qg::kFloat16 ? 0x3C00 : 0x3F80));
}

// Where the bytes are `label`.
__device__ void pack_label(const BlockTeam& team, const uint8_t* from, unsigned label, const Bits<Word>& to) {
  const int width = to.extent.width;
  team.for_each(to.lines(), to.columns(), [&](int line, int c) {
    Word word = 0;
    for (int x = 32 * c; x < min_of(32 * c + 32, width); ++x) word |= Word(from[size_t(line) * width + x] == label) << (x % 32);
    to.column(c)[line] = word;
  });
}

__device__ void unpack_labels(const BlockTeam& team, const LabelCanvas<Word>& all, const qg::CorruptTask& task, void* to) {
  team.for_each(task.depth * task.height, task.width, [&](int line, int x) {
    unsigned found = 0;
    for (int label = 1; label < all.classes; ++label)
      found += unsigned(label) & (0u - (all.of(label).mask.column(x / 32)[line] >> (x % 32) & 1));
    put_number(task, to, size_t(line) * task.width + x, found);
  });
}

// Writes and tells what became of one class.
__device__ void finish(const BlockTeam& team, const qg::CorruptTask& task, Canvas<Word>& canvas, const Softness& softness, int64_t sample,
                       int label) {
  const int64_t number = sample * (task.classes - 1) + label - 1;
  const size_t pixels = size_t(canvas.mask.lines()) * task.width;
  void* const out = static_cast<char*>(task.out) + sample * task.out_step + (label - 1) * task.class_step;
  const Counts counts = overlap(team, canvas.mask, canvas.truth);
  float dice = dice_of(counts);
  if (softness.radius > 0) {
    const SoftCounts soft = soften(team, canvas, softness, [&](int c, int line, const uint8_t* levels) {
      for (int x = 32 * c; x < min_of(32 * c + 32, task.width); ++x) put_number(task, out, size_t(line) * task.width + x, levels[x % 32]);
    });
    dice = soft_dice_of(soft, counts.b);
  } else if (task.classes == 2 || task.class_step) {
    unpack_as(team, canvas.mask, out, task.out_kind);
  }
  team.one([&] { tell(counts, dice, task, number); });
  if (task.errors) {
    changed(team, canvas);
    unpack(team, canvas.spare[0], task.errors + size_t(number) * pixels);
  }
}

__global__ void __launch_bounds__(kCorruptThreads) corrupt_kernel(qg::CorruptTask task, int64_t block_bytes, uint32_t* scratch) {
  QG_DYNAMIC_SHARED(Word, shared);
  const BlockTeam team;
  const Extent extent{task.depth, task.height, task.width};
  const size_t words = plane_words(extent) * planes_of(task.classes), pixels = size_t(extent.depth) * extent.height * extent.width;
  Word* const memory = scratch ? scratch + size_t(blockIdx.x) * (size_t(block_bytes) / sizeof(Word)) : shared;
  int32_t* const arena = reinterpret_cast<int32_t*>(memory + words + words % 2);
  const LabelCanvas<Word> all{memory, extent, task.axes, task.classes, {task.spacing_z, task.spacing_y}, arena};
  const Recipe recipe{task.recipe};
  for (unsigned sample = blockIdx.x; sample < unsigned(task.batch); sample += gridDim.x) {
    const uint64_t id = uint64_t(task.sample_ids[sample]);
    const int64_t image = task.image_ids ? task.image_ids[sample] : 0;
    const Program program =
        task.given_rows ? given_program(task.given_rows + size_t(kPositions) * sample, task.seed, id) : draw_program(recipe, task.seed, id);
    const Softness softness = draw_softness(recipe, task.seed, id);
    const uint8_t* const in = task.in + sample * pixels;
    for (int label = 1; label < task.classes; ++label) {
      const Canvas<Word> canvas = all.of(label);
      if (task.classes == 2)
        pack(team, in, canvas.truth);
      else
        pack_label(team, in, unsigned(label), canvas.truth);
      copy_plane(team, canvas.truth, canvas.mask);
    }
    // Two classes go the way of several, so that the rows are compiled once.
    run_labels(team, all, recipe, program, task.bank, image, task.seed, id);
    for (int label = 1; label < task.classes; ++label) {
      Canvas<Word> canvas = all.of(label);
      finish(team, task, canvas, softness, sample, label);
    }
    if (task.classes > 2 && task.class_step == 0)
      unpack_labels(team, all, task, static_cast<char*>(task.out) + int64_t(sample) * task.out_step);
    team.one([&] {
      for (int k = 0; k < kPositions; ++k) task.rows[size_t(kPositions) * sample + k] = program.row[k];
    });
  }
}

}  // namespace
}  // namespace QG_NAMESPACE

namespace qg {

int64_t corrupt_bytes(const CorruptTask& task) {
  using namespace QG_NAMESPACE;
  const Extent extent{task.depth, task.height, task.width};
  const size_t words = plane_words(extent) * planes_of(task.classes),
               arena = recipe_arena({task.recipe}, extent, {task.spacing_z, task.spacing_y});
  return int64_t((words + words % 2 + arena + arena % 2) * sizeof(Word));
}

int corrupt_scratch(int64_t batch, int64_t block_bytes, int64_t* words) {
  return QG_NAMESPACE::scratch_words(batch, size_t(block_bytes), words);
}

int corrupt(const CorruptTask& task, int64_t block_bytes, const Scratch& scratch, void* stream) {
  using namespace QG_NAMESPACE;
  if (task.batch == 0) return 0;
  Plan plan;
  int error = make_plan(task.batch, size_t(block_bytes), scratch.words, &plan);
  if (error != 0) return error;
  const size_t shared = plan.shared(size_t(block_bytes));
  error = ask_shared(corrupt_kernel, shared);
  if (error != 0) return error;
  QG_LAUNCH(corrupt_kernel, unsigned(plan.blocks), kCorruptThreads, shared, stream, task, block_bytes,
            plan.in_shared ? nullptr : scratch.memory);
  return int(cudaGetLastError());
}

}  // namespace qg
