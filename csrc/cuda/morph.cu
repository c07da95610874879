// Erosion, dilation, opening and closing alone, one block a mask.
#include "masks.h"
// masks.h first: it says what __device__ is
#include "../core/morph.h"
#include "../task.h"

using namespace QG_NAMESPACE;

QG_KERNEL __launch_bounds__(qg::kMostThreads, 2) qg_morph(QG_PARAMETER qg::MorphTask task, QG_PARAMETER qg::Work work) {
  QG_DYNAMIC_SHARED(Word, shared);
  const BlockTeam team;
  const Extent extent{task.depth, task.height, task.width};
  const Bits<Word> plane{nullptr, extent, column_stride<Word>(extent)};
  const size_t words = size_t(plane.words()), pixels = size_t(plane.lines()) * task.width;
  const Planes<Word> planes = room_of(work, shared, words).planes;
  for_samples(team, work, task.batch, [&](unsigned sample) {
    Bits<Word> mask = plane, spare = plane;
    mask.word = planes.at(0, words);
    spare.word = planes.at(1, words);
    pack(team, task.in + sample * pixels, 0, mask);
    morph_by(team, mask, spare, task.op, all_ways(task.radius));
    unpack(team, mask, task.out + sample * pixels);
  });
}
