// What the kernels of all devices take. Plain types only: whatever a header instantiates here would be shared between instruction sets.
// Pointers are to memory of the device, `threads` is the CPU's alone.
#pragma once
#include "types.h"

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

// Sample i is image index[i] of `count` in the store, changed by what (seed, sample_ids[i]) draws from the tables (core/augment.h).
struct AugmentTask {
  const void* images;    // [count, channels, depth, height, width] of bytes, or of halves in [0, 1]
  const uint8_t* masks;  // [count, depth, height, width] of any labels, or null; of bits [count, mask_planes, bytes] (kernels/reference)
  const int64_t* index;  // [batch], below count
  const int64_t* sample_ids;
  void *weak, *strong;  // [batch, channels, depth, height, width] of out_kind (NumberKind), or channels last; strong may be null
  uint8_t* out_masks;   // [batch, depth, height, width], where there are masks
  const int64_t* geometry;
  const double* looks;  // 10 numbers a view
  const float* scales;  // [2, channels]: what a channel is multiplied by at last, and what is added
  uint64_t seed;
  int64_t batch, count;
  int channels, axes;
  int mask_planes;  // 0: bytes
  int out_kind;     // kFloat, kHalf, kBrain
  bool half_images, normalised, channels_last;
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

// Pixels of a tensor as they lie: any strides, in elements. Axes that follow each other without a gap are told as one.
enum NumberKind { kFloat = 0, kHalf = 1, kBrain = 2, kByte = 3, kSigned = 4, kShort = 5, kInt = 6, kLong = 7 };

struct Plane {
  void* data;  // null: there is none
  int kind;    // NumberKind
  int64_t sample_stride, class_stride;
  int64_t depth, height, width;
  int64_t stride_z, stride_y, stride_x;
};

enum LossKind { kEntropyDice = 0, kSquared = 1, kDivergence = 2 };
enum TargetForm { kLabels = 0, kProbabilities = 1, kLogits = 2 };
enum LossPass { kForward = 0, kBackward = 1, kBoth = 2 };

struct LossTask {
  Plane logits;         // [batch, classes, pixels]; one class: a sigmoid's
  Plane target;         // the same, or labels [batch, pixels]
  Plane pixel_weights;  // [batch, pixels]
  Plane gradient;       // like logits, written by kBackward and kBoth
  int loss, form, pass;
  bool ignores;  // labels `ignored` have no weight
  int32_t ignored;
  int64_t batch, pixels;
  int classes;
  // [batch, 1 + 2 f], f the foreground classes of kEntropyDice, else 0: the pixels' weight, then for each class sum(v p t) and
  // sum(v p) + sum(v t) + eps. Written by kForward, read by kBackward.
  float* sums;
  float* losses;         // [batch], of kForward
  const float* weights;  // [batch]: the gradient is that of sum(weights * losses); null in kForward
  // kBoth alone: sum(weights * losses) / total, and the gradient is its own. Samples without weight are not looked at.
  float* mean;
  const float* total;  // null: sum(weights)
  int threads;
};

struct SoftDiceTask {
  Plane probs;        // [batch, classes, pixels], the foreground alone: class k is label k + 1
  Plane target;       // the same, or labels [batch, pixels]
  Plane probs_grad;   // like probs; null where not wanted
  Plane target_grad;  // like target; null where not wanted
  int form, pass;     // kLabels or kProbabilities; kForward or kBackward
  int64_t batch, pixels;
  int classes;
  float* sums;           // [batch, classes, 2]: sum(p t) and sum(p) + sum(t) + eps
  float* scores;         // [batch, classes]; null in kBackward
  const float* weights;  // [batch, classes]: the gradient is that of sum(weights * scores); null in kForward
  int threads;
};

}  // namespace qg
