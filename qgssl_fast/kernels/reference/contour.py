"""Outlines of masks in whole pixels: tracing, simplifying, hulls, filling. One mask uint8 0/1 [H, W] at a time."""

from __future__ import annotations

import math

import numpy as np


def trace(mask: np.ndarray) -> np.ndarray:
    """int64 [k, 2], x and y: corners of the outer boundary of the component that holds the first pixel.

    Moore's neighbour tracing, clockwise from the first pixel in raster order; a corner is a boundary pixel where the
    direction changes. One pixel alone is one corner.
    """
    height, width = mask.shape
    stride = width + 2
    padded = np.zeros((height + 2, stride), np.uint8)
    padded[1:-1, 1:-1] = mask
    image = padded.tobytes()
    moves = (1, stride + 1, stride, stride - 1, -1, -stride - 1, -stride, 1 - stride)  # E, SE, S, SW, W, NW, N, NE
    place = start = image.index(1)
    corners: list[int] = []
    look, came, first = 0, -1, -1
    while True:
        for turn in range(8):
            direction = (look + turn) & 7
            if image[place + moves[direction]]:
                break
        else:
            corners.append(place)
            break
        if place == start and direction == first:
            if came != first:
                corners.insert(0, start)
            break
        if first < 0:
            first = direction
        elif direction != came:
            corners.append(place)
        place += moves[direction]
        came = direction
        look = direction + 6 - (direction & 1)  # the neighbour after the last one that was seen empty
    y, x = np.divmod(np.array(corners, np.int64), stride)
    return np.stack([x - 1, y - 1], axis=1)


def simplify(points: np.ndarray, vertices: int) -> np.ndarray:
    """Douglas-Peucker on a closed outline with the tolerance at which `vertices` corners are left, by bisection.

    The tolerance, in 1/256 px, is halved in [0, half the perimeter] until the count is met or the interval is 1; where
    no tolerance has the count, the last one's polygon counts. Each polygon starts from two points that are far apart
    (three times the farthest point from the last one, from point 0 on) and is tidied, as OpenCV's approxPolyDP does.
    """
    if len(points) <= vertices:
        return points
    outline = _Outline(points)
    low, high = 0, outline.perimeter() // 2
    polygon = points
    while high - low > 1:
        tolerance = (low + high) // 2
        polygon = outline.within(tolerance * tolerance >> 8, vertices)
        if len(polygon) == vertices:
            break
        low, high = (tolerance, high) if len(polygon) > vertices else (low, tolerance)
    return polygon


class _Outline:
    """A closed outline; what was found out about its spans is kept between tolerances."""

    def __init__(self, points: np.ndarray) -> None:
        self.points, self.xy = points, points.tolist()
        self.spans: dict[tuple[int, int], tuple[int, int]] = {}
        place = 0
        for _ in range(3):
            last, place = place, int(((points - points[place]) ** 2).sum(axis=1).argmax())
        self.ends = last, place

    def perimeter(self) -> int:
        """In 1/256 px; each edge rounded down."""
        steps = self.points - np.roll(self.points, 1, axis=0)
        return sum(math.isqrt(square << 16) for square in (steps**2).sum(axis=1).tolist())

    def within(self, tolerance: int, vertices: int) -> np.ndarray:
        """The polygon for a tolerance in px**2 / 256; cut short where it has far more corners than wanted."""
        corners: list[int] = []
        one, other = self.ends
        todo = [(other, one), (one, other)]
        while todo and len(corners) <= 4 * vertices:
            start, end = todo.pop()
            distance, middle = self._farthest(start, end)
            if distance > tolerance:
                todo += [(middle, end), (start, middle)]
            else:
                corners.append(start)
        return self.points[corners if todo else self._tidied(corners, tolerance)]

    def _farthest(self, one: int, other: int) -> tuple[int, int]:
        """Distance from the chord, (cross product**2 << 8) // length**2, and place of the farthest point between."""
        if (one, other) not in self.spans:
            between = np.arange(one + 1, other if other > one else other + len(self.points)) % len(self.points)
            best = (-1, one)
            if len(between):
                along, away = self.points[other] - self.points[one], self.points[between] - self.points[one]
                cross = np.abs(along[0] * away[:, 1] - along[1] * away[:, 0])
                middle = int(cross.argmax())
                length = max(int((along**2).sum()), 1)
                best = (int(cross[middle]) ** 2 << 8) // length, int(between[middle])
            self.spans[one, other] = best
        return self.spans[one, other]

    def _tidied(self, corners: list[int], tolerance: int) -> list[int]:
        """Without corners that lie almost on the line between their neighbours: within the tolerance / sqrt(2) of it,
        between them, the line neither level nor upright. After one that goes, the next stays."""
        kept: list[int] = []
        before, i, left = corners[-1], 0, len(corners)
        while i < len(corners):
            after = corners[(i + 1) % len(corners)]
            if left > 2 and self._is_flat(before, corners[i], after, tolerance):
                left, i = left - 1, i + 1
                if i == len(corners):
                    break
            kept.append(corners[i])
            before, i = corners[i], i + 1
        return kept

    def _is_flat(self, before: int, corner: int, after: int, tolerance: int) -> bool:
        (x0, y0), (x, y), (x1, y1) = self.xy[before], self.xy[corner], self.xy[after]
        dx, dy = x1 - x0, y1 - y0
        cross = (x - x0) * dy - (y - y0) * dx
        forward = (x - x0) * (x1 - x) + (y - y0) * (y1 - y)
        near = (cross * cross << 9) <= tolerance * (dx * dx + dy * dy)
        return near and forward >= 0 and dx != 0 and dy != 0


def hull(mask: np.ndarray) -> np.ndarray:
    """int64 [k, 2]: corners of the convex hull of all foreground pixels, from the ends of each row (monotone chain)."""
    rows = np.flatnonzero(mask.any(axis=1))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    chain = _chain(list(zip(right.tolist(), rows.tolist())), 1)
    chain += _chain(list(zip(left.tolist(), rows.tolist())), -1)[::-1]
    return np.array(chain, np.int64)


def _chain(points: list[tuple[int, int]], side: int) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for x, y in points:
        while len(kept) > 1:
            (x0, y0), (x1, y1) = kept[-2:]
            if side * ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) > 0:
                break
            kept.pop()
        kept.append((x, y))
    return kept


def fill(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W]: the polygon's even-odd inside and its outline. corners: int64 [k, 2], inside the image.

    Inside: an odd number of the edges that cross row y (lower end left out) have their crossing at or left of x.
    Outline: max(|dx|, |dy|) + 1 points of each edge, in the order of the corners, rounded half up. All is exact.
    """
    out = np.zeros(size, np.uint8)
    start, step = corners, np.roll(corners, -1, axis=0) - corners
    up = step[:, 1] < 0
    low, run = np.where(up[:, None], start + step, start), np.where(up[:, None], -step, step)
    edge, t = _ranges(run[:, 1])
    crossing = low[edge, 0] - (-t * run[edge, 0]) // np.maximum(run[edge, 1], 1)  # rounded up
    flips = np.zeros((size[0], size[1] + 1), np.uint8)
    np.bitwise_xor.at(flips, (low[edge, 1] + t, crossing), 1)
    np.bitwise_xor.accumulate(flips[:, :-1], axis=1, out=out)
    length = np.abs(step).max(axis=1)
    edge, t = _ranges(length + 1)
    twice = 2 * np.maximum(length[edge], 1)[:, None]
    points = start[edge] + (2 * t[:, None] * step[edge] + twice // 2) // twice
    out[points[:, 1], points[:, 0]] = 1
    return out


def _ranges(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """0 .. count - 1 for each of the counts, one after the other, with the number of the count that each is of."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
