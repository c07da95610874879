// The numbers of operations, as recipes/operations.py has them.
#pragma once
#include "common.h"

namespace QG_NAMESPACE {

// Eight numbers a family.
enum Op : int32_t {
  kErode = 0,
  kDilate = 1,
  kOpening = 2,
  kClosing = 3,
  kJagged = 8,
  kSmooth = 9,
  kShift = 16,
  kAffine = 17,
  kGrid = 18,
  kElastic = 19,
  kHoles = 24,
  kIslands = 25,
  kHolesAndIslands = 26,
  kRectDropout = 27,
  kEllipse = 32,
  kPolygon = 33,
  kConvexHull = 34,
  kBoundingBox = 35,
  kCircularBlob = 36,
  kGaussianBlob = 37,
  kLargestOnly = 40,
  kDropComponent = 41,
  kInvert = 48,
  kEmpty = 49,
  kFull = 50,
  kRandom = 51,
  kNothing = 52,
  kFromOther = 56,
  kFromWeak = 57,
  kSwapLabels = 64,
  kLeak = 65,
};

QG_HD bool known_op(int32_t op) {
  return (op >= kErode && op <= kClosing) || (op >= kJagged && op <= kSmooth) || (op >= kShift && op <= kElastic) ||
         (op >= kHoles && op <= kRectDropout) || (op >= kEllipse && op <= kGaussianBlob) || (op >= kLargestOnly && op <= kDropComponent) ||
         (op >= kInvert && op <= kNothing) || op == kFromOther || op == kFromWeak || op == kSwapLabels || op == kLeak;
}

}  // namespace QG_NAMESPACE
