// Erosion, dilation, opening and closing alone: a mask is packed to bits once, works there and is unpacked once.
#include "../core/morph.h"

#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {

int morph(const qg::MorphTask& task) {
  const SerialTeam team;
  const Extent extent{task.depth, task.height, task.width};
  const Plane plane{nullptr, extent, column_stride<uint64_t>(extent)};
  const size_t words = size_t(plane.words()), pixels = pixels_of(plane);
  const bool large = is_large(task.batch * int64_t(pixels));
  return for_masks(task.batch, task.threads, 2 * words * sizeof(uint64_t), [&](int64_t sample, void* memory) {
    Plane mask = plane, spare = plane;
    mask.word = static_cast<uint64_t*>(memory);
    spare.word = mask.word + words;
    const uint8_t* const in = task.in + size_t(sample) * pixels;
    uint8_t* const out = task.out + size_t(sample) * pixels;
    pack_mask(in, sample + 1 < task.batch ? in + pixels : in, mask);
    morph_by(team, mask, spare, task.op, all_ways(task.radius));
    unpack_mask(mask, spare, large, uint8_t(1), out);
  });
}

}  // namespace QG_NAMESPACE
