// The CUDA files as a library of plain functions, to be called by ctypes.
#define __CUDACC__
#define QG_CUDA_ON_CPU
#include "../../csrc/cuda/corrupt.cu"
// one translation unit holds all files
#include "../../csrc/cuda/affine.cu"
#include "../../csrc/cuda/elastic.cu"
#include "../../csrc/cuda/morph.cu"
#include "../../csrc/cuda/overlap.cu"

namespace {

// Two sums in a row, of int and of int64_t, as every thread sees them.
void sums_kernel(int64_t* seen) {
  const QG_NAMESPACE::BlockTeam team;
  seen[threadIdx.x] = team.sum(3, 50, [=](int o, int i) { return o * i; });
  seen[blockDim.x + threadIdx.x] = team.sum(3, 50, [=](int o, int i) { return int64_t(o * i) + (int64_t(1) << 40); });
}

struct Shape {
  unsigned blocks, threads;
  size_t shared;
};

template <class Task, class Kernel>
void run(Kernel kernel, const Shape& shape, const void* task, const qg::Work& work) {
  Task filled;
  memcpy(&filled, task, sizeof filled);
  cuda_on_cpu::launch(shape.blocks, shape.threads, shape.shared, [=] { kernel(filled, work); });
}

}  // namespace

extern "C" {

void sums(int64_t* seen, int threads) {
  cuda_on_cpu::launch(1, unsigned(threads), 0, [=] { sums_kernel(seen); });
}

int task_bytes() { return int(sizeof(qg::CorruptTask)); }

// As the module's launch; 1 where there is no such kernel.
int launch(const char* name, int64_t blocks, int64_t threads, int64_t shared, const void* task, const void* work, uint32_t* scratch) {
  const Shape shape{unsigned(blocks), unsigned(threads), size_t(shared)};
  qg::Work filled;
  memcpy(&filled, work, sizeof filled);
  filled.scratch = scratch;
  const auto is = [&](const char* other) { return strcmp(name, other) == 0; };
  if (is("qg_affine"))
    run<qg::AffineTask>(qg_affine, shape, task, filled);
  else if (is("qg_corrupt"))
    run<qg::CorruptTask>(qg_corrupt, shape, task, filled);
  else if (is("qg_elastic"))
    run<qg::ElasticTask>(qg_elastic, shape, task, filled);
  else if (is("qg_morph"))
    run<qg::MorphTask>(qg_morph, shape, task, filled);
  else if (is("qg_overlap"))
    run<qg::OverlapTask>([](const qg::OverlapTask& only, const qg::Work&) { qg_overlap(only); }, shape, task, filled);
  else
    return 1;
  return 0;
}
}
