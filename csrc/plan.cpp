// The part of qgssl_fast._C that checks what a CUDA kernel is asked for and works out how it is launched. Pointers are to device memory but
// the recipe's first, and are not looked into.
#include "cuda/plan.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "validate.h"

namespace py = pybind11;

namespace {

using Numbers = std::array<int64_t, 3>;  // qg::Machine
// Kernel, blocks, threads, bytes of shared memory, words of scratch in all, whether blocks take several masks in turn, and the kernel's
// parameters: task and work.
using Launch = std::tuple<std::string, int64_t, int64_t, int64_t, int64_t, bool, py::bytes, py::bytes>;

template <class T>
py::bytes bytes_of(const T& value) {
  return py::bytes(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class Task, class... Recipe>
Launch launch_of(const Task& task, const Numbers& machine, const Recipe&... recipe) {
  qg::require(task.batch <= INT32_MAX, "a batch must have fewer than 2^31 masks");
  const qg::Plan plan = qg::plan_of(task, recipe..., {machine[0], machine[1], machine[2]});
  return {plan.kernel,    plan.blocks,        plan.threads, plan.shared, plan.scratch_words, plan.blocks < task.batch,
          bytes_of(task), bytes_of(plan.work)};
}

Launch morph(uintptr_t in, uintptr_t out, int op, int radius, qg::Size size, Numbers machine) {
  return launch_of(qg::morph_task(in, out, op, radius, size), machine);
}

Launch affine(uintptr_t in, uintptr_t out, uintptr_t matrices, bool truncate, qg::Size size, int axes, Numbers machine) {
  return launch_of(qg::affine_task(in, out, matrices, truncate, size, axes), machine);
}

Launch elastic(uintptr_t in, uintptr_t out, qg::Field field, uint64_t seed, uintptr_t sample_ids, qg::Size size, qg::Frame frame,
               Numbers machine) {
  return launch_of(qg::elastic_task(in, out, field, seed, sample_ids, size, frame), machine);
}

// `there` is a copy of the recipe in device memory.
Launch corrupt(qg::Masks masks, qg::Size size, qg::Frame frame, uintptr_t recipe, int64_t recipe_words, uintptr_t there, qg::Chance chance,
               qg::BankNumbers bank, Numbers machine) {
  const int32_t* const table = qg::at<const int32_t>(recipe);
  qg::check_recipe(table, recipe_words);
  qg::check_pointer(there, size[0], "recipe");
  qg::CorruptTask task = qg::corrupt_task(masks, size, frame, chance, bank, QG_NAMESPACE::Recipe{table}.p_soft() != 0);
  task.recipe = qg::at<const int32_t>(there);
  return launch_of(task, machine, table);
}

Launch overlap(uintptr_t a, uintptr_t b, uintptr_t counts, int classes, int64_t batch, int64_t pixels, Numbers machine) {
  qg::require(batch <= INT32_MAX / (classes > 1 ? classes - 1 : 1), "batch times classes must be below 2^31");
  return launch_of(qg::overlap_task(a, b, counts, classes, batch, pixels), machine);
}

}  // namespace

void bind_plans(py::module_& m) {
  m.def("plan_morph", morph);
  m.def("plan_affine", affine);
  m.def("plan_elastic", elastic);
  m.def("plan_corrupt", corrupt);
  m.def("plan_overlap", overlap);
}
