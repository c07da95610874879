// Augmentation: a sample is gathered from the store, moved, and given its looks while it lies in L2.
#include "../core/augment.h"

#include <string.h>

#include "augment_ends.h"
#include "augment_looks.h"
#include "augment_move.h"
#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

struct Sizes {
  Extent extent;
  size_t plane, pixels, bytes;  // of one slice, of one channel; bytes of one plane of bits
  int channels, padded;         // a row in whole vectors
  bool apart;                   // whether results are made in memory of their own and finished from there
  explicit Sizes(const qg::AugmentTask& task)
      : extent{task.depth, task.height, task.width},
        plane(size_t(task.height) * size_t(task.width)),
        pixels(plane * size_t(task.depth)),
        bytes((pixels + 7) / 8),
        channels(task.channels),
        padded((task.width + 31) / 16 * 16),
        apart(task.normalised || task.out_kind != qg::kFloat || task.channels_last) {}
  size_t numbers() const { return pixels * size_t(channels); }
};

// What a thread needs for a sample: parts of one block, each starting at a multiple of 64 bytes.
struct Scratch {
  RowPlaces places;
  uint32_t* words;
  float *ring, *edge, *matrix, *view, *second, *halves;
  uint8_t *labels, *label_row;
  size_t size = 0;

  Scratch(void* memory, const Sizes& s, const qg::AugmentTask& task) {
    const auto take = [&](auto*& pointer, size_t count) {
      pointer = reinterpret_cast<decltype(+pointer)>(uintptr_t(memory) + size);  // no memory: only its size is wanted
      size += (count * sizeof(*pointer) + 63) / 64 * 64;
    };
    const size_t row_size = size_t(s.padded), channels = size_t(s.channels);
    int32_t** const of_places[] = {&places.at, &places.across, &places.along};
    for (int32_t** const found : of_places) take(*found, row_size);
    take(words, task.half_images ? 0 : s.plane + 16);
    take(ring, row_size * kMostTaps);
    take(edge, 6 * kStep + kMostTaps);
    take(matrix, channels * (channels + 1));
    take(view, s.apart ? s.numbers() : 0);
    take(second, s.apart && task.strong ? s.numbers() : 0);
    take(halves, task.half_images ? s.pixels : 0);
    take(label_row, row_size);
    take(labels, task.mask_planes ? 8 * s.bytes : 0);
  }
};

#define QG_INLINE __attribute__((always_inline))

QG_HD float at_most_one(float v) { return v < 1 ? v : 1.0f; }

// One sample on its way: where it comes from and where it goes.
struct Moving {
  const qg::AugmentTask& task;
  const Sizes& s;
  const SourceMap& map;
  const Scratch& scratch;
  int64_t from, sample;
  float* out;

  int64_t slice(int z) const { return task.axes == 3 ? reflected(map.row[0][0] * z + map.row[0][3] + kOne / 2, s.extent.depth) : 0; }
  size_t line(int z, int y) const { return size_t(z) * s.plane + size_t(y) * size_t(s.extent.width); }
  const uint8_t* channel(int c) const {
    return static_cast<const uint8_t*>(task.images) + (size_t(from) * size_t(s.channels) + size_t(c)) * s.pixels;
  }

  const uint8_t* labels() const {
    if (!task.mask_planes) return task.masks + size_t(from) * s.pixels;
    const size_t stride = size_t(task.mask_planes) * s.bytes;
    unpack_bits(task.masks + size_t(from) * stride, task.mask_planes, s.pixels, scratch.labels);
    return scratch.labels;
  }

  // Flips: rows of bytes, from either end.
  void flip() const {
    const float scale = float(1.0 / 255.0);
    const int height = s.extent.height, width = s.extent.width;
    const uint8_t* const mask = task.masks ? labels() : nullptr;
    for (int z = 0; z < s.extent.depth; ++z)
      for (int y = 0; y < height; ++y) {
        const bool turned = map.row[2][2] < 0;
        const int from_y = map.row[1][1] < 0 ? height - 1 - y : y;
        const size_t source = line(map.row[0][0] < 0 ? s.extent.depth - 1 - z : z, from_y);
        if (mask)
          row_in_order(mask + source, width, turned, task.out_masks + size_t(sample) * s.pixels + line(z, y), [](uint8_t v) { return v; });
        for (int c = 0; c < s.channels; ++c)
          row_in_order(channel(c) + source, width, turned, out + size_t(c) * s.pixels + line(z, y),
                       [=](uint8_t v) __attribute__((always_inline)) { return at_most_one(float(v) * scale); });
      }
  }

  void masks() const {
    const uint8_t* const mask = labels();
    for (int z = 0; z < s.extent.depth; ++z)
      for (int y = 0; y < s.extent.height; ++y) {
        row_places(map, y, s.extent, scratch.places);
        nearest_row(mask + size_t(slice(z) >> 16) * s.plane, s.extent, scratch.places, labels_out(z, y));
      }
  }

  uint8_t* labels_out(int z, int y) const { return task.out_masks + size_t(sample) * s.pixels + line(z, y); }

  // Up to four channels of an image, or up to two of the two slices that a slice of a volume lies between; with the last of them the mask,
  // where a plane is left for it.
  void bytes() const {
    const bool deep = task.axes == 3;
    const int at_once = deep ? kPlanes / 2 : kPlanes;
    const uint8_t* const mask = task.masks ? labels() : nullptr;
    for (int z = 0; z < s.extent.depth; ++z) {
      const int64_t tz = slice(z);
      const Pair along_z = deep ? pair_of(tz, s.extent.depth) : Pair{0, 0};
      const uint8_t* const labelled = mask ? mask + size_t(tz >> 16) * s.plane : nullptr;
      for (int first = 0; first < s.channels; first += at_once) {
        const int count = min_of(at_once, s.channels - first);
        const bool last = first + count == s.channels, beside = labelled && last && count < at_once;
        const uint8_t* planes[kPlanes] = {};
        for (int c = 0; c < count; ++c) {
          const uint8_t* const plane = channel(first + c) + size_t(along_z.first) * s.plane;
          planes[deep ? 2 * c : c] = plane;
          if (deep) planes[2 * c + 1] = plane + (along_z.part ? s.plane : 0);
        }
        if (beside) planes[kPlanes - 1] = labelled;
        interleave(planes, s.plane, scratch.words);
        for (int y = 0; y < s.extent.height; ++y) {
          row_places(map, y, s.extent, scratch.places);
          if (deep)
            deep_row(first, count, z, y, along_z.part, beside);
          else
            flat_row(first, count, y, beside);
          if (beside) memcpy(labels_out(z, y), scratch.label_row, size_t(s.extent.width));
          if (labelled && last && !beside) nearest_row(labelled, s.extent, scratch.places, labels_out(z, y));
        }
      }
    }
  }

  QG_HD void put(int c, int z, int y, int x, Floats v) const {
    const int left = s.extent.width - x;
    float* const to = out + size_t(c) * s.pixels + line(z, y) + x;
    const Floats held = select(v < 1.0f, v, all(1.0f));
    left >= kLanes ? store(to, held) : store_some(to, held, left);
  }

  __attribute__((noinline)) void flat_row(int first, int count, int y, bool beside) const {
    const Floats scale = all(float(1.0 / (255.0 * 65536.0)));
    gather_row(scratch.words, s.extent, scratch.places, beside ? scratch.label_row : nullptr, [&](int x, const Ints* sums) QG_INLINE {
      for (int c = 0; c < kPlanes; ++c)
        if (c < count) put(first + c, 0, y, x, __builtin_convertvector(sums[c], Floats) * scale);
    });
  }

  __attribute__((noinline)) void deep_row(int first, int count, int z, int y, int far, bool beside) const {
    const Floats scale = all(float(1.0 / (255.0 * 16777216.0)));
    gather_row(scratch.words, s.extent, scratch.places, beside ? scratch.label_row : nullptr, [&](int x, const Ints* sums) QG_INLINE {
      for (int c = 0; c < kPlanes / 2; ++c) {
        if (c >= count) continue;
        typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
        const Words near = reinterpret_cast<Words>(sums[2 * c]), next = reinterpret_cast<Words>(sums[2 * c + 1]);
        const Words sum = near * uint32_t(256 - far) + next * uint32_t(far);  // up to 255 2^24
        put(first + c, z, y, x, __builtin_convertvector(sum, Floats) * scale);
      }
    });
  }

  // Images in half precision: the same weights, in floats.
  void halves() const {
    const bool deep = task.axes == 3;
    const int width = s.extent.width, right = width > 1 ? 1 : 0, below = s.extent.height > 1 ? width : 0;
    const RowPlaces& places = scratch.places;
    if (task.masks) masks();
    for (int c = 0; c < s.channels; ++c) {
      const uint16_t* const stored = static_cast<const uint16_t*>(task.images) + (size_t(from) * size_t(s.channels) + size_t(c)) * s.pixels;
      QG_LANES for (size_t p = 0; p < s.pixels; ++p) scratch.halves[p] = half_to_float(stored[p]);
      for (int z = 0; z < s.extent.depth; ++z) {
        const Pair along_z = deep ? pair_of(slice(z), s.extent.depth) : Pair{0, 0};
        const float far = float(along_z.part), near = 256 - far;
        const float *const plane = scratch.halves + size_t(along_z.first) * s.plane, *const next = plane + (along_z.part ? s.plane : 0);
        for (int y = 0; y < s.extent.height; ++y) {
          row_places(map, y, s.extent, places);
          float* const to = out + size_t(c) * s.pixels + line(z, y);
          const auto four = [=](const float* p, int x) __attribute__((always_inline)) {
            const float a = float(places.across[x] & 0xFFFF), b = float(places.across[x] >> 16), down = float(places.along[x]);
            return (p[0] * a + p[right] * b) * (256 - down) + (p[below] * a + p[below + right] * b) * down;
          };
          for (int x = 0; x < width; ++x) {
            const float sum = four(plane + places.at[x], x) * 0x1p-16f;
            const float both = deep ? (sum * near + four(next + places.at[x], x) * 0x1p-16f * far) * 0x1p-8f : sum;
            to[x] = at_most_one(both < 0 ? 0.0f : both);
          }
        }
      }
    }
  }

  void move() const {
    if (task.half_images)
      halves();
    else if (flips_only(map, s.extent))
      flip();
    else
      bytes();
  }
};

void give_look(const qg::AugmentTask& task, const Sizes& s, int view, int64_t id, const Scratch& scratch, float* image) {
  const LookTable table{task.looks + 10 * view};
  const Draw draw{task.seed, uint64_t(id), kLookStream + uint32_t(view)};
  const Look look = look_of(table, draw);
  float taps[kMostTaps];
  const int wanted = int(__builtin_ceilf(2.5f * table.blur())), radius = wanted < 1 ? 1 : wanted;
  const int reach = look.blurs ? blur_taps(look.sigma, radius, taps) : 0;
  for (int c = 0; c < s.channels; ++c) {  // a channel is still in L2 when its mean is wanted
    float* const channel = image + size_t(c) * s.pixels;
    if (reach) blur_volume(channel, s.extent, taps + radius, reach, scratch.ring, scratch.edge, s.padded);
    const bool meant = look.colours && look.contrast != 1.0f;
    scratch.matrix[c * (s.channels + 1)] = meant ? float(sum_of(channel, s.pixels) / double(s.pixels)) : 0.0f;
  }
  if (look.colours) colour_matrix(s.channels, look, table.strength(3), draw, scratch.matrix);
  const float exponent = __builtin_expf(look.gamma);
  const auto colours = [&](size_t begin, size_t count) {
    const auto change = [&](auto power) {
      constexpr bool kPower = decltype(power)::value != 0;
      (s.channels == 3   ? colour_pixels<3, kPower>
       : s.channels == 1 ? colour_pixels<1, kPower>
                         : colour_pixels<0, kPower>)(image + begin, s.pixels, count, s.channels, scratch.matrix, exponent);
    };
    exponent == 1.0f ? change(Whole<0>{}) : change(Whole<1>{});
  };
  const Draw grain{task.seed, uint64_t(id), kNoiseStream + uint32_t(view)};
  // Colours and noise of as many pixels as L1 holds, where a channel begins with a whole block of noise.
  const bool together = s.pixels % kGrain == 0;
  const size_t most = together ? size_t(max_of(1, 16 / s.channels)) * kGrain : s.pixels;
  for (size_t begin = 0; begin < s.pixels; begin += most) {
    const size_t count = s.pixels - begin < most ? s.pixels - begin : most;
    if (look.colours) colours(begin, count);
    if (look.noise > 0 && together)
      for (size_t at = begin; at < s.numbers(); at += s.pixels) add_noise(image + at, at, count, look.noise, grain);
  }
  if (look.noise > 0 && !together) add_noise(image, 0, s.numbers(), look.noise, grain);
}

}  // namespace

int augment(const qg::AugmentTask& task) {
  const Sizes s(task);
  const GeometryTable geometry{task.geometry};
  const size_t item = task.out_kind == qg::kFloat ? 4 : 2;
  const auto place = [&](void* base, int64_t sample) { return static_cast<char*>(base) + size_t(sample) * s.numbers() * item; };
  return for_masks(task.batch, task.threads, Scratch(nullptr, s, task).size, [&](int64_t sample, void* memory) {
    const Scratch scratch(memory, s, task);
    const int64_t id = task.sample_ids[sample];
    const SourceMap map = source_map(geometry, Draw{task.seed, uint64_t(id), kGeometryStream}, s.extent, task.axes);
    const auto start = [&](void* base, float* apart) { return s.apart ? apart : reinterpret_cast<float*>(place(base, sample)); };
    const auto end = [&](void* base, const float* made) {
      if (s.apart) finish(made, s.pixels, s.channels, task.scales, task.channels_last, task.out_kind, place(base, sample));
    };
    float* const weak = start(task.weak, scratch.view);
    Moving{task, s, map, scratch, task.index[sample], sample, weak}.move();
    if (task.strong) {
      float* const strong = start(task.strong, scratch.second);
      memcpy(strong, weak, s.numbers() * sizeof(float));
      give_look(task, s, 1, id, scratch, strong);
      end(task.strong, strong);
    }
    give_look(task, s, 0, id, scratch, weak);
    end(task.weak, weak);
  });
}

}  // namespace QG_NAMESPACE
