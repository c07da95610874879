"""Tiny data sets on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
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

    def volume(self, path: str, values: np.ndarray | None = None, affine: np.ndarray | None = None, **header) -> str:
        """NIfTI of values [X, Y, Z], chance where none are given."""
        values = self.rng.normal(100, 20, (12, 14, 10)).astype(np.float32) if values is None else values
        made = nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 2.0, 1.0]) if affine is None else affine)
        for key, value in header.items():
            made.header[key] = value
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(made, file)
        return path

    @staticmethod
    def label_values(shape: tuple[int, ...] = (12, 14, 10), values: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
        labels = np.full(shape, values[0], np.uint8)
        labels[2:7, 3:9, 2:6] = values[1]
        labels[5:9, 3:9, 5:8] = values[-1]
        return labels

    def decathlon(self, count: int = 6, splits: dict | None = None) -> Tree:
        """`count` labelled volumes c0, c1 ... with two classes; splits: the content of splits.json."""
        rows = []
        for i in range(count):
            image = self.volume(f"imagesTr/c{i}.nii.gz")
            rows.append(
                {"image": f"./{image}", "label": f"./{self.volume(f'labelsTr/c{i}.nii.gz', self.label_values())}"}
            )
        labels = {"0": "background", "1": "front", "2": "back"}
        content = {"modality": {"0": "MRI"}, "labels": labels, "training": rows, "test": []}
        (self.root / "dataset.json").write_text(json.dumps(content))
        if splits is not None:
            (self.root / "splits.json").write_text(json.dumps(splits))
        return self

    def nnunet(self, count: int = 6, channels: int = 2, ending: str = ".nii.gz") -> Tree:
        """`count` cases with labels and one of imagesTs without."""
        for i in range(count + 1):
            where = "Tr" if i < count else "Ts"
            for channel in range(channels):
                self.volume(f"images{where}/case {i}_{channel:04d}{ending}")
            if where == "Tr":
                self.volume(f"labelsTr/case {i}{ending}", self.label_values())
        content = {
            "channel_names": {str(i): f"m{i}" for i in range(channels)},
            "labels": {"background": 0, "front": 1, "back": 2},
            "file_ending": ending,
            "numTraining": count,
        }
        (self.root / "dataset.json").write_text(json.dumps(content))
        return self


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "a folder with ünïcode")
