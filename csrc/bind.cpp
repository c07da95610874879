// qgssl_fast._C: the CPU kernels. Raw pointers and sizes, so one build serves every torch; the caller keeps the tensors alive, contiguous
// and of the sizes told here.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <new>
#include <vector>

#include "cpu/api.h"
#include "validate.h"

QG_DECLARE_KERNELS(qg_baseline)
#ifdef QG_X86
QG_DECLARE_KERNELS(qg_avx2)
QG_DECLARE_KERNELS(qg_avx512)
#endif

namespace py = pybind11;
namespace core = QG_NAMESPACE;

namespace {

struct Isa {
  const char* name;
  bool supported;
  int (*corrupt)(const qg::CorruptTask&);
  int (*morph)(const qg::MorphTask&);
  int (*overlap)(const qg::OverlapTask&);
};

// Slowest first.
const std::vector<Isa>& built() {
#ifdef QG_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  static const std::vector<Isa> all = {
      {"baseline", true, qg_baseline::corrupt, qg_baseline::morph, qg_baseline::overlap},
#ifdef QG_X86
      {"avx2", avx2, qg_avx2::corrupt, qg_avx2::morph, qg_avx2::overlap},
      {"avx512", avx512, qg_avx512::corrupt, qg_avx512::morph, qg_avx512::overlap},
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

template <class T>
T* at(uintptr_t pointer) {
  return reinterpret_cast<T*>(pointer);
}

void morph(uintptr_t in, uintptr_t out, int op, int radius, int64_t batch, int64_t depth, int64_t height, int64_t width, int threads) {
  qg::check_extent(batch, depth, height, width);
  qg::check_pointer(in, batch, "in");
  qg::check_pointer(out, batch, "out");
  qg::check_morph(op, radius);
  const qg::MorphTask task{at<const uint8_t>(in),      at<uint8_t>(out), op, radius, batch, int(depth), int(height), int(width),
                           qg::usable_threads(threads)};
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->morph(task);
  }
  check(result);
}

struct Size {
  int64_t batch, depth, height, width;
};

// masks: in, out, its kind, bytes from one mask to the next, errors, counts, rows. bank: truth, weak, order, rank, low, donors, snapshots,
// images. Zero for what is not there.
void corrupt(std::array<int64_t, 7> masks, std::array<int64_t, 4> size, uintptr_t recipe, int64_t recipe_words, uint64_t seed,
             uintptr_t sample_ids, uintptr_t image_ids, uintptr_t given_rows, std::array<int64_t, 8> bank, int threads) {
  const auto [batch, depth, height, width] = size;
  qg::check_extent(batch, depth, height, width);
  const char* const names[] = {"in", "out", "", "", "", "counts", "rows"};
  for (int k : {0, 1, 5, 6}) qg::check_pointer(uintptr_t(masks[size_t(k)]), batch, names[k]);
  qg::check_pointer(sample_ids, batch, "sample_ids");
  qg::check_recipe(at<const int32_t>(recipe), recipe_words);
  qg::require(masks[2] >= qg::kUint8 && masks[2] <= qg::kBfloat16, "the kind of out must be 0..3");
  qg::CorruptTask task{};
  task.in = at<const uint8_t>(uintptr_t(masks[0]));
  task.out = at<void>(uintptr_t(masks[1]));
  task.out_kind = int(masks[2]);
  task.out_step = masks[3];
  task.errors = at<uint8_t>(uintptr_t(masks[4]));
  task.counts = at<int32_t>(uintptr_t(masks[5]));
  task.rows = at<int32_t>(uintptr_t(masks[6]));
  task.given_rows = at<const int32_t>(given_rows);
  task.recipe = at<const int32_t>(recipe);
  task.seed = seed;
  task.sample_ids = at<const int64_t>(sample_ids);
  task.image_ids = at<const int64_t>(image_ids);
  task.bank = {at<const uint8_t>(uintptr_t(bank[0])),
               at<const uint8_t>(uintptr_t(bank[1])),
               at<const int32_t>(uintptr_t(bank[2])),
               at<const int32_t>(uintptr_t(bank[3])),
               at<const int32_t>(uintptr_t(bank[4])),
               int32_t(bank[5]),
               int32_t(bank[6]),
               int32_t(bank[7])};
  task.batch = batch;
  task.depth = int(depth);
  task.height = int(height);
  task.width = int(width);
  task.threads = qg::usable_threads(threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->corrupt(task);
  }
  check(result);
}

void overlap(uintptr_t a, uintptr_t b, uintptr_t counts, int classes, int64_t batch, int64_t pixels, int threads) {
  qg::check_pointer(a, batch, "a");
  qg::check_pointer(b, batch, "b");
  qg::check_pointer(counts, batch, "counts");
  qg::require(classes >= 2 && classes <= 256, "classes must be in 2..256");
  qg::require(batch >= 0 && pixels >= 1 && pixels <= INT32_MAX, "a mask must have 1 to 2^31 - 1 pixels");
  const qg::OverlapTask task{
      reinterpret_cast<const uint8_t*>(a), reinterpret_cast<const uint8_t*>(b), reinterpret_cast<int32_t*>(counts), classes, batch, pixels,
      qg::usable_threads(threads)};
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->overlap(task);
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
  m.def("morph", morph);
  m.def("corrupt", corrupt);
  m.def("overlap", overlap);
  m.def("philox", philox);
}
