// Rows about connected components: keep the largest, drop one. Pixels that touch, diagonally too, are one component.
//
// Lines are walked once, run after run. A run that touches none before it begins a component: the components' numbers then rise with their
// first pixels, and where two meet the lower number stays. Only the runs of this plane and of the one before are kept (an image is a pile
// of planes of one line); painting walks the lines again and gets the same numbers.
#pragma once
#include "canvas.h"
#include "draw.h"
#include "integers.h"
#include "team.h"

namespace QG_NAMESPACE {

// How lines are piled up: neighbours of a line are those of its plane and of the planes beside it.
struct Pile {
  int planes, lines, width;

  QG_HD explicit Pile(const Extent& e) : planes(e.depth == 1 ? e.height : e.depth), lines(e.depth == 1 ? 1 : e.height), width(e.width) {}
  QG_HD size_t a_line() const { return size_t(ceil_div(width, 2)); }
  // A block of 2 x 2 x 2 pixels holds the first pixel of one component at most.
  QG_HD size_t most() const { return size_t(ceil_div(planes, 2)) * size_t(ceil_div(lines, 2)) * a_line(); }
};

struct Run {
  uint16_t begin, end;  // end is the first pixel behind it
  int32_t number;
};

struct Parts {
  int32_t *parent, *first;  // a number that it belongs to, or minus its size; line << 12 | x of its first pixel (images only)
  int32_t* counts[2];       // runs of the lines of this plane and of the one before
  Run* runs[2];
  Pile pile;
  bool is_image;
  int numbers;

  QG_HD Parts(const Extent& e, int32_t* arena) : pile(e), is_image(e.depth == 1), numbers(0) {
    const size_t a_plane = size_t(pile.lines) * pile.a_line();
    runs[0] = reinterpret_cast<Run*>(arena);
    runs[1] = runs[0] + a_plane;
    counts[0] = reinterpret_cast<int32_t*>(runs[1] + a_plane);
    counts[1] = counts[0] + pile.lines;
    parent = counts[1] + pile.lines;
    first = parent + pile.most();
  }

  QG_HD int root(int32_t number) const {
    while (parent[number] >= 0) {
      const int32_t up = parent[number];
      if (parent[up] >= 0) parent[number] = parent[up];
      number = up;
    }
    return number;
  }

  QG_HD int join(int a, int b) const {
    if (a == b) return a;
    const int low = min_of(a, b), high = max_of(a, b);
    parent[low] += parent[high];
    parent[high] = low;
    return low;
  }

  QG_HD const Run* line(int plane, int y, int* count) const {
    *count = counts[plane & 1][y];
    return runs[plane & 1] + size_t(y) * pile.a_line();
  }
};

QG_HD size_t parts_arena(const Extent& e) {
  const Pile pile(e);
  return 4 * size_t(pile.lines) * pile.a_line() + 2 * size_t(pile.lines) + (e.depth == 1 ? 2 : 1) * pile.most();
}

// The runs of a line; tells how many.
template <class Word>
QG_HD int find_runs(const Bits<Word>& mask, int line, Run* runs) {
  Word before = 0;
  int n = 0;
  bool inside = false;
  for (int c = 0; c < mask.columns(); ++c) {
    const Word word = mask.column(c)[line];
    Word steps = Word(word ^ Word(Word(word << 1) | Word(before >> (bits_of<Word>() - 1))));
    before = word;
    for (; steps; steps &= Word(steps - 1)) {
      const int x = c * bits_of<Word>() + lowest_one(steps);
      if (inside)
        runs[n++].end = uint16_t(x);
      else
        runs[n].begin = uint16_t(x);
      inside = !inside;
    }
  }
  if (inside) runs[n++].end = uint16_t(mask.extent.width);
  return n;
}

// Gives the runs of a line the numbers of what they touch among the `count` runs `other` of a line before it.
template <class Join>
QG_HD void touch(Run* runs, int n, const Run* other, int count, Join join) {
  for (int i = 0, k = 0; i < n; ++i) {
    while (k < count && other[k].end < runs[i].begin) ++k;
    for (int j = k; j < count && other[j].begin <= runs[i].end; ++j) join(&runs[i], other[j]);
  }
}

// f(line, runs, count) for each line, in order; runs have their numbers. `kJoin`: find out what belongs together; else that is known.
template <bool kJoin, class Word, class F>
QG_HD void walk_lines(const Bits<Word>& mask, Parts& parts, F f) {
  const Pile pile = parts.pile;
  parts.numbers = 0;
  for (int z = 0; z < pile.planes; ++z)
    for (int y = 0; y < pile.lines; ++y) {
      const int line = z * pile.lines + y;
      Run* const runs = parts.runs[z & 1] + size_t(y) * pile.a_line();
      const int n = find_runs(mask, line, runs);
      parts.counts[z & 1][y] = n;
      if (n == 0) continue;
      for (int i = 0; i < n; ++i) runs[i].number = -1;
      const auto join = [&](Run* run, const Run& other) {
        if (!kJoin)
          run->number = run->number < 0 ? other.number : run->number;
        else
          run->number = run->number < 0 ? parts.root(other.number) : parts.join(parts.root(run->number), parts.root(other.number));
      };
      int count;
      if (y > 0) {
        const Run* const other = parts.line(z, y - 1, &count);
        touch(runs, n, other, count, join);
      }
      for (int b = max_of(y - 1, 0); z > 0 && b < min_of(y + 2, pile.lines); ++b) {
        const Run* const other = parts.line(z - 1, b, &count);
        touch(runs, n, other, count, join);
      }
      for (int i = 0; i < n; ++i) {
        const int length = runs[i].end - runs[i].begin;
        if (runs[i].number < 0) {
          runs[i].number = parts.numbers++;
          if (kJoin) parts.parent[runs[i].number] = -length;
          if (kJoin && parts.is_image) parts.first[runs[i].number] = line << 12 | runs[i].begin;
        } else if (kJoin) {
          parts.parent[parts.root(runs[i].number)] -= length;
        }
      }
      f(line, runs, n);
    }
}

struct Largest {
  int number, count;  // of all components
};

// Finds all components; of equal ones the first counts as the largest.
template <class Word>
QG_HD Largest find_parts(const Bits<Word>& mask, Parts& parts) {
  walk_lines<true>(mask, parts, [](int, const Run*, int) {});
  Largest found{-1, 0};
  int32_t size = 0;
  for (int k = 0; k < parts.numbers; ++k) {
    found.count += parts.parent[k] < 0;
    if (-parts.parent[k] > size) {
      found.number = k;
      size = -parts.parent[k];
    }
  }
  return found;
}

// Takes away the component `number`, or all but that one.
template <class Word>
QG_HD void take_away(const Bits<Word>& mask, Parts& parts, int number, bool others) {
  constexpr int kBits = bits_of<Word>();
  walk_lines<false>(mask, parts, [&](int line, const Run* runs, int n) {
    for (int i = 0; i < n; ++i) {
      if ((parts.root(runs[i].number) == number) == others) continue;
      for (int c = runs[i].begin / kBits; c * kBits < runs[i].end; ++c)
        mask.column(c)[line] &= Word(~span_word<Word>(c, runs[i].begin, runs[i].end));
    }
  });
}

template <class Team, class Word>
QG_ROW void largest_only(const Team& team, Canvas<Word>& canvas, const int32_t*, const Draw&) {
  const Bits<Word> mask = canvas.mask;
  team.one([&] {
    Parts parts(mask.extent, canvas.arena);
    const Largest found = find_parts(mask, parts);
    if (found.count > 1) take_away(mask, parts, found.number, true);
  });
}

// Component below(word 0, count) goes, where there are two or more.
template <class Team, class Word>
QG_ROW void drop_component(const Team& team, Canvas<Word>& canvas, const int32_t*, const Draw& draw) {
  const Bits<Word> mask = canvas.mask;
  team.one([&] {
    Parts parts(mask.extent, canvas.arena);
    const Largest found = find_parts(mask, parts);
    if (found.count < 2) return;
    int number = 0;
    for (int left = int(below(draw.word(0), found.count)); parts.parent[number] >= 0 || left > 0; ++number)
      left -= parts.parent[number] < 0;
    take_away(mask, parts, number, false);
  });
}

}  // namespace QG_NAMESPACE
