// qgssl_fast._cuda: the CUDA kernels by their names. What they are given is checked and worked out in qgssl_fast._C (plan.cpp); the caller
// keeps the tensors alive. The module loads without a driver.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <string.h>

#include <array>
#include <stdexcept>
#include <string>

#include "api.h"
#include "work.h"

namespace py = pybind11;

namespace {

void check(int error, const std::string& what) {
  if (error == qg::kUnknown) throw std::invalid_argument(what + ": no such kernel, or its parameters are those of another build");
  if (error != 0) throw std::runtime_error(what + ": CUDA error " + std::to_string(error) + ", " + qg::error_name(error));
}

// `scratch` is the pointer that `work` lacks.
void launch(const std::string& name, int64_t blocks, int64_t threads, int64_t shared, std::string task, const std::string& work,
            uintptr_t scratch, uintptr_t stream, int device) {
  qg::Work filled;
  if (work.size() != sizeof filled) return check(qg::kUnknown, name);
  memcpy(&filled, work.data(), sizeof filled);
  filled.scratch = reinterpret_cast<uint32_t*>(scratch);
  int error;
  {
    py::gil_scoped_release released;
    error = qg::launch({name.c_str(), unsigned(blocks), unsigned(threads), size_t(shared), task.data(), &filled, task.size(), device},
                       reinterpret_cast<void*>(stream));
  }
  check(error, name);
}

std::array<int, 3> machine(int device) {
  int found[3];
  check(qg::machine(device, found), "device " + std::to_string(device));
  return {found[0], found[1], found[2]};
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  m.def("archs", [] { return QG_CUDA_ARCHS; });
  m.def("machine", machine);
  m.def("launch", [](const std::string& name, int64_t blocks, int64_t threads, int64_t shared, const py::bytes& task, const py::bytes& work,
                     uintptr_t scratch, uintptr_t stream,
                     int device) { launch(name, blocks, threads, shared, task, work, scratch, stream, device); });
}
