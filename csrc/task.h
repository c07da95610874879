// What the kernels of all devices take. Plain types only: whatever a header instantiates here would be shared between instruction sets.
// Pointers are to memory of the device, `threads` is the CPU's alone.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace qg {

struct MorphTask {
  const uint8_t* in;  // [batch, depth, height, width], nonzero = 1
  uint8_t* out;       // the same shape, 0 or 1
  int op, radius;     // erode, dilate, opening or closing, as core/program.h numbers them
  int64_t batch;
  int depth, height, width;
  int threads;
};

// Pixel (x, y) of a result looks at matrix (x, y, 1) of the mask; of volumes likewise (x, y, z, 1).
struct AffineTask {
  const uint8_t* in;        // [batch, depth, height, width], nonzero = 1
  uint8_t* out;             // the same shape, 0 or 1
  const int32_t* matrices;  // [batch, axes, axes + 1], x first, Q16.16
  bool truncate;            // 1 only where all that linear interpolation weighs are 1, else the nearest pixel
  int64_t batch;
  int axes;  // 2: images, depth is 1; 3: volumes
  int depth, height, width;
  int threads;
};

struct ElasticTask {
  const uint8_t* in;          // [batch, depth, height, width], nonzero = 1
  uint8_t* out;               // the same shape, 0 or 1
  int amplitude, smoothness;  // Q16.16 px, up to 64
  uint64_t seed;
  const int64_t* sample_ids;  // [batch]
  int64_t batch;
  int axes;                      // 2: images, depth is 1; 3: volumes
  int32_t spacing_z, spacing_y;  // of voxels, over that along x, in 1/4096
  int depth, height, width;
  int threads;
};

// Masks of other images and of weak models: lines padded to 64 pixels, pixel x in bit x % 8 of byte x / 8. Null where there is no bank.
struct BankTables {
  const uint8_t *truth, *weak;        // [images, classes - 1, lines, 8 ceil(W / 64)], and with snapshots in front
  const int32_t *order, *rank, *low;  // [images], as kernels/reference/bank.py has them
  int32_t donors, snapshots, images;
};

enum OutKind { kUint8 = 0, kFloat32 = 1, kFloat16 = 2, kBfloat16 = 3 };

struct CorruptTask {
  const uint8_t* in;          // [batch, depth, height, width], nonzero = 1, or labels below `classes`
  void* out;                  // the same shape; a mask's pixels lie together
  int out_kind;               // OutKind
  int64_t out_step;           // bytes from one mask of `out` to the next
  int64_t class_step;         // from one class of a mask to the next; 0: one plane for all, of labels
  const void* numbers;        // [256] of `out_kind`: what stands for label k, or for the probability k / 255; null: out is 0 and 1
  uint8_t* errors;            // [batch, classes - 1, depth, height, width], 1 where out differs from in; null where not wanted
  int32_t* counts;            // [batch, classes - 1, 3]: pixels in both, in out, in in
  float* quality;             // [batch, classes - 1]: Dice of out with in, 1 where both are empty
  int32_t* rows;              // [batch, 3]: the rows that were run
  const int32_t* given_rows;  // [batch, 3]: rows to run in place of drawn ones; null: draw
  const int32_t* recipe;      // see core/recipe.h
  uint64_t seed;
  const int64_t* sample_ids;  // [batch]
  const int64_t* image_ids;   // [batch]; null where no row wants the bank
  BankTables bank;
  int64_t batch;
  int classes;                   // 2: nonzero = 1
  int axes;                      // 2: images, depth is 1; 3: volumes
  int32_t spacing_z, spacing_y;  // of voxels, over that along x, in 1/4096
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

}  // namespace qg
