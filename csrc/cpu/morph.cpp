// Erosion, dilation, opening and closing alone: a mask is packed to bits once, works there and is unpacked once.
#include "../core/morph.h"

#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {

int morph(const qg::MorphTask& task) {
  const SerialTeam team;
  const Extent extent{task.depth, task.height, task.width};
  Bits<uint64_t> plane{nullptr, extent, column_stride<uint64_t>(extent)};
  const size_t words = size_t(plane.words()), pixels = size_t(plane.lines()) * size_t(task.width);
  return for_masks(task.batch, task.threads, 2 * words * sizeof(uint64_t), [&](int64_t sample, void* memory) {
    Bits<uint64_t> mask = plane, spare = plane;
    mask.word = static_cast<uint64_t*>(memory);
    spare.word = mask.word + words;
    const uint8_t* const in = task.in + size_t(sample) * pixels;
    uint8_t* const out = task.out + size_t(sample) * pixels;
    pack_mask(in, sample + 1 < task.batch ? in + pixels : in, mask);
    morph_by(team, mask, spare, task.op, all_ways(task.radius));
    for (int line = 0; line < plane.lines(); ++line) unpack_line(mask, line, out);
  });
}

}  // namespace QG_NAMESPACE
