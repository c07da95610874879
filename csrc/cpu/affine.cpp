// Affine maps alone: a mask is packed to bits once, looked up there and unpacked once.
#include "../core/affine.h"

#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

Affine map_of(const int32_t* matrix) { return {matrix[0], matrix[1], matrix[2], matrix[3], matrix[4], matrix[5]}; }

}  // namespace

int affine(const qg::AffineTask& task) {
  const SerialTeam team;
  const Extent extent{1, task.height, task.width};
  const size_t pixels = size_t(task.height) * size_t(task.width);
  const size_t planes = canvas_bytes<uint64_t>(extent), counts = size_t(padded_width(extent)) + size_t(task.height);
  return for_masks(task.batch, task.threads, planes + affine_arena(extent) * sizeof(int32_t), [&](int64_t sample, void* memory) {
    int32_t* const arena = reinterpret_cast<int32_t*>(static_cast<char*>(memory) + planes);
    const Canvas<uint64_t> canvas = canvas_on(static_cast<uint64_t*>(memory), extent, 2, arena);
    const uint8_t* const in = task.in + size_t(sample) * pixels;
    uint8_t* const out = task.out + size_t(sample) * pixels;
    pack_mask(in, sample + 1 < task.batch ? in + pixels : in, canvas.mask);
    const Place place = place_of(team, canvas.mask, arena);
    Bits<uint64_t> found = canvas.mask;
    if (place.area) {
      found = canvas.spare[0];
      sample_affine(team, canvas.mask, found, canvas.spare[1], place.box, map_of(task.matrices + 6 * sample), task.truncate,
                    arena + counts);
    }
    for (int line = 0; line < task.height; ++line) unpack_line(found, line, out);
  });
}

}  // namespace QG_NAMESPACE
