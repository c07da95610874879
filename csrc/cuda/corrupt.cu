// Draws and runs programs on masks, one block a mask: pack to bits, work there, count, unpack.
#include "masks.h"
// masks.h first: it says what __device__ is
#include "../core/labels.h"
#include "../core/overlap.h"
#include "blur.h"
#include "lookup.h"

namespace QG_NAMESPACE {
namespace {

// What a block works on. It lies in shared memory, so that no thread keeps it in registers across the calls of rows.
struct Sample {
  LabelCanvas<Word> all;
  Program program;
  Softness softness;
  uint64_t id;
  int64_t image;
  unsigned number;
};

QG_PHASE void unpack_as(const BlockTeam& team, const Bits<Word>& from, void* to, int kind) {
  if (kind == qg::kFloat32)
    unpack(team, from, static_cast<uint32_t*>(to), uint32_t(0x3F800000));
  else if (kind == qg::kUint8)
    unpack(team, from, static_cast<uint8_t*>(to));
  else
    unpack(team, from, static_cast<uint16_t*>(to), uint16_t(kind == qg::kFloat16 ? 0x3C00 : 0x3F80));
}

QG_PHASE void read_sample(const BlockTeam& team, const qg::CorruptTask& task, const qg::Work& work, Word* shared, Sample& s,
                          unsigned number) {
  team.one([&] {
    const Extent extent{task.depth, task.height, task.width};
    const Room room = room_of(work, shared, plane_words(extent));
    s.all = {room.planes, extent, task.axes, task.classes, {task.spacing_z, task.spacing_y}, room.arena};
    s.id = uint64_t(task.sample_ids[number]);
    s.image = task.image_ids ? task.image_ids[number] : 0;
    s.number = number;
    s.program = task.given_rows ? given_program(task.given_rows + size_t(kPositions) * number, task.seed, s.id)
                                : draw_program({task.recipe}, task.seed, s.id);
    s.softness = draw_softness({task.recipe}, task.seed, s.id);
    for (int k = 0; k < kPositions; ++k) task.rows[size_t(kPositions) * number + k] = s.program.row[k];
  });
  const size_t pixels = size_t(task.depth) * task.height * task.width;
  for (int label = 1; label < task.classes; ++label) {
    const Canvas<Word> canvas = s.all.of(label);
    pack(team, task.in + number * pixels, task.classes == 2 ? 0 : unsigned(label), canvas.mask);
    copy_plane(team, canvas.mask, canvas.truth);
  }
}

// Two classes go the way of several, so that the rows are compiled once.
__device__ __forceinline__ void run_sample(const BlockTeam& team, const qg::CorruptTask& task, const Sample& s) {
  const Recipe recipe{task.recipe};
  run_labels(team, s.all, {recipe, s.program, task.bank, s.image, task.seed, s.id});
}

__device__ inline void* out_of(const qg::CorruptTask& task, const Sample& s, int label) {
  return static_cast<char*>(task.out) + s.number * task.out_step + (label - 1) * task.class_step;
}

// `pixels` of the truth: the quality told is then that of the probabilities.
QG_PHASE void write_soft(const BlockTeam& team, const qg::CorruptTask& task, const Sample& s, int label, int64_t number, int pixels) {
  void* const out = out_of(task, s, label);
  const SoftCounts counts = soften_pixels(team, s.all.of(label), s.softness, [&](int c, int line, int x, unsigned level) {
    put_number(task, out, size_t(line) * task.width + 32 * c + x, level);
  });
  team.one([&] { task.quality[number] = soft_dice_of(counts, pixels); });
}

QG_PHASE void write_changes(const BlockTeam& team, const qg::CorruptTask& task, const Sample& s, int label, int64_t number) {
  const Canvas<Word> canvas = s.all.of(label);
  changed(team, canvas);
  unpack(team, canvas.spare[0], task.errors + size_t(number) * size_t(canvas.mask.lines()) * task.width);
}

QG_PHASE Counts count(const BlockTeam& team, const Sample& s, int label) {
  return overlap(team, s.all.of(label).mask, s.all.of(label).truth);
}

// Tells and writes what became of one class.
__device__ __forceinline__ void finish(const BlockTeam& team, const qg::CorruptTask& task, const Sample& s, int label) {
  const int64_t number = int64_t(s.number) * (task.classes - 1) + label - 1;
  const Counts counts = count(team, s, label);
  team.one([&] { tell(counts, dice_of(counts), task, number); });
  if (s.softness.radius > 0)
    write_soft(team, task, s, label, number, counts.b);
  else if (task.classes == 2 || task.class_step)
    unpack_as(team, s.all.of(label).mask, out_of(task, s, label), task.out_kind);
  if (task.errors) write_changes(team, task, s, label, number);
}

// All classes in one plane.
QG_PHASE void write_labels(const BlockTeam& team, const qg::CorruptTask& task, const Sample& s) {
  void* const out = out_of(task, s, 1);
  team.for_each(task.depth * task.height, task.width, [&](int line, int x) {
    unsigned found = 0;
    for (int label = 1; label < task.classes; ++label)
      found += unsigned(label) & (0u - (s.all.of(label).mask.column(x / 32)[line] >> (x % 32) & 1));
    put_number(task, out, size_t(line) * task.width + x, found);
  });
}

}  // namespace
}  // namespace QG_NAMESPACE

using namespace QG_NAMESPACE;

QG_KERNEL __launch_bounds__(qg::kMostThreads, 1) qg_corrupt(QG_PARAMETER qg::CorruptTask task, QG_PARAMETER qg::Work work) {
  QG_DYNAMIC_SHARED(Word, shared);
  __shared__ Sample s;
  const BlockTeam team;
  for_samples(team, work, task.batch, [&](unsigned number) {
    read_sample(team, task, work, shared, s, number);
    run_sample(team, task, s);
    for (int label = 1; label < task.classes; ++label) finish(team, task, s, label);
    if (task.classes > 2 && task.class_step == 0) write_labels(team, task, s);
  });
}
