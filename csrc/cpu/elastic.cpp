// Elastic fields alone: a mask is packed to bits once, moved there and unpacked once.
#include "../core/elastic3.h"
#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {

int elastic(const qg::ElasticTask& task) {
  const SerialTeam team;
  const Extent extent{task.depth, task.height, task.width};
  const Spacing spacing{task.spacing_z, task.spacing_y};
  const int32_t params[] = {task.amplitude, task.smoothness};
  const size_t pixels = size_t(task.depth) * size_t(task.height) * size_t(task.width), planes = canvas_bytes<uint64_t>(extent);
  const size_t words = task.axes == 3 ? elastic_volume_arena(extent, spacing, params) : elastic_image_arena(extent, task.smoothness);
  const bool large = is_large(task.batch * int64_t(pixels));
  return for_masks(task.batch, task.threads, planes + words * sizeof(int32_t), [&](int64_t sample, void* memory) {
    int32_t* const arena = reinterpret_cast<int32_t*>(static_cast<char*>(memory) + planes);
    Canvas<uint64_t> canvas = canvas_on(planes_in(static_cast<uint64_t*>(memory)), extent, task.axes, arena, spacing);
    const uint8_t* const in = task.in + size_t(sample) * pixels;
    uint8_t* const out = task.out + size_t(sample) * pixels;
    pack_mask(in, sample + 1 < task.batch ? in + pixels : in, canvas.mask);
    elastic(team, canvas, params, Draw{task.seed, uint64_t(task.sample_ids[sample]), 16});
    unpack_mask(canvas.mask, canvas.spare[0], large, uint8_t(1), out);
  });
}

}  // namespace QG_NAMESPACE
