// Runs programs on masks: each mask is packed to bits once, works there, is counted and unpacked once. OpenMP spreads masks over threads.
#include <omp.h>

#include "../core/overlap.h"
#include "../core/program.h"
#include "api.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

void corrupt_one(const qg::CorruptTask& task, int64_t sample, uint64_t* memory) {
  const SerialTeam team;
  const Extent extent{task.depth, task.height, task.width};
  Bits<uint64_t> plane{memory, extent, column_stride<uint64_t>(extent)};
  Canvas<uint64_t> canvas{plane, plane, plane};
  canvas.spare.word = memory + plane.words();
  if (task.counts) canvas.truth.word = memory + 2 * size_t(plane.words());

  const int lines = plane.lines();
  const size_t pixels = size_t(lines) * task.width;
  const uint8_t* const in = task.in + size_t(sample) * pixels;
  const uint8_t* const next = sample + 1 < task.batch ? in + pixels : in;
  for (int line = 0; line < lines; ++line) {
    pack_line(in, canvas.mask, line);
    // The next mask comes into L2 while this one is worked on: a large batch then waits for memory half as long.
    for (int x = 0; x < task.width; x += 64) __builtin_prefetch(next + size_t(line) * task.width + x, 0, 2);
  }
  if (task.counts) memcpy(canvas.truth.word, canvas.mask.word, size_t(plane.words()) * sizeof(uint64_t));

  const Program* const programs = reinterpret_cast<const Program*>(task.programs);
  run(team, programs[task.shared_program ? 0 : sample], canvas);

  uint8_t* const out = task.out + size_t(sample) * pixels;
  for (int line = 0; line < lines; ++line) unpack_line(canvas.mask, line, out);
  if (task.counts) {
    const Counts counts = overlap(team, canvas.mask, canvas.truth);
    int32_t* const to = task.counts + 3 * sample;
    to[0] = counts.both;
    to[1] = counts.a;
    to[2] = counts.b;
  }
}

}  // namespace

int corrupt(const qg::CorruptTask& task) {
  const Extent extent{task.depth, task.height, task.width};
  const Bits<uint64_t> plane{nullptr, extent, column_stride<uint64_t>(extent)};
  const size_t bytes = size_t(plane.words()) * sizeof(uint64_t) * (task.counts ? 3 : 2);
  const int threads = task.batch < task.threads ? int(task.batch) : task.threads;
  if (threads <= 1) {
    uint64_t* const memory = static_cast<uint64_t*>(qg::scratch(bytes));
    if (!memory) return 1;
    for (int64_t sample = 0; sample < task.batch; ++sample) corrupt_one(task, sample, memory);
    return 0;
  }
  const int64_t chunk = task.batch / (8 * threads) + 1;
  int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
  {
    uint64_t* const memory = static_cast<uint64_t*>(qg::scratch(bytes));
    failed = memory ? 0 : 1;
#pragma omp for schedule(dynamic, chunk)
    for (int64_t sample = 0; sample < task.batch; ++sample)
      if (memory) corrupt_one(task, sample, memory);
  }
  return failed;
}

}  // namespace QG_NAMESPACE
