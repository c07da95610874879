// Erosion, dilation, opening and closing alone: a mask is packed to bits once, works there and is unpacked once.
#include "../core/morph.h"

#include "masks.h"
#include "strung.h"
#if defined(__AVX512BW__)
#include "chained.h"
#endif

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {

namespace {

// Way: Strung or Chained.
template <class Way>
int morph_as_string(const qg::MorphTask& task) {
  const Way way(task);
  if (way.failed()) return 1;
  const size_t pixels = size_t(task.height) * size_t(task.width);
  const bool large = is_large(task.batch * int64_t(pixels));
  return for_masks(task.batch, task.threads, way.bytes(), [&](int64_t sample, void* memory) {
    const uint8_t* const in = task.in + size_t(sample) * pixels;
    uint8_t* const out = task.out + size_t(sample) * pixels;
    if (large && reinterpret_cast<uintptr_t>(out) % 64 == 0)
      way.template run<true>(in, out, memory);
    else
      way.template run<false>(in, out, memory);
  });
}

}  // namespace

int morph(const qg::MorphTask& task) {
#if defined(__AVX512BW__)
  if (Chained::serves(task)) return morph_as_string<Chained>(task);
#endif
  if (Strung::serves(task)) return morph_as_string<Strung>(task);
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
