// The tasks of losses made of what Python gives, checked.
#pragma once
#include "validate.h"

namespace qg {

// data, kind, strides of sample, class, z, y, x; zeros where there is no tensor
using PlaneNumbers = std::array<int64_t, 7>;
// loss, form, pass, whether labels are ignored, which
using LossNumbers = std::array<int64_t, 5>;
// batch, classes, depth, height, width
using LossSize = std::array<int64_t, 5>;

inline Plane plane_of(const PlaneNumbers& numbers, const LossSize& size, bool labels, const char* name) {
  const auto [data, kind, sample, k, z, y, x] = numbers;
  Plane plane{at<void>(data), int(kind), sample, k, size[2], size[3], size[4], z, y, x};
  if (!data) return plane;
  require(labels ? kind >= kByte && kind <= kLong : kind >= kFloat && kind <= kBrain, std::string(name) + " has no known kind of numbers");
  // Axes that follow each other become one, so that a block is not cut at the ends of lines.
  if (plane.height == 1 || plane.stride_y == plane.width * plane.stride_x) {
    plane.width *= plane.height;
    plane.height = 1;
    if (plane.depth == 1 || plane.stride_z == plane.width * plane.stride_x) {
      plane.width *= plane.depth;
      plane.depth = 1;
    }
  }
  return plane;
}

inline void check_loss_size(const LossSize& size) {
  const auto [batch, classes, depth, height, width] = size;
  require(batch >= 0 && depth >= 1 && height >= 1 && width >= 1, "sides must be >= 1");
  require(classes >= 1 && classes <= 255, "classes must be in 1..255");
  const int64_t most = int64_t(1) << 40;
  require(depth <= most / height && depth * height <= most / width, "a sample must have up to 2^40 pixels");
}

inline LossTask loss_task(const PlaneNumbers& logits, const PlaneNumbers& target, const PlaneNumbers& pixel_weights,
                          const PlaneNumbers& gradient, const LossNumbers& numbers, const LossSize& size, uintptr_t sums, uintptr_t losses,
                          uintptr_t weights, uintptr_t mean, uintptr_t total) {
  const auto [loss, form, pass, ignores, ignored] = numbers;
  check_loss_size(size);
  require(loss >= kEntropyDice && loss <= kDivergence, "loss must be 0..2");
  require(form >= kLabels && form <= kLogits, "form must be 0..2");
  require(pass >= kForward && pass <= kBoth, "pass must be 0..2");
  require(!ignores || form == kLabels, "labels alone can be ignored");
  require(pass != kBoth || (!pixel_weights[0] && !ignores), "loss and gradient together need pixels of the same weight");
  check_pointer(uintptr_t(logits[0]), size[0], "logits");
  check_pointer(uintptr_t(target[0]), size[0], "target");
  if (pass != kBoth) check_pointer(sums, size[0], "sums");
  if (pass == kForward) check_pointer(losses, size[0], "losses");
  if (pass == kBoth) check_pointer(mean, 1, "mean");
  if (pass != kForward) {
    check_pointer(weights, size[0], "weights");
    check_pointer(uintptr_t(gradient[0]), size[0], "gradient");
  }
  LossTask task{};
  task.logits = plane_of(logits, size, false, "logits");
  task.target = plane_of(target, size, form == kLabels, "target");
  task.pixel_weights = plane_of(pixel_weights, size, false, "pixel_weights");
  task.gradient = plane_of(gradient, size, false, "gradient");
  task.loss = int(loss);
  task.form = int(form);
  task.pass = int(pass);
  task.ignores = ignores != 0 && ignored == int32_t(ignored);
  task.ignored = int32_t(ignored);
  task.batch = size[0];
  task.pixels = size[2] * size[3] * size[4];
  task.classes = int(size[1]);
  task.sums = pass == kBoth ? nullptr : at<float>(sums);
  task.losses = pass == kForward ? at<float>(losses) : nullptr;
  task.weights = pass == kForward ? nullptr : at<const float>(weights);
  task.mean = pass == kBoth ? at<float>(mean) : nullptr;
  task.total = pass == kBoth ? at<const float>(total) : nullptr;
  task.threads = 1;
  return task;
}

inline SoftDiceTask soft_dice_task(const PlaneNumbers& probs, const PlaneNumbers& target, const PlaneNumbers& probs_grad,
                                   const PlaneNumbers& target_grad, int form, int pass, const LossSize& size, uintptr_t sums,
                                   uintptr_t scores, uintptr_t weights) {
  check_loss_size(size);
  require(form == kLabels || form == kProbabilities, "form must be 0 or 1");
  require(pass == kForward || pass == kBackward, "pass must be 0 or 1");
  require(form != kLabels || !target_grad[0], "labels have no gradient");
  check_pointer(uintptr_t(probs[0]), size[0], "probs");
  check_pointer(uintptr_t(target[0]), size[0], "target");
  check_pointer(sums, size[0], "sums");
  check_pointer(pass == kForward ? scores : weights, size[0], pass == kForward ? "scores" : "weights");
  SoftDiceTask task{};
  task.probs = plane_of(probs, size, false, "probs");
  task.target = plane_of(target, size, form == kLabels, "target");
  task.probs_grad = plane_of(probs_grad, size, false, "probs_grad");
  task.target_grad = plane_of(target_grad, size, false, "target_grad");
  task.form = form;
  task.pass = pass;
  task.batch = size[0];
  task.pixels = size[2] * size[3] * size[4];
  task.classes = int(size[1]);
  task.sums = at<float>(sums);
  task.scores = at<float>(scores);
  task.weights = at<const float>(weights);
  task.threads = 1;
  return task;
}

}  // namespace qg
