// A sample's corruption as data: up to six primitive steps, each an operation and seven integer arguments, and what runs them on a mask's
// bits. Drawing a recipe's rows yields such a program (opening is erode, dilate), so a family adds its steps here and nowhere else.
#pragma once
#include "morph.h"

namespace QG_NAMESPACE {

constexpr int kMaxSteps = 6, kMaxArguments = 7;

struct Step {
  int32_t op;
  int32_t argument[kMaxArguments];
};
struct Program {
  Step step[kMaxSteps];
};
static_assert(sizeof(Program) == kMaxSteps * (1 + kMaxArguments) * sizeof(int32_t), "programs are int32 [6, 8] outside");

// Sixteen numbers a family. Arguments behind each.
enum Op : int32_t {
  kEnd = 0,
  kErode = 16,   // radius
  kDilate = 17,  // radius
};

// What a program works on: the mask as it came in (only where it is needed), as it is now, and scratch.
template <class Word>
struct Canvas {
  Bits<Word> truth, mask, spare;
};

// The first step that cannot be run (an unknown operation, an argument out of range), -1 where there is none.
QG_HD int wrong_step(const Program& program) {
  for (int s = 0; s < kMaxSteps; ++s) {
    const Step& step = program.step[s];
    switch (step.op) {
      case kEnd:
        return -1;
      case kErode:
      case kDilate:
        if (step.argument[0] < 0) return s;
        break;
      default:
        return s;
    }
  }
  return -1;
}

template <class Team, class Word>
QG_HD void run(const Team& team, const Program& program, Canvas<Word>& canvas) {
  for (int s = 0; s < kMaxSteps; ++s) {
    const Step& step = program.step[s];
    switch (step.op) {
      case kErode:
        morph<true>(team, canvas.mask, canvas.spare, step.argument[0]);
        break;
      case kDilate:
        morph<false>(team, canvas.mask, canvas.spare, step.argument[0]);
        break;
      default:
        return;
    }
  }
}

}  // namespace QG_NAMESPACE
