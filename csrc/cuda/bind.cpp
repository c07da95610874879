// qgssl_fast._cuda: the CUDA kernels. Raw device pointers, sizes and a stream; the caller keeps the tensors alive, contiguous and of the
// sizes told here, and has made their device the current one. The module loads without a driver.
#include <pybind11/pybind11.h>

#include <cstring>

#include "../validate.h"
#include "api.h"

namespace py = pybind11;

namespace {

void check(int error) {
  if (error != 0) throw std::runtime_error(std::string("CUDA error ") + std::to_string(error) + ": " + qg::error_name(error));
}

int64_t scratch_words(int64_t batch, int64_t depth, int64_t height, int64_t width, int planes) {
  qg::check_extent(batch, depth, height, width);
  int64_t words = 0;
  check(qg::corrupt_scratch_words(batch, int(depth), int(height), int(width), planes, &words));
  return words;
}

void run(qg::CudaCorruptTask task, uintptr_t in, uintptr_t out, uintptr_t counts, uintptr_t scratch, int64_t scratch_count,
         uintptr_t stream) {
  qg::check_pointer(in, task.batch, "in");
  qg::check_pointer(out, task.batch, "out");
  task.in = reinterpret_cast<const uint8_t*>(in);
  task.out = reinterpret_cast<uint8_t*>(out);
  task.counts = reinterpret_cast<int32_t*>(counts);
  task.scratch = reinterpret_cast<uint32_t*>(scratch);
  task.scratch_words = scratch_count;
  int error;
  {
    py::gil_scoped_release released;
    error = qg::corrupt(task, reinterpret_cast<void*>(stream));
  }
  check(error);
}

void morph(uintptr_t in, uintptr_t out, int first, int second, int radius, int64_t batch, int64_t depth, int64_t height, int64_t width,
           uintptr_t scratch, int64_t scratch_count, uintptr_t stream) {
  qg::check_extent(batch, depth, height, width);
  qg::CudaCorruptTask task{};
  const QG_NAMESPACE::Program program = qg::morph_program(first, second, radius);
  std::memcpy(task.shared, &program, sizeof program);
  task.batch = batch;
  task.depth = int(depth);
  task.height = int(height);
  task.width = int(width);
  run(task, in, out, 0, scratch, scratch_count, stream);
}

// Programs on the device are not checked here: who draws them makes only ones that can run.
void corrupt(uintptr_t in, uintptr_t out, uintptr_t counts, uintptr_t programs, int64_t batch, int64_t depth, int64_t height, int64_t width,
             uintptr_t scratch, int64_t scratch_count, uintptr_t stream) {
  qg::check_extent(batch, depth, height, width);
  qg::check_pointer(programs, batch, "programs");
  qg::CudaCorruptTask task{};
  task.programs = reinterpret_cast<const int32_t*>(programs);
  task.batch = batch;
  task.depth = int(depth);
  task.height = int(height);
  task.width = int(width);
  run(task, in, out, counts, scratch, scratch_count, stream);
}

void overlap(uintptr_t a, uintptr_t b, uintptr_t counts, int classes, int64_t batch, int64_t pixels, uintptr_t stream) {
  qg::check_pointer(a, batch, "a");
  qg::check_pointer(b, batch, "b");
  qg::check_pointer(counts, batch, "counts");
  qg::require(classes >= 2 && classes <= 256, "classes must be in 2..256");
  qg::require(batch >= 0 && pixels >= 1 && pixels <= INT32_MAX, "a mask must have 1 to 2^31 - 1 pixels");
  qg::require(batch <= INT32_MAX / (classes - 1), "batch times classes must be below 2^31");
  int error;
  {
    py::gil_scoped_release released;
    error = qg::overlap(reinterpret_cast<const uint8_t*>(a), reinterpret_cast<const uint8_t*>(b), reinterpret_cast<int32_t*>(counts),
                        classes, batch, pixels, reinterpret_cast<void*>(stream));
  }
  check(error);
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  m.def("archs", [] { return QG_CUDA_ARCHS; });
  m.def("scratch_words", scratch_words);
  m.def("morph", morph);
  m.def("corrupt", corrupt);
  m.def("overlap", overlap);
}
