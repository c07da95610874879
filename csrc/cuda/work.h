// Where the blocks of a kernel work that takes masks one by one. Plain types: the host fills it in, the kernel reads it.
#pragma once
#include "../types.h"

namespace qg {

struct Work {
  uint32_t* scratch;   // kCounterWords, then `words` for each block; null where shared memory holds all
  int64_t words;       // a block's, in global memory: planes, then the arena unless that is near
  int32_t planes;      // of a block,
  int32_t near_count;  // those of them in shared memory
  int32_t near_arena;  // whether the arena lies behind these
};

constexpr int kCounterWords = 4;  // the first counts the masks that have been handed out; a block's words stay 16-byte aligned

// Registers for one processor's threads at a time, 128 each; the most that a block of such a kernel can have.
constexpr int kMostThreads = 512;

}  // namespace qg
