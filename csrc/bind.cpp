// qgssl_fast._C: the CPU kernels. Raw pointers and sizes, so one build serves every torch; the caller keeps the tensors alive, of
// the sizes told here and contiguous where no strides are told.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <new>
#include <vector>

#include "cpu/api.h"
#include "losses_tasks.h"
#include "validate.h"

QG_DECLARE_KERNELS(qg_baseline)
#ifdef QG_X86
QG_DECLARE_KERNELS(qg_avx2)
QG_DECLARE_KERNELS(qg_avx512)
#endif

namespace py = pybind11;
void bind_plans(py::module_& m);  // plan.cpp
namespace core = QG_NAMESPACE;

namespace {

struct Isa {
  const char* name;
  bool supported;
  int (*affine)(const qg::AffineTask&);
  int (*augment)(const qg::AugmentTask&);
  int (*corrupt)(const qg::CorruptTask&);
  int (*elastic)(const qg::ElasticTask&);
  int (*losses)(const qg::LossTask&);
  int (*morph)(const qg::MorphTask&);
  int (*overlap)(const qg::OverlapTask&);
  int (*soft_dice)(const qg::SoftDiceTask&);
};

// Slowest first.
const std::vector<Isa>& built() {
#ifdef QG_X86
  __builtin_cpu_init();
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  static const std::vector<Isa> all = {
      {"baseline", true, qg_baseline::affine, qg_baseline::augment, qg_baseline::corrupt, qg_baseline::elastic, qg_baseline::losses,
       qg_baseline::morph, qg_baseline::overlap, qg_baseline::soft_dice},
#ifdef QG_X86
      {"avx2", avx2, qg_avx2::affine, qg_avx2::augment, qg_avx2::corrupt, qg_avx2::elastic, qg_avx2::losses, qg_avx2::morph,
       qg_avx2::overlap, qg_avx2::soft_dice},
      {"avx512", avx512, qg_avx512::affine, qg_avx512::augment, qg_avx512::corrupt, qg_avx512::elastic, qg_avx512::losses, qg_avx512::morph,
       qg_avx512::overlap, qg_avx512::soft_dice},
#endif
  };
  return all;
}

const Isa* best() {
  const Isa* found = nullptr;
  for (const Isa& isa : built())
    if (isa.supported) found = &isa;
  return found;
}

const Isa* chosen = best();

std::vector<std::string> usable() {
  std::vector<std::string> names;
  for (const Isa& isa : built())
    if (isa.supported) names.push_back(isa.name);
  return names;
}

void set_isa(const std::string& name) {
  std::string known;
  for (const Isa& isa : built()) {
    if (name == isa.name) {
      if (!isa.supported) throw py::value_error("this processor does not support " + name);
      chosen = &isa;
      return;
    }
    known += known.empty() ? isa.name : std::string(", ") + isa.name;
  }
  throw py::value_error("instruction set must be one of " + known + ", got '" + name + "'");
}

void check(int result) {
  if (result != 0) throw std::bad_alloc();
}

void affine(uintptr_t in, uintptr_t out, uintptr_t matrices, bool truncate, qg::Size size, int axes, int threads) {
  qg::AffineTask task = qg::affine_task(in, out, matrices, truncate, size, axes);
  task.threads = qg::usable_threads(threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->affine(task);
  }
  check(result);
}

void augment(qg::AugmentPointers pointers, uint64_t seed, int64_t count, qg::AugmentForm form, qg::Size size, int threads) {
  qg::AugmentTask task = qg::augment_task(pointers, seed, count, form, size);
  task.threads = qg::usable_threads(threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->augment(task);
  }
  check(result);
}

void elastic(uintptr_t in, uintptr_t out, qg::Field field, uint64_t seed, uintptr_t sample_ids, qg::Size size, qg::Frame frame,
             int threads) {
  qg::ElasticTask task = qg::elastic_task(in, out, field, seed, sample_ids, size, frame);
  task.threads = qg::usable_threads(threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->elastic(task);
  }
  check(result);
}

void morph(uintptr_t in, uintptr_t out, int op, int radius, qg::Size size, int threads) {
  qg::MorphTask task = qg::morph_task(in, out, op, radius, size);
  task.threads = qg::usable_threads(threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->morph(task);
  }
  check(result);
}

void corrupt(qg::Masks masks, qg::Size size, qg::Frame frame, uintptr_t recipe, int64_t recipe_words, qg::Chance chance,
             qg::BankNumbers bank, int threads) {
  qg::check_recipe(qg::at<const int32_t>(recipe), recipe_words);
  qg::CorruptTask task =
      qg::corrupt_task(masks, size, frame, chance, bank, QG_NAMESPACE::Recipe{qg::at<const int32_t>(recipe)}.p_soft() != 0);
  task.recipe = qg::at<const int32_t>(recipe);
  task.threads = qg::usable_threads(threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->corrupt(task);
  }
  check(result);
}

void overlap(uintptr_t a, uintptr_t b, uintptr_t counts, int classes, int64_t batch, int64_t pixels, int threads) {
  qg::OverlapTask task = qg::overlap_task(a, b, counts, classes, batch, pixels);
  task.threads = qg::usable_threads(threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->overlap(task);
  }
  check(result);
}

void losses(qg::PlaneNumbers logits, qg::PlaneNumbers target, qg::PlaneNumbers pixel_weights, qg::PlaneNumbers gradient,
            qg::LossNumbers numbers, qg::LossSize size, uintptr_t sums, uintptr_t losses, uintptr_t weights, uintptr_t mean,
            uintptr_t total, int threads) {
  qg::LossTask task = qg::loss_task(logits, target, pixel_weights, gradient, numbers, size, sums, losses, weights, mean, total);
  task.threads = qg::usable_threads(threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->losses(task);
  }
  check(result);
}

void soft_dice(qg::PlaneNumbers probs, qg::PlaneNumbers target, qg::PlaneNumbers probs_grad, qg::PlaneNumbers target_grad, int form,
               int pass, qg::LossSize size, uintptr_t sums, uintptr_t scores, uintptr_t weights, int threads) {
  qg::SoftDiceTask task = qg::soft_dice_task(probs, target, probs_grad, target_grad, form, pass, size, sums, scores, weights);
  task.threads = qg::usable_threads(threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->soft_dice(task);
  }
  check(result);
}

py::tuple philox(uint32_t block, uint32_t stream, uint64_t sample, uint64_t seed) {
  const core::Words4 v = core::philox(block, stream, sample, seed);
  return py::make_tuple(v.word[0], v.word[1], v.word[2], v.word[3]);
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.attr("CUDA_NOTE") = QG_CUDA_NOTE;
  m.def("isa", [] { return chosen->name; });
  m.def("isas", usable);
  m.def("set_isa", set_isa, py::arg("name"));
  m.def("affine", affine);
  m.def("augment", augment);
  m.def("elastic", elastic);
  m.def("large_pages", [](uintptr_t memory, size_t bytes) { qg::large_pages(reinterpret_cast<void*>(memory), bytes); });
  m.def("losses", losses);
  m.def("morph", morph);
  m.def("corrupt", corrupt);
  m.def("overlap", overlap);
  m.def("soft_dice", soft_dice);
  m.def("philox", philox);
  bind_plans(m);
}
