// Affine maps alone: a mask is packed to bits once, looked up there and unpacked once.
#include "../core/affine3.h"
#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

// The plane that holds the result.
Plane map_image(const Canvas<uint64_t>& canvas, const int32_t* m, bool truncate) {
  const SerialTeam team;
  const Place place = place_of(team, canvas.mask, canvas.arena);
  if (place.area == 0) return canvas.mask;
  int32_t* const memory = canvas.arena + padded_width(canvas.mask.extent) + canvas.mask.extent.height;
  const Affine map{m[0], m[1], m[2], m[3], m[4], m[5]};
  sample_affine(team, canvas.mask, canvas.spare[0], canvas.spare[1], place.box, map, truncate, memory);
  return canvas.spare[0];
}

Plane map_volume(const Canvas<uint64_t>& canvas, const int32_t* m, bool truncate) {
  const SerialTeam team;
  const Place3 place = place3_of(team, canvas.mask, canvas.arena);
  if (place.area == 0) return canvas.mask;
  Affine3 map;
  for (int k = 0; k < 12; ++k) map.row[k / 4][k % 4] = m[k];
  int32_t* const memory = canvas.arena + AxisCounts::words(canvas.mask.extent);
  sample_affine3(team, canvas.mask, canvas.spare[0], canvas.spare[1], canvas.spare[2], place.box, map, truncate, memory);
  return canvas.spare[0];
}

}  // namespace

int affine(const qg::AffineTask& task) {
  const Extent extent{task.depth, task.height, task.width};
  const size_t pixels = size_t(task.depth) * size_t(task.height) * size_t(task.width), planes = canvas_bytes<uint64_t>(extent);
  const size_t arena = task.axes == 3 ? affine3_arena(extent) : affine_arena(extent);
  const bool large = is_large(task.batch * int64_t(pixels));
  return for_masks(task.batch, task.threads, planes + arena * sizeof(int32_t), [&](int64_t sample, void* memory) {
    int32_t* const behind = reinterpret_cast<int32_t*>(static_cast<char*>(memory) + planes);
    const Canvas<uint64_t> canvas = canvas_on(planes_in(static_cast<uint64_t*>(memory)), extent, task.axes, behind);
    const uint8_t* const in = task.in + size_t(sample) * pixels;
    uint8_t* const out = task.out + size_t(sample) * pixels;
    pack_mask(in, sample + 1 < task.batch ? in + pixels : in, canvas.mask);
    const int32_t* const matrix = task.matrices + sample * task.axes * (task.axes + 1);
    const Plane found = task.axes == 3 ? map_volume(canvas, matrix, task.truncate) : map_image(canvas, matrix, task.truncate);
    unpack_mask(found, canvas.spare[2], large, uint8_t(1), out);
  });
}

}  // namespace QG_NAMESPACE
