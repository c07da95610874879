// Launches kernels by their names.
#include <string.h>

#include "../task.h"
#include "api.h"
#include "work.h"

// Kernels of the other files; a parameter's const is not part of its type.
extern "C" {
__global__ void qg_affine(qg::AffineTask, qg::Work);
__global__ void qg_corrupt(qg::CorruptTask, qg::Work);
__global__ void qg_elastic(qg::ElasticTask, qg::Work);
__global__ void qg_morph(qg::MorphTask, qg::Work);
__global__ void qg_overlap(qg::OverlapTask);
}

namespace qg {
namespace {

struct Kernel {
  const char* name;
  const void* address;
  size_t task_bytes;
};

const Kernel kernels[] = {
    {"qg_affine", reinterpret_cast<const void*>(qg_affine), sizeof(AffineTask)},
    {"qg_corrupt", reinterpret_cast<const void*>(qg_corrupt), sizeof(CorruptTask)},
    {"qg_elastic", reinterpret_cast<const void*>(qg_elastic), sizeof(ElasticTask)},
    {"qg_morph", reinterpret_cast<const void*>(qg_morph), sizeof(MorphTask)},
    {"qg_overlap", reinterpret_cast<const void*>(qg_overlap), sizeof(OverlapTask)},
};

// An error that a call returns is told by it, and must not be met again by the next.
int told(cudaError_t error) {
  if (error != cudaSuccess) cudaGetLastError();
  return int(error);
}

}  // namespace

int launch(const Call& call, void* stream) {
  for (const Kernel& kernel : kernels) {
    if (strcmp(call.name, kernel.name) != 0 || call.task_bytes != kernel.task_bytes) continue;
    // This module's CUDA runtime is not torch's and has a current device of its own.
    const int chosen = told(cudaSetDevice(call.device));
    if (chosen != 0) return chosen;
    if (call.shared > 48 << 10) {  // more than that has to be asked for
      const int error = told(cudaFuncSetAttribute(kernel.address, cudaFuncAttributeMaxDynamicSharedMemorySize, int(call.shared)));
      if (error != 0) return error;
    }
    void* parameters[] = {call.task, call.work};
    return told(cudaLaunchKernel(kernel.address, dim3(call.blocks), dim3(call.threads), parameters, call.shared,
                                 static_cast<cudaStream_t>(stream)));
  }
  return kUnknown;
}

int machine(int device, int (&found)[3]) {
  const cudaDeviceAttr wanted[3] = {cudaDevAttrMultiProcessorCount, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                                    cudaDevAttrMaxSharedMemoryPerMultiprocessor};
  for (int k = 0; k < 3; ++k) {
    const int error = told(cudaDeviceGetAttribute(&found[k], wanted[k], device));
    if (error != 0) return error;
  }
  return 0;
}

const char* error_name(int error) { return cudaGetErrorName(cudaError_t(error)); }

}  // namespace qg
