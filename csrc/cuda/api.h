// What the CUDA kernels take; pointers are to device memory. Each returns a cudaError_t as int.
#pragma once
#include "../task.h"

namespace qg {

// Bit planes and arenas of masks that shared memory cannot hold: as many words as the kernel's *_scratch says, 0 where it can.
struct Scratch {
  uint32_t* memory;
  int64_t words;
};

int morph_scratch(int64_t batch, int depth, int height, int width, int64_t* words);
int morph(const MorphTask& task, const Scratch& scratch, void* stream);

// What a block of `corrupt` works on, in bytes; here the recipe lies in the host's memory.
int64_t corrupt_bytes(const CorruptTask& task);
int corrupt_scratch(int64_t batch, int64_t block_bytes, int64_t* words);
int corrupt(const CorruptTask& task, int64_t block_bytes, const Scratch& scratch, void* stream);

int overlap(const OverlapTask& task, void* stream);

const char* error_name(int error);

}  // namespace qg
