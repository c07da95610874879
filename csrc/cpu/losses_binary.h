// One logit a pixel: p = sigmoid(x).
#pragma once
#include "../core/floats.h"
#include "../task.h"

namespace QG_NAMESPACE {

// What the gradient of a sample's loss is made of, its weight in it:
// dL/dx_k = v (entropy (p_k T - t_k) + p_k (h_k - sum_j p_j h_j)), T = sum_j t_j, with h_k = both_k t_k + any_k for Dice and
// h_k = square (p_k - t_k) for squares. One logit: dL/dx = v (entropy (p - t) + h p (1 - p)).
struct Slopes {
  float entropy, square;
  const float *both, *any;
};

struct BinaryBlock {
  const float *x, *t, *v;  // logits; probabilities or logits of the target; weights
  float* out;
  int n;  // whole steps
};

// t log t, 0 for t = 0.
QG_HD Floats t_log_t(Floats t) { return only(t >= 1.17549435e-38f, t * log_of(larger(t, all(1.17549435e-38f)))); }

// totals: sums of v l, v, v p t and v (p + t) over the pixels seen so far. kKeeps: the forward pass leaves in `out` what the backward
// pass needs of the logits, and that one finds it there.
template <int kLoss, int kForm, bool kWeighted, int kPass, bool kKeeps>
QG_ROW void binary_block(const BinaryBlock& block, const Slopes& slopes, double* totals) {
  constexpr bool kLossWanted = kPass != qg::kBackward, kGradWanted = kPass != qg::kForward;
  constexpr bool kSteep = kGradWanted && kLoss != qg::kDivergence;  // the slope of p is wanted
  constexpr bool kProduct = kLossWanted && kLoss != qg::kSquared && !kWeighted;
  LogOfProduct product[kParts];
  Sum loss, weight, both, any;
  loss.clear(), weight.clear(), both.clear(), any.clear();
  const float dice_both = kLoss == qg::kEntropyDice && kGradWanted ? slopes.both[0] : 0;
  const float dice_any = kLoss == qg::kEntropyDice && kGradWanted ? slopes.any[0] : 0;
  const auto [logits, targets, weights, out, n] = block;
  for (int first = 0; first < n; first += kProduct ? LogOfProduct::kMost * kStep : n) {
    const int end = kProduct && n - first > LogOfProduct::kMost * kStep ? first + LogOfProduct::kMost * kStep : n;
    for (int i = first; i < end; i += kStep) {
      for (int part = 0; part < kParts; ++part) {
        const int at = i + part * kLanes;
        const Floats x = load(logits + at), given = load(targets + at);
        const Floats v = kWeighted ? load(weights + at) : all(1.0f);
        const Sigmoid student = kKeeps && kGradWanted ? Sigmoid::again(load(out + at)) : kSteep ? Sigmoid(x) : Sigmoid::flat(x);
        if (kKeeps && !kGradWanted) store(out + at, student.p);
        const Floats t = kForm == qg::kLogits ? Sigmoid::flat(given).p : given;
        const Floats p = student.p, off = p - t;
        if (kLossWanted) {
          Floats l;
          if (kLoss == qg::kSquared) {
            l = off * off;
          } else {
            l = fused(-x, t, larger(x, Floats{}));
            if (kProduct)
              product[part].times(student.whole, student.e);
            else
              l += student.rest();
            if (kLoss == qg::kDivergence && kForm == qg::kLogits) l += t * given - (larger(given, Floats{}) + Sigmoid::flat(given).rest());
            if (kLoss == qg::kDivergence && kForm == qg::kProbabilities) l += t_log_t(t) + t_log_t(1.0f - t);
          }
          if (kWeighted)
            loss.add(part, v, l), weight.add(part, v);
          else
            loss.add(part, l);
          if (kLoss == qg::kEntropyDice) {
            both.add(part, kWeighted ? v * p : p, t);
            any.add(part, kWeighted ? v * (p + t) : p + t);
          }
        }
        if (kGradWanted) {
          Floats g;
          if (kLoss == qg::kSquared) g = (off * slopes.square) * student.slope;
          if (kLoss == qg::kDivergence) g = off * slopes.entropy;
          if (kLoss == qg::kEntropyDice) g = fused(fused(t, dice_both, dice_any), student.slope, off * slopes.entropy);
          store(out + at, kWeighted ? v * g : g);
        }
      }
    }
    if (kProduct)
      for (int part = 0; part < kParts; ++part) loss.add(part, product[part].taken());
  }
  if (!kLossWanted) return;
  totals[0] += loss.total();
  totals[1] += kWeighted ? weight.total() : 0;
  if (kLoss != qg::kEntropyDice) return;
  totals[2] += both.total();
  totals[3] += any.total();
}

}  // namespace QG_NAMESPACE
