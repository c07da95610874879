// Elastic fields alone, one block a mask.
#include "masks.h"
// masks.h first: it says what __device__ is
#include "../core/elastic3.h"
#include "../task.h"

using namespace QG_NAMESPACE;

QG_KERNEL __launch_bounds__(qg::kMostThreads, 1) qg_elastic(QG_PARAMETER qg::ElasticTask task, QG_PARAMETER qg::Work work) {
  QG_DYNAMIC_SHARED(Word, shared);
  const BlockTeam team;
  const Extent extent{task.depth, task.height, task.width};
  const size_t words = plane_words(extent), pixels = size_t(extent.depth) * extent.height * extent.width;
  const Room room = room_of(work, shared, words);
  const int32_t params[] = {task.amplitude, task.smoothness};
  for_samples(team, work, task.batch, [&](unsigned sample) {
    Canvas<Word> canvas = canvas_on(room.planes, extent, task.axes, room.arena, {task.spacing_z, task.spacing_y});
    pack(team, task.in + sample * pixels, 0, canvas.mask);
    elastic(team, canvas, params, Draw{task.seed, uint64_t(task.sample_ids[sample]), 16});
    unpack(team, canvas.mask, task.out + sample * pixels);
  });
}
