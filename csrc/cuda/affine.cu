// Affine maps alone, one block a mask.
#include "masks.h"
// masks.h first: it says what __device__ is
#include "../core/affine3.h"
#include "../task.h"
#include "lookup.h"

namespace QG_NAMESPACE {
namespace {

// The result lies in spare 0.
QG_PHASE void map_image(const BlockTeam& team, const Canvas<Word>& canvas, const int32_t* m, bool truncate) {
  const Place place = place_of(team, canvas.mask, canvas.arena);
  if (place.area == 0) return copy_plane(team, canvas.mask, canvas.spare[0]);
  int32_t* const memory = canvas.arena + padded_width(canvas.mask.extent) + canvas.mask.extent.height;
  const Affine map{m[0], m[1], m[2], m[3], m[4], m[5]};
  sample_affine(team, canvas.mask, canvas.spare[0], canvas.spare[1], place.box, map, truncate, memory);
}

QG_PHASE void map_volume(const BlockTeam& team, const Canvas<Word>& canvas, const int32_t* m, bool truncate) {
  const Place3 place = place3_of(team, canvas.mask, canvas.arena);
  if (place.area == 0) return copy_plane(team, canvas.mask, canvas.spare[0]);
  Affine3 map;
  for (int k = 0; k < 12; ++k) map.row[k / 4][k % 4] = m[k];
  int32_t* const memory = canvas.arena + AxisCounts::words(canvas.mask.extent);
  sample_affine3(team, canvas.mask, canvas.spare[0], canvas.spare[1], canvas.spare[2], place.box, map, truncate, memory);
}

}  // namespace
}  // namespace QG_NAMESPACE

using namespace QG_NAMESPACE;

QG_KERNEL __launch_bounds__(qg::kMostThreads, 1) qg_affine(QG_PARAMETER qg::AffineTask task, QG_PARAMETER qg::Work work) {
  QG_DYNAMIC_SHARED(Word, shared);
  const BlockTeam team;
  const Extent extent{task.depth, task.height, task.width};
  const size_t words = plane_words(extent), pixels = size_t(extent.depth) * extent.height * extent.width;
  const Room room = room_of(work, shared, words);
  const Canvas<Word> canvas = canvas_on(room.planes, extent, task.axes, room.arena);
  for_samples(team, work, task.batch, [&](unsigned sample) {
    pack(team, task.in + sample * pixels, 0, canvas.mask);
    const int32_t* const matrix = task.matrices + size_t(sample) * task.axes * (task.axes + 1);
    if (task.axes == 3)
      map_volume(team, canvas, matrix, task.truncate);
    else
      map_image(team, canvas, matrix, task.truncate);
    unpack(team, canvas.spare[0], task.out + sample * pixels);
  });
}
