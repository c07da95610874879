// Augmentation: a sample is gathered from the store, moved, and given its looks while it lies in L2.
#include "../core/augment.h"

#include <string.h>

#include "augment_rows.h"
#include "masks.h"

QG_DECLARE_KERNELS(QG_NAMESPACE)

namespace QG_NAMESPACE {
namespace {

struct Sizes {
  Extent extent;
  size_t plane, pixels;  // of one slice, of one channel
  int channels, padded;  // a row in whole vectors
  explicit Sizes(const qg::AugmentTask& task)
      : extent{task.depth, task.height, task.width},
        plane(size_t(task.height) * size_t(task.width)),
        pixels(plane * size_t(task.depth)),
        channels(task.channels),
        padded((task.width + 31) / 16 * 16) {}
  size_t floats() const {  // of Scratch, and 64 bytes behind the copied plane
    const size_t lines = size_t(extent.height > extent.depth ? extent.height : extent.depth);
    return size_t(padded) * (8 + size_t(channels)) + size_t(channels) * size_t(channels + 1) + lines * size_t(extent.width) + 256 +
           (plane + 64) / 2;
  }
};

struct Scratch {
  RowPlaces places;
  int32_t *total, *other;
  float *lines, *rows, *matrix;
  uint8_t* copies;
  Scratch(void* memory, const Sizes& s) {
    int32_t* at = static_cast<int32_t*>(memory);
    int32_t** const all[] = {&places.at, &places.near, &places.across, &places.along, &total, &other};
    for (int32_t** const row : all) {
      *row = at;
      at += s.padded;
    }
    rows = reinterpret_cast<float*>(at);
    matrix = rows + size_t(s.padded) * size_t(s.channels + 2);
    lines = matrix + size_t(s.channels) * size_t(s.channels + 1) + 64;
    const size_t most = size_t(s.extent.height > s.extent.depth ? s.extent.height : s.extent.depth);
    copies = reinterpret_cast<uint8_t*>(lines + most * size_t(s.extent.width) + 64);
  }
};

QG_HD float at_most_one(float v) { return v < 1 ? v : 1.0f; }

// Moves all channels of one sample to `out`, and its mask.
void move(const qg::AugmentTask& task, const Sizes& s, const SourceMap& map, int64_t from, int64_t sample, const Scratch& scratch,
          float* out) {
  const uint8_t* const image = task.images + size_t(from) * s.pixels * size_t(s.channels);
  const uint8_t* const end = task.images + size_t(task.count) * s.pixels * size_t(s.channels);
  const int height = s.extent.height, width = s.extent.width, depth = s.extent.depth;
  const float scale = depth > 1 || task.axes == 3 ? float(1.0 / (255.0 * 16777216.0)) : float(1.0 / (255.0 * 65536.0));
  for (int z = 0; z < depth; ++z) {
    const int64_t tz = reflected(map.row[0][0] * z + map.row[0][3] + kOne / 2, depth);
    const Pair along_z = task.axes == 3 ? pair_of(tz, depth) : Pair{0, 0};
    for (int y = 0; y < height; ++y) {
      row_places(map, y, s.extent, scratch.places);
      if (task.masks) {
        const uint8_t* const mask = task.masks + size_t(from) * s.pixels + size_t(tz >> 16) * s.plane;
        uint8_t* const to = task.out_masks + (size_t(sample) * size_t(depth) + size_t(z)) * s.plane + size_t(y) * size_t(width);
        for (int x = 0; x < width; ++x) to[x] = mask[scratch.places.near[x]];
      }
      for (int c = 0; c < s.channels; ++c) {
        const uint8_t* const channel = image + size_t(c) * s.pixels;
        // Four bytes are read at a time: the last plane of the store is looked up in a copy with room behind.
        const auto whole = [&](int k, int which) {
          const uint8_t* const plane = channel + size_t(k) * s.plane;
          if (plane + s.plane + 4 <= end) return plane;
          uint8_t* const copy = scratch.copies + size_t(which) * (s.plane + 64);
          if (y == 0 || depth > 1 || s.plane < 64) memcpy(copy, plane, s.plane);
          return const_cast<const uint8_t*>(copy);
        };
        gather_row(whole(along_z.first, 0), s.extent, scratch.places, scratch.total);
        float* const to = out + (size_t(c) * size_t(depth) + size_t(z)) * s.plane + size_t(y) * size_t(width);
        if (task.axes == 2) {
          QG_LANES for (int x = 0; x < width; ++x) to[x] = at_most_one(float(scratch.total[x]) * scale);
        } else {
          const uint32_t far = uint32_t(along_z.part), near = 256 - far;
          if (far) gather_row(whole(min_of(along_z.first + 1, depth - 1), 1), s.extent, scratch.places, scratch.other);
          for (int x = 0; x < width; ++x) {
            const uint32_t sum = uint32_t(scratch.total[x]) * near + (far ? uint32_t(scratch.other[x]) * far : 0u);
            to[x] = at_most_one(float(sum) * scale);
          }
        }
      }
    }
  }
}

void give_look(const qg::AugmentTask& task, const Sizes& s, int view, int64_t id, const Scratch& scratch, float* image) {
  const LookTable table{task.looks + 10 * view};
  const Draw draw{task.seed, uint64_t(id), kLookStream + uint32_t(view)};
  const Look look = look_of(table, draw);
  if (look.blurs) {
    float taps[kMostTaps];
    const int wanted = int(__builtin_ceilf(2.5f * table.blur())), radius = wanted < 1 ? 1 : wanted;
    const int reach = blur_taps(look.sigma, radius, taps);
    for (int c = 0; c < s.channels; ++c)
      blur_volume(image + size_t(c) * s.pixels, s.extent, taps + radius - reach, reach, scratch.lines, scratch.rows);
  }
  if (look.colours) {
    colour_matrix(image, s.pixels, s.channels, look, table.strength(3), draw, scratch.matrix);
    const float exponent = __builtin_expf(look.gamma);
    for (size_t begin = 0; begin < s.pixels; begin += size_t(s.padded))
      colour_rows(image + begin, s.pixels, s.channels, int(s.pixels - begin < size_t(s.padded) ? s.pixels - begin : size_t(s.padded)),
                  s.padded, scratch.matrix, exponent, scratch.rows);
  }
  if (look.noise > 0) {
    const Draw grain{task.seed, uint64_t(id), kNoiseStream + uint32_t(view)};
    add_noise(image, s.pixels * size_t(s.channels), look.noise, grain);
  }
}

}  // namespace

int augment(const qg::AugmentTask& task) {
  const Sizes s(task);
  const GeometryTable geometry{task.geometry};
  const size_t numbers = s.pixels * size_t(s.channels);
  return for_masks(task.batch, task.threads, s.floats() * sizeof(float), [&](int64_t sample, void* memory) {
    const Scratch scratch(memory, s);
    const int64_t id = task.sample_ids[sample];
    const SourceMap map = source_map(geometry, Draw{task.seed, uint64_t(id), kGeometryStream}, s.extent, task.axes);
    float* const weak = task.weak + size_t(sample) * numbers;
    move(task, s, map, task.index[sample], sample, scratch, weak);
    if (task.strong) {
      float* const strong = task.strong + size_t(sample) * numbers;
      memcpy(strong, weak, numbers * sizeof(float));
      give_look(task, s, 1, id, scratch, strong);
    }
    give_look(task, s, 0, id, scratch, weak);
  });
}

}  // namespace QG_NAMESPACE
