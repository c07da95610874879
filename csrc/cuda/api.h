// What the CUDA kernels take; pointers are to device memory. Each returns a cudaError_t as int.
#pragma once
#include <stdint.h>

#include "../core/program.h"

namespace qg {

struct CudaCorruptTask {
  const uint8_t* in;        // [batch, depth, height, width], nonzero = 1
  uint8_t* out;             // the same shape, 0 or 1
  int32_t* counts;          // [batch, 3]: pixels in both, in out, in in; null where not wanted
  const int32_t* programs;  // [batch, 6, 8], see core/program.h; null: `shared` serves all
  int32_t shared[QG_NAMESPACE::kMaxSteps * (1 + QG_NAMESPACE::kMaxArguments)];
  int64_t batch;
  int depth, height, width;
  uint32_t* scratch;  // bit planes of masks too large for shared memory: as many words as corrupt_scratch_words says
  int64_t scratch_words;
};

// Words of scratch that `corrupt` wants for masks of this size on the current device; 0 where shared memory holds them.
int corrupt_scratch_words(int64_t batch, int depth, int height, int width, int planes, int64_t* words);
int corrupt(const CudaCorruptTask& task, void* stream);

// a, b: [batch, pixels]; counts: int32 [batch, classes - 1, 3]. Two classes: nonzero = 1; more: labels.
int overlap(const uint8_t* a, const uint8_t* b, int32_t* counts, int classes, int64_t batch, int64_t pixels, void* stream);

const char* error_name(int error);

}  // namespace qg
