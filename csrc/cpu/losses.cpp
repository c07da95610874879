// Losses and their gradients. A sample's pixels are cut into chunks of a size that only the number of classes decides; each chunk gives
// its sums in double, and a sample's are added in order, so the bits depend neither on threads nor on the batch. Nothing of the input's
// size is kept: softmax and the rest are made again for the gradient.
#include <float.h>
#include <omp.h>

#include "api.h"
#include "losses_classes.h"
#include "planes.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

constexpr double kEps = 1e-6;        // of the soft Dice (2 tp + eps) / (sum p + sum t + eps)
constexpr int kBlockNumbers = 4096;  // of a buffer: a few of them stay in the first-level cache
constexpr int kChunkNumbers = 32768;

using BinaryKernel = void (*)(const BinaryBlock&, const Slopes&, double*);
using ClassKernel = void (*)(const ClassBlock&, const Slopes&, double*);

struct Kernels {
  BinaryKernel binary;
  ClassKernel classes;
};

template <int kLoss, int kForm, bool kWeighted, int kPass, bool kKeeps>
Kernels kernels() {
  return {binary_block<kLoss, kForm, kWeighted, kPass, kKeeps>, classes_block<kLoss, kForm, kWeighted, kPass>};
}
template <int kLoss, int kForm, bool kWeighted>
Kernels kernels(int pass, bool keeps) {
  if constexpr (kLoss == qg::kEntropyDice && !kWeighted) {
    if (keeps && pass == qg::kForward) return kernels<kLoss, kForm, kWeighted, qg::kForward, true>();
    if (keeps && pass == qg::kBackward) return kernels<kLoss, kForm, kWeighted, qg::kBackward, true>();
  }
  if (pass == qg::kForward) return kernels<kLoss, kForm, kWeighted, qg::kForward, false>();
  if (pass == qg::kBackward) return kernels<kLoss, kForm, kWeighted, qg::kBackward, false>();
  if constexpr (kLoss == qg::kEntropyDice || kWeighted)
    return {nullptr, nullptr};  // their gradient needs sums over all pixels
  else
    return kernels<kLoss, kForm, kWeighted, qg::kBoth, false>();
}
template <int kLoss, int kForm>
Kernels kernels(int pass, bool keeps, bool weighted) {
  return weighted ? kernels<kLoss, kForm, true>(pass, keeps) : kernels<kLoss, kForm, false>(pass, keeps);
}
template <int kLoss>
Kernels kernels(int form, int pass, bool keeps, bool weighted) {
  if (form == qg::kLabels) return kernels<kLoss, qg::kLabels>(pass, keeps, weighted);
  if (form == qg::kLogits) return kernels<kLoss, qg::kLogits>(pass, keeps, weighted);
  return kernels<kLoss, qg::kProbabilities>(pass, keeps, weighted);
}
Kernels kernels_of(const qg::LossTask& task, int pass, bool keeps) {
  const bool weighted = task.pixel_weights.data || task.ignores;
  if (task.loss == qg::kSquared) return kernels<qg::kSquared>(task.form, pass, keeps, weighted);
  if (task.loss == qg::kDivergence) return kernels<qg::kDivergence>(task.form, pass, keeps, weighted);
  return kernels<qg::kEntropyDice>(task.form, pass, keeps, weighted);
}

struct Buffers {
  alignas(64) float x[kBlockNumbers], t[kBlockNumbers], out[kBlockNumbers], v[kBlockNumbers];
  alignas(64) int32_t labels[kBlockNumbers];
};

struct Chunks {
  int block;      // pixels, whole steps
  int64_t chunk;  // pixels, whole blocks
  int64_t each;   // chunks of a sample
  int width;      // totals of a chunk

  explicit Chunks(const qg::LossTask& task) {
    const int most = kBlockNumbers / task.classes / kStep * kStep;
    block = most < 2048 ? most : 2048;
    const int blocks = kChunkNumbers / (block * task.classes);
    chunk = int64_t(block) * (blocks > 1 ? blocks : 1);
    each = (task.pixels + chunk - 1) / chunk;
    width = 2 + 2 * foreground(task);
  }
  static int foreground(const qg::LossTask& task) { return task.loss != qg::kEntropyDice ? 0 : task.classes == 1 ? 1 : task.classes - 1; }
};

// Of the sums of a sample. A sample without weight has loss and gradient 0.
struct SampleSlopes {
  float both[kMostClasses], any[kMostClasses];
  Slopes slopes;

  SampleSlopes(const qg::LossTask& task, int64_t sample, int pass) : slopes{0, 0, both, any} {
    if (pass == qg::kForward) return;
    const int foreground = Chunks::foreground(task);
    const double g = task.weights[sample];
    const float* const sums = pass == qg::kBoth ? nullptr : task.sums + sample * (1 + 2 * foreground);
    const double weight = sums ? double(sums[0]) : double(task.pixels), share = weight > 0 ? g / weight : 0;
    slopes.square = float(2 * share / task.classes);
    slopes.entropy = float(foreground ? 0.5 * share : share);
    for (int k = 0; k < foreground; ++k) {
      const double tp = sums[1 + 2 * k], area = sums[2 + 2 * k], part = 0.5 * g / foreground;
      both[k] = float(-2 * part / area);
      any[k] = float(part * (2 * tp + kEps) / (area * area));
    }
  }
};

void read_weights(const qg::LossTask& task, int64_t sample, int64_t first, int n, int steps, const int32_t* labels, Buffers& buffers,
                  const float*& v) {
  v = task.pixel_weights.data ? read(task.pixel_weights, sample, 0, first, n, steps, 0, buffers.v) : nullptr;
  if (!task.ignores) return;
  for (int i = 0; i < steps; ++i) buffers.v[i] = i < n && labels[i] != task.ignored ? (v ? v[i] : 1.0f) : 0.0f;
  v = buffers.v;
}

// Pixels beyond the last are sure of the background, and right: they add nothing.
constexpr float kSure = 1e4f;

// One pass over a chunk. `reads`: of what the pass before left where the gradient goes.
struct Pass {
  int kind;
  Kernels kernel;
  bool reads, writes;

  Pass(const qg::LossTask& task, int kind, bool keeps)
      : kind(kind), kernel(kernels_of(task, kind, keeps)), reads(keeps && kind == qg::kBackward), writes(keeps || kind != qg::kForward) {}
};

void binary_chunk(const qg::LossTask& task, const Pass& pass, const Slopes& slopes, int64_t sample, int64_t first, int64_t end, int size,
                  double* totals, Buffers& buffers) {
  for (; first < end; first += size) {
    BinaryBlock block;
    const int n = int(end - first < size ? end - first : size), steps = (n + kStep - 1) / kStep * kStep;
    block.n = steps;
    block.x = read(task.logits, sample, 0, first, n, steps, -kSure, buffers.x);
    const int32_t* labels = nullptr;
    if (task.form == qg::kLabels) {
      labels = read_labels(task.target, sample, first, n, steps, buffers.labels);
      QG_LANES for (int i = 0; i < steps; ++i) buffers.t[i] = labels[i] == 1 ? 1.0f : 0.0f;
      block.t = buffers.t;
    } else {
      block.t = read(task.target, sample, 0, first, n, steps, task.form == qg::kLogits ? -kSure : 0, buffers.t);
    }
    read_weights(task, sample, first, n, steps, labels, buffers, block.v);
    if (pass.writes) block.out = place(task.gradient, sample, 0, first, n, steps, buffers.out);
    if (pass.reads && block.out == buffers.out) read(task.gradient, sample, 0, first, n, steps, 0, buffers.out);
    pass.kernel.binary(block, slopes, totals);
    if (pass.writes) write(task.gradient, sample, 0, first, n, block.out, buffers.out);
  }
}

void class_chunk(const qg::LossTask& task, const Pass& pass, const Slopes& slopes, int64_t sample, int64_t first, int64_t end, int size,
                 double* totals, Buffers& buffers) {
  ClassBlock block;
  block.classes = task.classes;
  for (; first < end; first += size) {
    const int n = int(end - first < size ? end - first : size), steps = (n + kStep - 1) / kStep * kStep;
    block.n = steps;
    for (int k = 0; k < task.classes; ++k) {
      const float sure = k ? -kSure : kSure;
      block.x[k] = read(task.logits, sample, k, first, n, steps, sure, buffers.x + k * size);
      if (pass.writes) block.out[k] = place(task.gradient, sample, k, first, n, steps, buffers.out + k * size);
      if (task.form != qg::kLabels)
        block.t[k] = read(task.target, sample, k, first, n, steps, task.form == qg::kLogits ? sure : k == 0, buffers.t + k * size);
    }
    block.labels = task.form == qg::kLabels ? read_labels(task.target, sample, first, n, steps, buffers.labels) : nullptr;
    read_weights(task, sample, first, n, steps, block.labels, buffers, block.v);
    pass.kernel.classes(block, slopes, totals);
    for (int k = 0; pass.writes && k < task.classes; ++k) write(task.gradient, sample, k, first, n, block.out[k], buffers.out + k * size);
  }
}

void zero(const qg::LossTask& task, int64_t sample, int64_t first, int64_t end, int size, Buffers& buffers) {
  for (int i = 0; i < size; ++i) buffers.out[i] = 0;
  for (; first < end; first += size)
    for (int k = 0; k < task.classes; ++k)
      write(task.gradient, sample, k, first, int(end - first < size ? end - first : size), buffers.out, buffers.out);
}

// The sums of a sample and its loss, from the totals of its chunks.
void finish(const qg::LossTask& task, const Chunks& chunks, int64_t sample, const double* totals) {
  const int foreground = Chunks::foreground(task);
  float* const sums = task.sums + sample * (1 + 2 * foreground);
  const auto total = [&](int i) {
    double sum = 0;
    for (int64_t c = 0; c < chunks.each; ++c) sum += totals[c * chunks.width + i];
    return sum;
  };
  const bool weighted = task.pixel_weights.data || task.ignores;
  const double weight = weighted ? total(1) : double(task.pixels);
  const double mean = weight > 0 ? total(0) / weight : 0;
  double loss = task.loss == qg::kSquared ? mean / task.classes : mean;
  sums[0] = float(weight);
  if (foreground) {
    double dice = 0;
    for (int k = 0; k < foreground; ++k) {
      const double tp = total(2 + 2 * k), area = total(3 + 2 * k) + kEps;
      sums[1 + 2 * k] = float(tp);
      sums[2 + 2 * k] = float(area);
      dice += (2 * tp + kEps) / area;
    }
    loss = 0.5 * mean + 0.5 * (1 - dice / foreground);
  }
  task.losses[sample] = float(loss);
}

// Of each sample in the mean.
void share(const qg::LossTask& task, float* shares) {
  double total = 0;
  for (int64_t i = 0; i < task.batch; ++i) total += double(task.weights[i]);
  if (task.total) total = double(*task.total);
  if (total < double(FLT_MIN)) total = double(FLT_MIN);
  for (int64_t i = 0; i < task.batch; ++i) shares[i] = float(double(task.weights[i]) / total);
}

// Samples whose loss and gradient are made together: as many as the second-level caches hold, and one at least for each thread.
int64_t together(const qg::LossTask& task) {
  constexpr int64_t kNear = 1 << 19;  // bytes a thread
  const int64_t bytes = task.pixels * task.classes * 3 * int64_t(sizeof(float));
  return task.threads * (bytes < kNear ? kNear / bytes : 1);
}

// A pass over a chunk, or over what of a batch the loop gives this thread: called by all threads of a team.
void pass_chunks(const qg::LossTask& task, const Chunks& chunks, const Pass& pass, int64_t first_sample, int64_t end_sample,
                 double* totals) {
  Buffers buffers;
#pragma omp for schedule(static)
  for (int64_t item = first_sample * chunks.each; item < end_sample * chunks.each; ++item) {
    const int64_t sample = item / chunks.each, first = item % chunks.each * chunks.chunk;
    const int64_t end = first + chunks.chunk < task.pixels ? first + chunks.chunk : task.pixels;
    double* const mine = totals ? totals + item * chunks.width : nullptr;
    if (pass.kind != qg::kBackward)
      for (int i = 0; i < chunks.width; ++i) mine[i] = 0;
    if (task.weights && task.weights[sample] == 0) {  // its loss does not matter: its pixels are not read
      if (pass.kind != qg::kForward) zero(task, sample, first, end, chunks.block, buffers);
      continue;
    }
    const SampleSlopes sample_slopes(task, sample, pass.kind);
    if (task.classes == 1)
      binary_chunk(task, pass, sample_slopes.slopes, sample, first, end, chunks.block, mine, buffers);
    else
      class_chunk(task, pass, sample_slopes.slopes, sample, first, end, chunks.block, mine, buffers);
  }
}

}  // namespace

int losses(const qg::LossTask& given) {
  qg::LossTask task = given;
  const Chunks chunks(task);
  const bool loss_wanted = task.pass != qg::kBackward, both = task.pass == qg::kBoth, twice = both && task.loss == qg::kEntropyDice;
  double* totals = nullptr;
  if (loss_wanted) {
    const size_t numbers = size_t(task.batch * chunks.each) * size_t(chunks.width);
    const size_t own = both ? size_t(task.batch) * size_t(3 + 2 * Chunks::foreground(task)) : 0;  // floats
    totals = static_cast<double*>(qg::scratch(numbers * sizeof(double) + own * sizeof(float)));
    if (!totals) return 1;
    if (both) {
      float* const shares = reinterpret_cast<float*>(totals + numbers);
      share(task, shares);
      task.weights = shares;
      task.losses = shares + task.batch;
      task.sums = task.losses + task.batch;
    }
  }
  const bool keeps = twice && task.classes == 1 && task.gradient.kind == qg::kFloat;
  const Pass first(task, twice ? int(qg::kForward) : task.pass, keeps), second(task, twice ? int(qg::kBackward) : task.pass, keeps);
  const int64_t items = task.batch * chunks.each, step = twice ? together(task) : task.batch;
  const int threads = items < task.threads ? int(items) : task.threads;
#pragma omp parallel num_threads(threads) if (threads > 1)
  for (int64_t sample = 0; sample < task.batch; sample += step) {
    const int64_t end = sample + step < task.batch ? sample + step : task.batch;
    pass_chunks(task, chunks, first, sample, end, totals);
    if (!loss_wanted) continue;
#pragma omp for schedule(static)
    for (int64_t i = sample; i < end; ++i) finish(task, chunks, i, totals + i * chunks.each * chunks.width);
    if (twice) pass_chunks(task, chunks, second, sample, end, totals);
  }
  if (!both) return 0;
  double mean = 0;
  for (int64_t i = 0; i < task.batch; ++i) mean += double(task.weights[i]) * double(task.losses[i]);
  *task.mean = float(mean);
  return 0;
}

}  // namespace QG_NAMESPACE
