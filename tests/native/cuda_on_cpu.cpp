// The CUDA files as a library of plain functions, to be called by ctypes.
#define __CUDACC__
#define QG_CUDA_ON_CPU
#include "../../csrc/cuda/corrupt.cu"
// one translation unit holds both files
#include "../../csrc/cuda/overlap.cu"

namespace {

// Two sums in a row, as every thread sees them.
void sums_kernel(int32_t* seen) {
  const QG_NAMESPACE::BlockTeam team;
  for (int k = 0; k < 2; ++k) seen[k * blockDim.x + threadIdx.x] = team.sum(3, 50, [=](int o, int i) { return k + o * i; });
}

}  // namespace

extern "C" {

void sums(int32_t* seen, int threads) { QG_LAUNCH(sums_kernel, 1, unsigned(threads), 0, nullptr, seen); }

void set_machine(int shared_limit, int processors) {
  cuda_on_cpu::shared_limit = shared_limit;
  cuda_on_cpu::processors = processors;
}

int64_t scratch_words(int64_t batch, int depth, int height, int width, int planes) {
  int64_t words = -1;
  return qg::corrupt_scratch_words(batch, depth, height, width, planes, &words) == 0 ? words : -1;
}

int corrupt(const uint8_t* in, uint8_t* out, int32_t* counts, const int32_t* programs, int shared, int64_t batch, int depth, int height,
            int width, uint32_t* scratch, int64_t words) {
  qg::CudaCorruptTask task{in, out, counts, nullptr, {}, batch, depth, height, width, scratch, words};
  if (shared)
    memcpy(task.shared, programs, sizeof task.shared);
  else
    task.programs = programs;
  return qg::corrupt(task, nullptr);
}

int overlap(const uint8_t* a, const uint8_t* b, int32_t* counts, int classes, int64_t batch, int64_t pixels) {
  return qg::overlap(a, b, counts, classes, batch, pixels, nullptr);
}
}
