"""Outlines of masks in whole pixels: tracing, simplifying, hulls, filling. One mask uint8 0/1 [H, W] at a time."""

from __future__ import annotations

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
    """Douglas-Peucker on a closed outline, until it has `vertices` corners: always the farthest point is taken next.

    It starts from two points that are far apart: three times the farthest point from the last one, from point 0 on.
    Distances are compared as (cross product**2 << 8) // length**2; of equal ones the first along the outline wins.
    """
    if len(points) <= vertices:
        return points
    place = 0
    for _ in range(3):
        last, place = place, int(((points - points[place]) ** 2).sum(axis=1).argmax())
    spans = [_farthest(points, last, place), _farthest(points, place, last)]
    while len(spans) < vertices:
        best = max(range(len(spans)), key=lambda i: spans[i][0])
        distance, one, middle, other = spans[best]
        if distance <= 0:
            break
        spans[best : best + 1] = [_farthest(points, one, middle), _farthest(points, middle, other)]
    return points[[span[1] for span in spans]]


def _farthest(points: np.ndarray, one: int, other: int) -> tuple[int, int, int, int]:
    between = np.arange(one + 1, other if other > one else other + len(points)) % len(points)
    if not len(between):
        return -1, one, -1, other
    along, away = points[other] - points[one], points[between] - points[one]
    cross = np.abs(along[0] * away[:, 1] - along[1] * away[:, 0])
    best = int(cross.argmax())
    length = max(int((along**2).sum()), 1)
    return (int(cross[best]) ** 2 << 8) // length, one, int(between[best]), other


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
    Outline: max(|dx|, |dy|) + 1 points of each edge, in the order of the corners, rounded half up. All exact in integers.
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
