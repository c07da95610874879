// Elastic fields alone: a mask is packed to bits once, moved there and unpacked once.
#include "../core/elastic.h"

#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {

int elastic(const qg::ElasticTask& task) {
  const SerialTeam team;
  const Extent extent{1, task.height, task.width};
  const size_t pixels = size_t(task.height) * size_t(task.width), planes = canvas_bytes<uint64_t>(extent);
  return for_masks(task.batch, task.threads, planes + elastic_arena(extent) * sizeof(int32_t), [&](int64_t sample, void* memory) {
    int32_t* const arena = reinterpret_cast<int32_t*>(static_cast<char*>(memory) + planes);
    Canvas<uint64_t> canvas = canvas_on(static_cast<uint64_t*>(memory), extent, 2, arena);
    const uint8_t* const in = task.in + size_t(sample) * pixels;
    uint8_t* const out = task.out + size_t(sample) * pixels;
    const int32_t params[] = {task.amplitude, task.smoothness};
    pack_mask(in, sample + 1 < task.batch ? in + pixels : in, canvas.mask);
    elastic(team, canvas, params, Draw{task.seed, uint64_t(task.sample_ids[sample]), 16});
    for (int line = 0; line < task.height; ++line) unpack_line(canvas.mask, line, out);
  });
}

}  // namespace QG_NAMESPACE
