// qgssl_fast._C: the CPU kernels. Raw pointers and sizes, so one build serves every torch; the caller keeps the tensors alive, contiguous
// and of the sizes told here.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <new>
#include <vector>

#include "core/philox.h"
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
      {"baseline", true, qg_baseline::corrupt, qg_baseline::overlap},
#ifdef QG_X86
      {"avx2", avx2, qg_avx2::corrupt, qg_avx2::overlap},
      {"avx512", avx512, qg_avx512::corrupt, qg_avx512::overlap},
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

void run(qg::CorruptTask task) {
  task.threads = qg::usable_threads(task.threads);
  int result;
  {
    py::gil_scoped_release released;
    result = chosen->corrupt(task);
  }
  check(result);
}

void morph(uintptr_t in, uintptr_t out, int first, int second, int radius, int64_t batch, int64_t depth, int64_t height, int64_t width,
           int threads) {
  qg::check_extent(batch, depth, height, width);
  qg::check_pointer(in, batch, "in");
  qg::check_pointer(out, batch, "out");
  const core::Program program = qg::morph_program(first, second, radius);
  run({reinterpret_cast<const uint8_t*>(in), reinterpret_cast<uint8_t*>(out), nullptr, reinterpret_cast<const int32_t*>(&program), true,
       batch, int(depth), int(height), int(width), threads});
}

void corrupt(uintptr_t in, uintptr_t out, uintptr_t counts, uintptr_t programs, int64_t program_count, int64_t batch, int64_t depth,
             int64_t height, int64_t width, int threads) {
  qg::check_extent(batch, depth, height, width);
  qg::check_pointer(in, batch, "in");
  qg::check_pointer(out, batch, "out");
  qg::check_pointer(programs, batch, "programs");
  qg::require(program_count == 1 || program_count == batch, "programs must be one or one a mask");
  const core::Program* const program = reinterpret_cast<const core::Program*>(programs);
  if (batch)
    for (int64_t i = 0; i < program_count; ++i) qg::check_program(program[i]);
  run({reinterpret_cast<const uint8_t*>(in), reinterpret_cast<uint8_t*>(out), reinterpret_cast<int32_t*>(counts),
       reinterpret_cast<const int32_t*>(programs), program_count == 1, batch, int(depth), int(height), int(width), threads});
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
  m.attr("ERODE") = int(core::kErode);
  m.attr("DILATE") = int(core::kDilate);
  m.attr("MAX_STEPS") = core::kMaxSteps;
  m.attr("STEP_WORDS") = 1 + core::kMaxArguments;
  m.attr("CUDA_NOTE") = QG_CUDA_NOTE;
  m.def("isa", [] { return chosen->name; });
  m.def("isas", usable);
  m.def("set_isa", set_isa, py::arg("name"));
  m.def("morph", morph);
  m.def("corrupt", corrupt);
  m.def("overlap", overlap);
  m.def("philox", philox);
}
