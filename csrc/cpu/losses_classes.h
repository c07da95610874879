// A logit for each class: p = softmax(x).
#pragma once
#include "losses_binary.h"

namespace QG_NAMESPACE {

constexpr int kMostClasses = 255;

struct ClassBlock {
  const float *x[kMostClasses], *t[kMostClasses];  // logits; probabilities or logits of the target
  const int32_t* labels;
  const float* v;
  float* out[kMostClasses];
  int classes;
  int n;  // whole steps
};

// exp(x_k - largest) of kLanes pixels, their sum, and sum_k exp(x_k - largest) (x_k - largest) where asked.
struct Softmax {
  Floats largest, sum, product, factor;

  template <bool kProduct>
  QG_HD void of(const float* const* x, int at, int classes, Floats* e) {
    largest = load(x[0] + at);
    for (int k = 1; k < classes; ++k) largest = larger(largest, load(x[k] + at));
    sum = product = Floats{};
    for (int k = 0; k < classes; ++k) {
      const Floats below = load(x[k] + at) - largest;
      e[k] = exp_of(below);
      sum += e[k];
      if (kProduct) product += e[k] * below;
    }
    factor = 1.0f / sum;
  }
};

// totals: sums of v l and v, then for each foreground class of v p t and of v (p + t), over the pixels seen so far.
template <int kLoss, int kForm, bool kWeighted, int kPass>
QG_ROW void classes_block(const ClassBlock& block, const Slopes& slopes, double* totals) {
  constexpr bool kLossWanted = kPass != qg::kBackward, kGradWanted = kPass != qg::kForward;
  constexpr bool kDice = kLoss == qg::kEntropyDice, kOwn = kLoss == qg::kDivergence && kLossWanted;
  const int classes = block.classes;
  Sum loss, weight, both[kDice && kLossWanted ? kMostClasses : 1], any[kDice && kLossWanted ? kMostClasses : 1];
  loss.clear(), weight.clear();
  for (int k = 0; kDice && kLossWanted && k + 1 < classes; ++k) both[k].clear(), any[k].clear();
  Floats e[kMostClasses], taught[kForm == qg::kLogits ? kMostClasses : 1];
  for (int i = 0; i < block.n; i += kStep) {
    for (int part = 0; part < kParts; ++part) {
      const int at = i + part * kLanes;
      const Floats v = kWeighted ? load(block.v + at) : all(1.0f);
      Softmax student, teacher;
      student.of<false>(block.x, at, classes, e);
      if (kForm == qg::kLogits) teacher.of<kOwn>(block.t, at, classes, taught);
      const Ints label = kForm == qg::kLabels ? load(block.labels + at) : Ints{};
      const auto target = [&](int k) {
        if (kForm == qg::kLabels) return only(label == k, all(1.0f));
        if (kForm == qg::kLogits) return taught[k] * teacher.factor;
        return load(block.t[k] + at);
      };
      Floats squares{}, entropy{}, own{}, mass{}, slope{};
      for (int k = 0; k < classes; ++k) {
        const Floats p = e[k] * student.factor, t = target(k);
        mass += t;
        if (kLoss == qg::kSquared) {
          const Floats off = p - t;
          if (kLossWanted) squares += off * off;
          if (kGradWanted) slope += p * off;
        } else if (kLossWanted) {
          const Floats short_of = student.largest - load(block.x[k] + at);
          entropy += kForm == qg::kLabels ? only(label == k, short_of) : t * short_of;
          if (kOwn && kForm == qg::kProbabilities) own += t_log_t(t);
        }
        if (kDice && k > 0) {
          if (kLossWanted) {
            both[k - 1].add(part, kWeighted ? v * p : p, t);
            any[k - 1].add(part, kWeighted ? v * (p + t) : p + t);
          }
          if (kGradWanted) slope = fused(p, fused(t, slopes.both[k - 1], slopes.any[k - 1]), slope);
        }
      }
      if (kLossWanted) {
        Floats l = squares;
        if (kLoss != qg::kSquared) l = entropy + mass * log_of(student.sum);
        if (kOwn && kForm == qg::kProbabilities) l += own;
        if (kOwn && kForm == qg::kLogits) l += teacher.product * teacher.factor - log_of(teacher.sum);
        if (kWeighted)
          loss.add(part, v, l), weight.add(part, v);
        else
          loss.add(part, l);
      }
      if (!kGradWanted) continue;
      for (int k = 0; k < classes; ++k) {
        const Floats p = e[k] * student.factor, t = target(k);
        Floats g{};
        if (kLoss != qg::kSquared) g = (p * mass - t) * slopes.entropy;
        if (kLoss == qg::kSquared) g = p * ((p - t) - slope) * slopes.square;
        if (kDice) g = fused(p, (k > 0 ? fused(t, slopes.both[k - 1], slopes.any[k - 1]) : Floats{}) - slope, g);
        store(block.out[k] + at, kWeighted ? v * g : g);
      }
    }
  }
  if (!kLossWanted) return;
  totals[0] += loss.total();
  totals[1] += kWeighted ? weight.total() : 0;
  if (!kDice) return;
  for (int k = 0; k + 1 < classes; ++k) {
    totals[2 + 2 * k] += both[k].total();
    totals[3 + 2 * k] += any[k].total();
  }
}

}  // namespace QG_NAMESPACE
