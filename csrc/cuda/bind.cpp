// qgssl_fast._cuda: the CUDA kernels. Raw device pointers, sizes and a stream; the caller keeps the tensors alive, contiguous and of the
// sizes told here, and has made their device the current one. The module loads without a driver.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "../validate.h"
#include "api.h"

namespace py = pybind11;

namespace {

void check(int error) {
  if (error != 0) throw std::runtime_error(std::string("CUDA error ") + std::to_string(error) + ": " + qg::error_name(error));
}

template <class F>
void launch(F f) {
  int error;
  {
    py::gil_scoped_release released;
    error = f();
  }
  check(error);
}

// Pointer and words of scratch, stream.
using Where = std::tuple<uintptr_t, int64_t, uintptr_t>;

qg::Scratch scratch_of(const Where& where) { return {qg::at<uint32_t>(std::get<0>(where)), std::get<1>(where)}; }
void* stream_of(const Where& where) { return qg::at<void>(std::get<2>(where)); }

int64_t morph_scratch(qg::Size size) {
  qg::check_size(size);
  int64_t words = 0;
  check(qg::morph_scratch(size[0], int(size[1]), int(size[2]), int(size[3]), &words));
  return words;
}

void morph(uintptr_t in, uintptr_t out, int op, int radius, qg::Size size, Where where) {
  const qg::MorphTask task = qg::morph_task(in, out, op, radius, size);
  launch([&] { return qg::morph(task, scratch_of(where), stream_of(where)); });
}

// `recipe` in host memory.
std::tuple<int64_t, int64_t> corrupt_scratch(qg::Size size, qg::Frame frame, uintptr_t recipe, int64_t recipe_words) {
  qg::check_size(size);
  qg::CorruptTask task = qg::frame_task(size, frame);
  task.recipe = qg::at<const int32_t>(recipe);
  qg::check_recipe(qg::at<const int32_t>(recipe), recipe_words);
  const int64_t bytes = qg::corrupt_bytes(task);
  int64_t words = 0;
  check(qg::corrupt_scratch(size[0], bytes, &words));
  return {bytes, words};
}

// `recipe` in device memory, a copy of what corrupt_scratch was given; `block_bytes` as that said.
void corrupt(qg::Masks masks, qg::Size size, qg::Frame frame, uintptr_t recipe, qg::Chance chance, qg::BankNumbers bank,
             int64_t block_bytes, Where where) {
  qg::CorruptTask task = qg::corrupt_task(masks, size, frame, chance, bank, true);
  task.recipe = qg::at<const int32_t>(recipe);
  launch([&] { return qg::corrupt(task, block_bytes, scratch_of(where), stream_of(where)); });
}

void overlap(uintptr_t a, uintptr_t b, uintptr_t counts, int classes, int64_t batch, int64_t pixels, uintptr_t stream) {
  const qg::OverlapTask task = qg::overlap_task(a, b, counts, classes, batch, pixels);
  qg::require(batch <= INT32_MAX / (classes - 1), "batch times classes must be below 2^31");
  launch([&] { return qg::overlap(task, qg::at<void>(stream)); });
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  m.def("archs", [] { return QG_CUDA_ARCHS; });
  m.def("morph_scratch", morph_scratch);
  m.def("morph", morph);
  m.def("corrupt_scratch", corrupt_scratch);
  m.def("corrupt", corrupt);
  m.def("overlap", overlap);
}
