// Soft Dice of each sample and class, and its gradients, which are linear in what they come from.
#include <omp.h>

#include "api.h"
#include "planes.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

constexpr double kEps = 1e-6;  // of (2 sum(p t) + eps) / (sum(p) + sum(t) + eps)
constexpr int kBlock = 1024;   // pixels
constexpr int64_t kChunk = 32 * kBlock;

struct Buffers {
  alignas(64) float p[kBlock], t[kBlock], out[kBlock];
  alignas(64) int32_t labels[kBlock];
};

struct Block {
  const float *p, *t;
  int n, steps;
};

Block read_block(const qg::SoftDiceTask& task, int64_t sample, int k, int64_t first, int64_t end, Buffers& buffers) {
  Block block;
  const int n = int(end - first < kBlock ? end - first : kBlock), steps = (n + kStep - 1) / kStep * kStep;
  block.n = n;
  block.steps = steps;
  block.p = read(task.probs, sample, k, first, n, steps, 0, buffers.p);
  if (task.form == qg::kLabels) {
    const int32_t *const labels = read_labels(task.target, sample, first, n, steps, buffers.labels), label = k + 1;
    QG_LANES for (int i = 0; i < steps; ++i) buffers.t[i] = i < n && labels[i] == label ? 1.0f : 0.0f;
    block.t = buffers.t;
  } else {
    block.t = read(task.target, sample, k, first, n, steps, 0, buffers.t);
  }
  return block;
}

void add_chunk(const qg::SoftDiceTask& task, int64_t sample, int k, int64_t first, int64_t end, double* totals, Buffers& buffers) {
  totals[0] = totals[1] = 0;
  for (; first < end; first += kBlock) {
    const Block block = read_block(task, sample, k, first, end, buffers);
    Sum both, any;
    both.clear(), any.clear();
    for (int i = 0; i < block.steps; i += kStep) {
      for (int part = 0; part < kParts; ++part) {
        const Floats p = load(block.p + i + part * kLanes), t = load(block.t + i + part * kLanes);
        both.add(part, p * t);
        any.add(part, p + t);
      }
    }
    totals[0] += both.total();
    totals[1] += any.total();
  }
}

// gradient = other * both + any, both of them a number for the whole plane.
void linear(const qg::Plane& plane, int64_t sample, int k, int64_t first, const Block& block, const float* other, float both, float any,
            Buffers& buffers) {
  if (!plane.data) return;
  float* const out = place(plane, sample, k, first, block.n, block.steps, buffers.out);
  for (int i = 0; i < block.steps; i += kLanes) store(out + i, load(other + i) * both + any);
  write(plane, sample, k, first, block.n, out, buffers.out);
}

void differentiate(const qg::SoftDiceTask& task, int64_t sample, int k, int64_t first, int64_t end, Buffers& buffers) {
  const int64_t number = sample * task.classes + k;
  const double g = task.weights[number], tp = task.sums[2 * number], area = task.sums[2 * number + 1];
  const float both = float(2 * g / area), any = float(-g * (2 * tp + kEps) / (area * area));
  for (; first < end; first += kBlock) {
    const Block block = read_block(task, sample, k, first, end, buffers);
    linear(task.probs_grad, sample, k, first, block, block.t, both, any, buffers);
    linear(task.target_grad, sample, k, first, block, block.p, both, any, buffers);
  }
}

}  // namespace

int soft_dice(const qg::SoftDiceTask& task) {
  const int64_t each = (task.pixels + kChunk - 1) / kChunk, planes = task.batch * task.classes, items = planes * each;
  double* totals = nullptr;
  if (task.pass == qg::kForward) {
    totals = static_cast<double*>(qg::scratch(size_t(items) * 2 * sizeof(double)));
    if (!totals) return 1;
  }
  const int threads = items < task.threads ? int(items) : task.threads;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int64_t item = 0; item < items; ++item) {
    Buffers buffers;
    const int64_t plane = item / each, first = item % each * kChunk, sample = plane / task.classes;
    const int64_t end = first + kChunk < task.pixels ? first + kChunk : task.pixels;
    const int k = int(plane % task.classes);
    if (task.pass == qg::kForward)
      add_chunk(task, sample, k, first, end, totals + 2 * item, buffers);
    else
      differentiate(task, sample, k, first, end, buffers);
  }
  for (int64_t plane = 0; totals && plane < planes; ++plane) {
    double both = 0, any = kEps;
    for (int64_t c = plane * each; c < (plane + 1) * each; ++c) {
      both += totals[2 * c];
      any += totals[2 * c + 1];
    }
    task.sums[2 * plane] = float(both);
    task.sums[2 * plane + 1] = float(any);
    task.scores[plane] = float((2 * both + kEps) / any);
  }
  return 0;
}

}  // namespace QG_NAMESPACE
