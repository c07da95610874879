"""The paper's mix of corruptions mask by mask, in Python with OpenCV and NumPy: the way it is usually done.

Written from the paper's description, as a peer to measure against; recipes/paper.toml names the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..recipes import Recipe, Row

Array = np.ndarray
Chance = np.random.Generator


class PerMask:
    """corrupt(mask, donors, weak, rng): uint8 [H, W] and its Dice; donors are such masks, weak() makes one."""

    def __init__(self, recipe: Recipe, cv2: Any) -> None:
        self.recipe, self.cv2 = recipe, cv2
        cv2.setNumThreads(1)
        groups = ("single", "heavy", "catastrophic", "blob")
        self.groups = {group: [row for row in recipe.rows if row.weights.get(group, 0) > 0] for group in groups}
        self.chained = [row for row in recipe.rows if row.chained]
        self.operations: dict[str, Callable[[Array, Any, Chance], Array]] = {
            "erode": lambda m, p, rng: cv2.erode(m, self.square(p["radius"])),
            "dilate": lambda m, p, rng: cv2.dilate(m, self.square(p["radius"])),
            "opening": lambda m, p, rng: cv2.morphologyEx(m, cv2.MORPH_OPEN, self.square(p["radius"])),
            "closing": lambda m, p, rng: cv2.morphologyEx(m, cv2.MORPH_CLOSE, self.square(p["radius"])),
            "invert": lambda m, p, rng: 1 - m,
            "empty": lambda m, p, rng: np.zeros_like(m),
            "full": lambda m, p, rng: np.ones_like(m),
            "random": lambda m, p, rng: (rng.random(m.shape) < 0.5).astype(np.uint8),
            "gaussian_blob": self.gaussian_blob,
            "holes_and_islands": lambda m, p, rng: self.discs(self.discs(m, p, rng, 0), p, rng, 1),
            "holes": lambda m, p, rng: self.discs(m, p, rng, 0),
            "islands": lambda m, p, rng: self.discs(m, p, rng, 1),
        }

    def corrupt(self, mask: Array, donors: list[Array], weak: Callable[[], Array], rng: Chance) -> tuple[Array, float]:
        out = self._changed(mask, donors, weak, rng)
        total = int(out.sum()) + int(mask.sum())
        return out, 2 * int((out & mask).sum()) / total if total else 1.0

    def _changed(self, mask: Array, donors: list[Array], weak: Callable[[], Array], rng: Chance) -> Array:
        if rng.random() < self.recipe.p_weak:
            return weak()
        names = list(self.recipe.categories)
        category = names[rng.choice(len(names), p=list(self.recipe.categories.values()))]
        if category == "identity":
            return mask
        if category == "cross_image":
            return donors[rng.integers(len(donors))]
        if category == "chained":
            rows = [self.chained[k] for k in rng.permutation(len(self.chained))[: rng.integers(2, 4)]]
        else:
            weights = np.array([row.weights[category] for row in self.groups[category]])
            rows = [self.groups[category][rng.choice(len(weights), p=weights / weights.sum())]]
        for row in rows:
            mask = self.row(mask, row, rng)
        return mask

    def row(self, mask: Array, row: Row, rng: Chance) -> Array:
        operation = self.operations.get(row.op) or getattr(self, row.op)
        return operation(mask, {p.name: row.params.get(p.name, p.default) for p in row.operation.parameters}, rng)

    @staticmethod
    def square(radius: float) -> Array:
        side = 2 * int(radius) + 1
        return np.ones((side, side), np.uint8)

    def jagged(self, mask: Array, p: Any, rng: Chance) -> Array:
        window = self.square(p["radius"])
        band = (self.cv2.dilate(mask, window) - self.cv2.erode(mask, window)) > 0
        return np.where(band, rng.random(mask.shape) < p["probability"], mask).astype(np.uint8)

    def smooth(self, mask: Array, p: Any, rng: Chance) -> Array:
        side = 2 * int(p["radius"]) + 1
        return (self.cv2.GaussianBlur(mask.astype(np.float32), (side, side), 0) > 0.5).astype(np.uint8)

    def shift(self, mask: Array, p: Any, rng: Chance) -> Array:
        dy, dx = (rng.uniform(-p["reach"], p["reach"], 2) * mask.shape).astype(int)
        return self._warp(mask, np.array([[1, 0, dx], [0, 1, dy]], np.float32))

    def affine(self, mask: Array, p: Any, rng: Chance) -> Array:
        centre = np.array(mask.shape[::-1]) / 2 if p["image_centre"] else self._centroid(mask)
        degrees, scale = rng.uniform(-p["degrees"], p["degrees"]), rng.uniform(p["min_scale"], p["max_scale"])
        matrix = self.cv2.getRotationMatrix2D(tuple(map(float, centre)), degrees, scale)
        matrix[:, 2] += rng.uniform(-p["reach"], p["reach"], 2) * mask.shape[::-1]
        return self._warp(mask, matrix)

    def _warp(self, mask: Array, matrix: Array) -> Array:
        return self.cv2.warpAffine(mask, matrix, mask.shape[::-1], flags=self.cv2.INTER_LINEAR)

    def elastic(self, mask: Array, p: Any, rng: Chance) -> Array:
        sigma = p["smoothness"]
        gain = float(p["amplitude"] * np.sqrt(12 * np.pi) * sigma)  # undoes what the blur takes off U(-1, 1)
        noise = rng.uniform(-1, 1, (2, *mask.shape)).astype(np.float32)
        return self._look(mask, *(gain * self.cv2.GaussianBlur(n, (0, 0), sigma) for n in noise))

    def grid(self, mask: Array, p: Any, rng: Chance) -> Array:
        moves = []
        for side in mask.shape[::-1]:
            steps = rng.uniform(1 - p["stretch"], 1 + p["stretch"], int(p["cells"]))
            cell = np.arange(side) * int(p["cells"]) // side
            ends = np.cumsum(steps[cell])
            moves.append(((ends - steps[cell]) * side / ends[-1] - np.arange(side)).astype(np.float32))
        return self._look(mask, np.broadcast_to(moves[0], mask.shape), np.broadcast_to(moves[1][:, None], mask.shape))

    def _look(self, mask: Array, dx: Array, dy: Array) -> Array:
        y, x = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
        cv2 = self.cv2
        return cv2.remap(mask, x + dx, y + dy, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)

    def discs(self, mask: Array, p: Any, rng: Chance, value: int) -> Array:
        out, places = mask.copy(), np.argwhere(mask != value)
        for _ in range(int(p["count"]) if len(places) else 0):
            y, x = places[rng.integers(len(places))]
            radius = int(rng.integers(int(p["min_radius"]), int(p["max_radius"]) + 1))
            self.cv2.circle(out, (int(x), int(y)), radius, value, -1)
        return out

    def rect_dropout(self, mask: Array, p: Any, rng: Chance) -> Array:
        h, w = (rng.uniform(p["min_side"], p["max_side"], 2) * mask.shape).astype(int)
        top, left = rng.integers(mask.shape[0] - h + 1), rng.integers(mask.shape[1] - w + 1)
        out = mask.copy()
        out[top : top + h, left : left + w] = 0
        return out

    def _largest(self, mask: Array) -> Array | None:
        outlines, _ = self.cv2.findContours(mask, self.cv2.RETR_EXTERNAL, self.cv2.CHAIN_APPROX_SIMPLE)
        return max(outlines, key=self.cv2.contourArea) if outlines else None

    def ellipse(self, mask: Array, p: Any, rng: Chance) -> Array:
        outline = self._largest(mask)
        if outline is None or len(outline) < 5:
            return mask
        out = np.zeros_like(mask)
        self.cv2.ellipse(out, self.cv2.fitEllipse(outline), 1, -1)
        return out

    def polygon(self, mask: Array, p: Any, rng: Chance) -> Array:
        outline = self._largest(mask)
        if outline is None:
            return mask
        low, high, found = 0.0, self.cv2.arcLength(outline, True) / 2, outline
        for _ in range(20):
            found = self.cv2.approxPolyDP(outline, (low + high) / 2, True)
            if len(found) == int(p["vertices"]):
                break
            low, high = ((low + high) / 2, high) if len(found) > p["vertices"] else (low, (low + high) / 2)
        return self._filled(mask, found)

    def convex_hull(self, mask: Array, p: Any, rng: Chance) -> Array:
        points = self.cv2.findNonZero(mask)
        return mask if points is None else self._filled(mask, self.cv2.convexHull(points))

    def bounding_box(self, mask: Array, p: Any, rng: Chance) -> Array:
        x, y, w, h = self.cv2.boundingRect(mask)
        out = np.zeros_like(mask)
        out[y : y + h, x : x + w] = 1
        return out

    def _filled(self, mask: Array, corners: Array) -> Array:
        out = np.zeros_like(mask)
        self.cv2.fillPoly(out, [corners], 1)
        return out

    def largest_only(self, mask: Array, p: Any, rng: Chance) -> Array:
        count, labels, stats, _ = self.cv2.connectedComponentsWithStats(mask)
        return mask if count < 3 else (labels == 1 + stats[1:, 4].argmax()).astype(np.uint8)

    def drop_component(self, mask: Array, p: Any, rng: Chance) -> Array:
        count, labels = self.cv2.connectedComponents(mask)
        return mask if count < 3 else (mask & (labels != rng.integers(1, count))).astype(np.uint8)

    @staticmethod
    def _centroid(mask: Array) -> Array:
        y, x = np.nonzero(mask)
        return np.array([x.mean(), y.mean()]) if len(x) else np.zeros(2)

    def circular_blob(self, mask: Array, p: Any, rng: Chance) -> Array:
        out = np.zeros_like(mask)
        if mask.any():
            x, y = self._centroid(mask)
            self.cv2.circle(out, (int(x), int(y)), int(np.sqrt(mask.sum() / np.pi)), 1, -1)
        return out

    def gaussian_blob(self, mask: Array, p: Any, rng: Chance) -> Array:
        y, x = np.nonzero(mask)
        if not len(x):
            return mask
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        q = ((columns - x.mean()) / max(x.std(), 1)) ** 2 + ((rows - y.mean()) / max(y.std(), 1)) ** 2
        return (q <= np.partition(q.ravel(), len(x) - 1)[len(x) - 1]).astype(np.uint8)
