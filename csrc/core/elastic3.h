// Elastic fields of volumes: for each plane, the spline along z makes a plane of nodes, which moves pixels as in an image.
#pragma once
#include "elastic.h"
#include "integers.h"

namespace QG_NAMESPACE {

constexpr int kPlaneUnit = 65536 / 4;  // of a plane's nodes, which are in 1/4 of a node's unit
constexpr int64_t kMostGain = 263168;  // 4 voxels a unit: products stay within 32 bits

// How nodes lie along x, y, z: what a row's amplitude and smoothness are in voxels of each axis.
struct Frame3 {
  int spacing[3], nodes[3];
  int64_t amplitude[3];

  QG_HD Frame3(const Extent& e, const Spacing& voxel, const int32_t* params) {
    const int64_t side[3] = {kSpacingOne, voxel.y, voxel.z};
    const int sides[3] = {e.width, e.height, e.depth};
    for (int axis = 0; axis < 3; ++axis) {
      amplitude[axis] = (int64_t(params[0]) * kSpacingOne + side[axis] / 2) / side[axis];
      spacing[axis] = lattice_spacing((int64_t(params[1]) * kSpacingOne + side[axis] / 2) / side[axis]);
      nodes[axis] = nodes_along(sides[axis], spacing[axis]);
    }
  }
  QG_HD size_t a_plane() const { return size_t(nodes[0]) * size_t(nodes[1]); }
  QG_HD size_t all() const { return a_plane() * size_t(nodes[2]); }
};

QG_HD size_t elastic_volume_arena(const Extent& e, const Spacing& voxel, const int32_t* params) {
  const Frame3 frame(e, voxel, params);
  return lattice_words(e, 3, frame.nodes[0], frame.nodes[1]) + picture_words(e) + 3 * (frame.all() + kVectorRoom) + kTaps * kMostSpacing;
}

// moves[axis][m]: what node m moves by, of the words of block m of plane 1.
template <class Team>
QG_HD void draw_nodes3(const Team& team, int32_t* const (&moves)[3], int nodes, const Draw& draw) {
  int32_t *const x = moves[0], *const y = moves[1], *const z = moves[2];
#ifdef QG_LANES32
  using L = Lanes32;
  team.for_each(ceil_div(nodes, L::kLanes), [=](int group) {
    L::Vector word[4];
    draw.blocks(uint32_t(group * L::kLanes), 1, word);
    int32_t* const to[3] = {x, y, z};
    for (int axis = 0; axis < 3; ++axis) {
      const auto pairs = L::add(L::and_of(word[axis], L::all(0xFF00FF)), L::and_of(L::template down<8>(word[axis]), L::all(0xFF00FF)));
      L::store(to[axis] + group * L::kLanes, L::add(L::times16(pairs, L::all(0x10001)), L::all(-510)));
    }
  });
#else
  team.for_each(nodes, [=](int node) {
    const Words4 words = draw.block(uint32_t(node), 1);
    x[node] = byte_sum(words.word[0]);
    y[node] = byte_sum(words.word[1]);
    z[node] = byte_sum(words.word[2]);
  });
#endif
}

// params: standard deviation of the displacement and smoothness, Q16.16 px.
template <class Team, class Word>
QG_ROW void elastic_volume(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  const Bits<Word> mask = canvas.mask;
  const Extent e = mask.extent;
  const Frame3 frame(e, canvas.spacing, params);
  Lattice lattice = make_lattice(team, e, 3, frame.spacing[0], frame.spacing[1], canvas.arena);
  int32_t* const phase_z = behind_lattice(lattice, 3);
  int32_t* moves[3];
  moves[0] = phase_z + kTaps * kMostSpacing;
  for (int axis = 1; axis < 3; ++axis) moves[axis] = moves[axis - 1] + frame.all() + kVectorRoom;
  int32_t* const behind = moves[2] + frame.all() + kVectorRoom;
  const int spacing_z = frame.spacing[2], a_plane = int(frame.a_plane());
  team.for_each(spacing_z, [=](int j) { spline_weights(j, spacing_z, phase_z + kTaps * j); });
  int32_t* const phase_x = lattice.phase_y - kTaps * kMostSpacing;
  const int64_t power = power_of(phase_x, frame.spacing[0]) * power_of(lattice.phase_y, frame.spacing[1]) * power_of(phase_z, spacing_z);
  for (int axis = 0; axis < 3; ++axis) {
    const int64_t gain = gain_of(frame.amplitude[axis], whole_root(power >> 16));
    lattice.gain[axis] = int(gain < kMostGain ? gain : kMostGain);
  }
  draw_nodes3(team, moves, int(frame.all()), draw);
  const Lattice to = lattice;
  const int32_t *const x = moves[0], *const y = moves[1], *const z = moves[2];
  const auto take_plane = [&](int plane) {
    const int first = plane / spacing_z * a_plane;
    const int32_t* const weight = phase_z + kTaps * (plane % spacing_z);
    team.for_each(3, a_plane, [=](int axis, int i) {
      const int32_t* const from = (axis == 0 ? x : axis == 1 ? y : z) + first + i;
      to.moves[axis][i] =
          (from[0] * weight[0] + from[a_plane] * weight[1] + from[2 * a_plane] * weight[2] + from[3 * a_plane] * weight[3]) >> 6;
    });
  };
  int reach[3] = {0, 0, 0};
  for (int plane = 0; plane < e.depth; ++plane) {
    take_plane(plane);
    find_reach<3>(team, lattice, kPlaneUnit, reach);
  }
  if (reach[0] == 0 && reach[1] == 0 && reach[2] == 0) return;
  const Picture picture = picture_of(team, mask, behind);
  find_band(team, mask, {reach[2], reach[1], reach[0]}, canvas.spare[0], canvas.spare[1], canvas.spare[2]);
  const Bits<Word> band = canvas.spare[0];
  for (int plane = 0; plane < e.depth; ++plane) {
    take_plane(plane);
    team.for_each(mask.columns(), e.height, [=](int c, int line) {
      const int at = plane * e.height + line;
      const Word wanted = band.column(c)[at];
      if (wanted == 0) return;
      Word* const word = mask.column(c) + at;
      *word = Word((*word & Word(~wanted)) | moved_word<3>(to, picture, e, c * bits_of<Word>(), line, plane, wanted));
    });
  }
}

template <class Team, class Word>
QG_ROW void elastic(const Team& team, Canvas<Word>& canvas, const int32_t* params, const Draw& draw) {
  if (canvas.axes == 3)
    elastic_volume(team, canvas, params, draw);
  else
    elastic_image(team, canvas, params, draw);
}

// Enough for either, so that a volume of one plane has room too.
QG_HD size_t elastic_arena(const Extent& e, const Spacing& voxel, const int32_t* params) {
  const size_t image = e.depth > 1 ? 0 : elastic_image_arena(e, params[1]), volume = elastic_volume_arena(e, voxel, params);
  return image > volume ? image : volume;
}

}  // namespace QG_NAMESPACE
