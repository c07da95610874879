// What the CPU kernels take. Each is compiled once per instruction set, in the namespace of that set; bind.cpp chooses one when loaded.
// Plain types only: whatever a header instantiates here would be shared between the sets.
#pragma once
#include "../task.h"

namespace qg {

// 64-byte aligned memory of the calling thread, kept for its next call and at least `bytes` large; null where there is none.
void* scratch(size_t bytes);

// Memory that is about to be written for the first time: on Linux in pages of 2 MiB, where it has some, as NumPy asks for its arrays.
// First touches of small pages can cost more than the work, and large ones save look-ups of addresses ever after.
void large_pages(void* memory, size_t bytes);

// A child that was forked after its parent had used OpenMP's threads hangs in them, so it works alone.
int usable_threads(int wanted);

}  // namespace qg

// Each returns 0, or 1 where there was no memory.
#define QG_DECLARE_KERNELS(isa)                \
  namespace isa {                              \
  int affine(const qg::AffineTask& task);      \
  int augment(const qg::AugmentTask& task);    \
  int corrupt(const qg::CorruptTask& task);    \
  int elastic(const qg::ElasticTask& task);    \
  int losses(const qg::LossTask& task);        \
  int morph(const qg::MorphTask& task);        \
  int overlap(const qg::OverlapTask& task);    \
  int soft_dice(const qg::SoftDiceTask& task); \
  }
