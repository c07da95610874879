"""Tiny data sets on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


class Tree:
    """A data set folder that grows file by file; each image differs from all others."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rng = np.random.default_rng(0)

    def image(self, path: str, size: tuple[int, int] = (20, 24), **options) -> str:
        return self.save(path, self.rng.integers(0, 256, (*size, 3), dtype=np.uint8), **options)

    def mask(self, path: str, size: tuple[int, int] = (20, 24), low: int = 0, high: int = 255, **options) -> str:
        return self.save(path, self.mask_values(size, low, high), **options)

    @staticmethod
    def mask_values(size: tuple[int, int] = (20, 24), low: int = 0, high: int = 255) -> np.ndarray:
        values = np.full(size, low, np.uint8)
        values[5:15, 6:18] = high
        return values

    def save(self, path: str, values: np.ndarray | Image.Image, **options) -> str:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(file, **options)
        return path

    def csv(self, name: str, rows: list[str], header: str = "image_path,mask_path") -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")

    def pair(self, stem: str, size: tuple[int, int] = (20, 24)) -> str:
        return f"{self.image(f'images/{stem}.png', size)},{self.mask(f'masks/{stem}.png', size)}"

    def whole(self, train: int = 4) -> Tree:
        """CSV layout: `train` pairs, one pair each in val and test, two unlabelled images."""
        self.csv("train.csv", [self.pair(f"a{i}") for i in range(train)])
        self.csv("val.csv", [self.pair("v")])
        self.csv("test.csv", [self.pair("t")])
        self.csv("unlabeled.csv", [self.image(f"unlabeled/u{i}.png") for i in range(2)], "image_path")
        return self


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "a folder with ünïcode")
