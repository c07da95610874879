// How a kernel is launched, worked out on the host from the sizes alone: who works where, and with how many threads. Needs no CUDA, so that
// the module that is built by nvcc and kernels compiled at run time have it from one place.
#pragma once
#include "../core/elastic3.h"
#include "../core/labels.h"
#include "../task.h"
#include "work.h"

namespace qg {

// Processors of a GPU, and bytes of shared memory: the most for one block, and of a processor.
struct Machine {
  int64_t processors, per_block, per_processor;
};

struct Plan {
  const char* kernel;
  int64_t blocks, threads, shared, scratch_words;  // shared: bytes a block
  Work work;                                       // all but the pointer
};

constexpr int64_t kReserved = 1024, kStatic = 512;  // bytes of shared memory that the driver takes of each block, and variables

// What a kernel wants for one mask: planes, those of them that are in use most, words of an arena, and how many threads a processor has
// registers for.
struct Wanted {
  size_t plane_words;
  int planes, hot;
  size_t arena;
  int threads;
};

// The hot planes lie in shared memory, or as many as fit. The arena joins them where eight blocks still fit on a processor, or where there
// is nothing else that would lie in global memory.
inline Plan make_plan(const char* kernel, int64_t batch, const Wanted& wanted, const Machine& machine) {
  Plan plan{kernel, batch, 64, 0, 0, {}};
  const int64_t plane = int64_t(wanted.plane_words * sizeof(uint32_t)), arena = int64_t((wanted.arena + wanted.arena % 2) * 4);
  const int64_t most = machine.per_block - kStatic, eighth = machine.per_processor / 8 - kReserved - kStatic;
  const int64_t fitting = plane > 0 ? most / plane : 0;
  const int near = int(fitting < wanted.hot ? fitting : wanted.hot);
  const int64_t padded = near * plane + near * plane % 8;
  const bool all_near = near == wanted.planes && padded + arena <= most;
  plan.work.planes = wanted.planes;
  plan.work.near_count = near;
  plan.work.near_arena = arena > 0 && near == wanted.hot && (padded + arena <= eighth || all_near);
  plan.shared = plan.work.near_arena ? padded + arena : padded;
  const int64_t far = int64_t(wanted.planes - near) * int64_t(wanted.plane_words);
  int64_t words = far + far % 2 + (plan.work.near_arena ? 0 : arena / 4);
  plan.work.words = (words + 3) / 4 * 4;

  int64_t fit = machine.per_processor / (plan.shared + kReserved + kStatic);
  const int64_t fewest = near == 0 ? 2 : 8;  // without shared memory, two large blocks a processor
  fit = fit < 1 ? 1 : fit;
  const int64_t share = wanted.threads / (fit < fewest ? fit : fewest) / 32 * 32;
  plan.threads = share < 64 ? 64 : share > kMostThreads ? kMostThreads : share;
  if (plan.work.words == 0) return plan;
  const int64_t by_threads = wanted.threads / plan.threads, resident = (fit < by_threads ? fit : by_threads) * machine.processors;
  plan.blocks = batch < resident ? batch : resident;
  plan.scratch_words = kCounterWords + plan.blocks * plan.work.words;
  return plan;
}

constexpr int kLightThreads = 1024;  // of kernels with 64 registers a thread

inline Plan plan_of(const MorphTask& task, const Machine& machine) {
  const size_t words = QG_NAMESPACE::plane_words({task.depth, task.height, task.width});
  return make_plan("qg_morph", task.batch, {words, 2, 2, 0, kLightThreads}, machine);
}

inline Plan plan_of(const AffineTask& task, const Machine& machine) {
  const QG_NAMESPACE::Extent extent{task.depth, task.height, task.width};
  const size_t pictures = (task.truncate ? task.axes == 3 && task.depth > 1 ? 8 : 4 : 1) * QG_NAMESPACE::picture_words(extent);
  const size_t counts = task.axes == 3 ? QG_NAMESPACE::AxisCounts::words(extent) : size_t(QG_NAMESPACE::padded_width(extent)) + task.height;
  const int planes = task.truncate || task.axes == 3 ? 2 + QG_NAMESPACE::kSpares : 3;
  return make_plan("qg_affine", task.batch, {QG_NAMESPACE::plane_words(extent), planes, 3, counts + pictures, kMostThreads}, machine);
}

inline Plan plan_of(const ElasticTask& task, const Machine& machine) {
  const QG_NAMESPACE::Extent extent{task.depth, task.height, task.width};
  const int32_t params[] = {task.amplitude, task.smoothness};
  const size_t arena = task.axes == 3 ? QG_NAMESPACE::elastic_volume_arena(extent, {task.spacing_z, task.spacing_y}, params)
                                      : QG_NAMESPACE::elastic_image_arena(extent, task.smoothness);
  return make_plan("qg_elastic", task.batch, {QG_NAMESPACE::plane_words(extent), 4, 3, arena, kMostThreads}, machine);
}

// `recipe` is the task's, in the host's memory.
inline Plan plan_of(const CorruptTask& task, const int32_t* recipe, const Machine& machine) {
  const QG_NAMESPACE::Extent extent{task.depth, task.height, task.width};
  const size_t arena = QG_NAMESPACE::recipe_arena({recipe}, extent, {task.spacing_z, task.spacing_y});
  const int planes = QG_NAMESPACE::planes_of(task.classes);
  return make_plan("qg_corrupt", task.batch, {QG_NAMESPACE::plane_words(extent), planes, 3, arena, kMostThreads}, machine);
}

inline Plan plan_of(const OverlapTask& task, const Machine&) { return {"qg_overlap", task.batch * (task.classes - 1), 256, 0, 0, {}}; }

}  // namespace qg
