// The CUDA files as a library of plain functions, to be called by ctypes.
#define __CUDACC__
#define QG_CUDA_ON_CPU
#include "../../csrc/cuda/corrupt.cu"
// one translation unit holds all files
#include "../../csrc/cuda/morph.cu"
#include "../../csrc/cuda/overlap.cu"

namespace {

// Two sums in a row, of int and of int64_t, as every thread sees them.
void sums_kernel(int64_t* seen) {
  const QG_NAMESPACE::BlockTeam team;
  seen[threadIdx.x] = team.sum(3, 50, [=](int o, int i) { return o * i; });
  seen[blockDim.x + threadIdx.x] = team.sum(3, 50, [=](int o, int i) { return int64_t(o * i) + (int64_t(1) << 40); });
}

}  // namespace

extern "C" {

void sums(int64_t* seen, int threads) { QG_LAUNCH(sums_kernel, 1, unsigned(threads), 0, nullptr, seen); }

void set_machine(int shared_limit, int processors) {
  cuda_on_cpu::shared_limit = shared_limit;
  cuda_on_cpu::processors = processors;
}

int task_bytes() { return int(sizeof(qg::CorruptTask)); }

int64_t morph_scratch(int64_t batch, int depth, int height, int width) {
  int64_t words = -1;
  return qg::morph_scratch(batch, depth, height, width, &words) == 0 ? words : -1;
}

int morph(const uint8_t* in, uint8_t* out, int op, int radius, int64_t batch, int depth, int height, int width, uint32_t* scratch,
          int64_t words) {
  return qg::morph({in, out, op, radius, batch, depth, height, width, 1}, {scratch, words}, nullptr);
}

int64_t corrupt_bytes(const qg::CorruptTask* task) { return qg::corrupt_bytes(*task); }

int64_t corrupt_scratch(const qg::CorruptTask* task) {
  int64_t words = -1;
  return qg::corrupt_scratch(task->batch, corrupt_bytes(task), &words) == 0 ? words : -1;
}

int corrupt(const qg::CorruptTask* task, uint32_t* scratch, int64_t words) {
  return qg::corrupt(*task, corrupt_bytes(task), {scratch, words}, nullptr);
}

int overlap(const uint8_t* a, const uint8_t* b, int32_t* counts, int classes, int64_t batch, int64_t pixels) {
  return qg::overlap({a, b, counts, classes, batch, pixels, 1}, nullptr);
}
}
