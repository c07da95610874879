// What the CPU kernels take. Each is compiled once per instruction set, in the namespace of that set; bind.cpp chooses one when loaded.
// Plain types only: whatever a header instantiates here would be shared between the sets.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace qg {

struct CorruptTask {
  const uint8_t* in;        // [batch, depth, height, width], nonzero = 1
  uint8_t* out;             // the same shape, 0 or 1
  int32_t* counts;          // [batch, 3]: pixels in both, in out, in in; null where not wanted
  const int32_t* programs;  // [1 or batch, 6, 8], see core/program.h
  bool shared_program;
  int64_t batch;
  int depth, height, width;
  int threads;
};

struct OverlapTask {
  const uint8_t *a, *b;  // [batch, pixels]
  int32_t* counts;       // [batch, classes - 1, 3]: pixels in both, in a, in b
  int classes;           // 2: nonzero = 1; more: labels below `classes`
  int64_t batch, pixels;
  int threads;
};

// 64-byte aligned memory of the calling thread, kept for its next call and at least `bytes` large; null where there is none.
void* scratch(size_t bytes);

// A child that was forked after its parent had used OpenMP's threads hangs in them, so it works alone.
int usable_threads(int wanted);

}  // namespace qg

// Each returns 0, or 1 where there was no memory.
#define QG_DECLARE_KERNELS(isa)             \
  namespace isa {                           \
  int corrupt(const qg::CorruptTask& task); \
  int overlap(const qg::OverlapTask& task); \
  }
