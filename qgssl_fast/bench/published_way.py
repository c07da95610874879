"""Both phases as such training is usually written, to measure against: a data set that decodes, augments and corrupts
sample by sample with OpenCV and asks weak models image by image, a loader without workers, losses of single torch
operations, and numbers read from the device in every step.

Written from the paper's description; the networks are the same as ours.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from ..recipes import Recipe
from .per_mask import PerMask

Array = np.ndarray


def look(image: Array, rng: np.random.Generator, cv2: Any, strength: float = 1.0) -> Array:
    """Brightness and contrast, hue and saturation, noise: uint8 [H, W, 3] in and out."""
    gain, offset = 1 + rng.uniform(-0.2, 0.2) * strength, rng.uniform(-25, 25) * strength
    image = np.clip(image.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)
    if rng.random() < 0.8:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(-9, 9) * strength) % 180
        hsv[..., 1] = np.clip(hsv[..., 1] * (1 + rng.uniform(-0.2, 0.2) * strength), 0, 255)
        image = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    if strength > 1 and rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (5, 5), 0)
    if rng.random() < 0.5:
        image = np.clip(image + rng.normal(0, 8 * strength, image.shape), 0, 255).astype(np.uint8)
    return image


def move(pictures: list[Array], rng: np.random.Generator, cv2: Any) -> list[Array]:
    """The same flips, rotation, scale and shift of an image and its mask."""
    height, width = pictures[0].shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-20, 20), rng.uniform(0.85, 1.2))
    matrix[:, 2] += rng.uniform(-0.08, 0.08, 2) * (width, height)
    flips = rng.random(2) < 0.5
    moved = []
    for picture in pictures:
        way = cv2.INTER_LINEAR if picture.ndim == 3 else cv2.INTER_NEAREST
        out = cv2.warpAffine(picture, matrix, (width, height), flags=way, borderMode=cv2.BORDER_REFLECT_101)
        out = out[::-1] if flips[0] else out
        moved.append(np.ascontiguousarray(out[:, ::-1] if flips[1] else out))
    return moved


def tensor(image: Array) -> Tensor:
    return torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1) / 255)


class Files(Dataset):
    """Images and masks by path, decoded in each call."""

    def __init__(self, cases: Any, side: int, cv2: Any) -> None:
        self.cases, self.side, self.cv2, self.rng = list(cases), side, cv2, np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.cases)

    def image(self, path: Path) -> Array:
        picture = self.cv2.cvtColor(self.cv2.imread(str(path)), self.cv2.COLOR_BGR2RGB)
        return self.cv2.resize(picture, (self.side, self.side), interpolation=self.cv2.INTER_LINEAR)

    def mask(self, path: Path) -> Array:
        picture = self.cv2.imread(str(path), self.cv2.IMREAD_GRAYSCALE)
        small = self.cv2.resize(picture, (self.side, self.side), interpolation=self.cv2.INTER_NEAREST)
        return (small > 0).astype(np.uint8)


class Corrupted(Files):
    """Phase 1: an image, a corrupted mask, its Dice. weak: snapshots of weak models, asked with a batch of one."""

    def __init__(self, cases: Any, side: int, cv2: Any, recipe: Recipe, weak: Sequence[nn.Module]) -> None:
        super().__init__(cases, side, cv2)
        self.corruptor, self.weak = PerMask(recipe, cv2), weak
        self.donors = [self.mask(case.mask) for case in self.cases]

    def predicted(self, image: Array) -> Array:
        """The thresholded prediction of a weak model drawn at random."""
        model = self.weak[int(self.rng.integers(len(self.weak)))].eval()
        with torch.no_grad():
            logits = model(tensor(image)[None])
        return (torch.sigmoid(logits)[0, 0] > 0.5).cpu().numpy().astype(np.uint8)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor, float]:
        case = self.cases[k % len(self.cases)]
        image, mask = self.image(case.image), self.mask(case.mask)
        corrupted, dice = self.corruptor.corrupt(mask, self.donors, lambda: self.predicted(image), self.rng)
        return tensor(look(image, self.rng, self.cv2)), torch.from_numpy(corrupted.astype(np.float32))[None], dice


class Labelled(Files):
    """Phase 2: an augmented image and its mask."""

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        case = self.cases[k % len(self.cases)]
        image, mask = move([self.image(case.image), self.mask(case.mask)], self.rng, self.cv2)
        return tensor(look(image, self.rng, self.cv2, 0.5)), torch.from_numpy(mask.astype(np.float32))[None]


class Pool(Files):
    """Phase 2: a weak and a strong view of an unlabelled image."""

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        (image,) = move([self.image(self.cases[k % len(self.cases)].image)], self.rng, self.cv2)
        weak = look(image, self.rng, self.cv2, 0.5)
        return tensor(weak), tensor(look(image, self.rng, self.cv2, 2.0))


def endless(data: Files, batch: int) -> Iterator[Any]:
    class Draws(torch.utils.data.Sampler):
        def __iter__(self) -> Iterator[int]:
            while True:
                yield from torch.randperm(len(data)).tolist()

    return iter(DataLoader(data, batch, sampler=Draws(), num_workers=0))


class PhaseOne:
    def __init__(self, model: nn.Module, data: Corrupted, batch: int, lr: float) -> None:
        self.model, self.batches = model.train(), endless(data, batch)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
        self.told: list[float] = []

    def step(self) -> None:
        images, masks, quality = next(self.batches)
        quality = quality.float()
        self.optimizer.zero_grad()
        predicted = self.model(images, masks)
        loss = F.smooth_l1_loss(predicted, quality)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.told += [loss.item(), (predicted - quality).abs().mean().item(), norm.item()]


class PhaseTwo:
    """PL-QW: labelled and unlabelled images, an EMA teacher, a frozen predictor."""

    def __init__(
        self,
        model: nn.Module,
        predictor: nn.Module,
        labelled: Labelled,
        pool: Pool,
        batches: tuple[int, int],
        lr: float,
    ) -> None:
        self.model, self.predictor, self.teacher = model.train(), predictor.eval(), copy.deepcopy(model).eval()
        self.labelled, self.pool = endless(labelled, batches[0]), endless(pool, batches[1])
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
        self.told: list[float] = []

    @staticmethod
    def each(logits: Tensor, target: Tensor) -> Tensor:
        """0.5 BCE + 0.5 (1 - soft Dice) of each sample."""
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((1, 2, 3))
        probs = torch.sigmoid(logits)
        dice = (2 * (probs * target).sum((1, 2, 3)) + 1e-6) / ((probs + target).sum((1, 2, 3)) + 1e-6)
        return 0.5 * entropy + 0.5 * (1 - dice)

    def step(self) -> None:
        (images, masks), (weak, strong) = next(self.labelled), next(self.pool)
        self.optimizer.zero_grad()
        supervised = self.each(self.model(images), masks).mean()
        with torch.no_grad():
            labels = (torch.sigmoid(self.teacher(weak)) > 0.5).float()
            quality = self.predictor(weak, labels)
            weights = quality**2 * (quality >= 0.5)
        unsupervised = (weights * self.each(self.model(strong), labels)).sum() / weights.sum().clamp(min=1e-8)
        loss = supervised + 0.25 * (unsupervised if weights.sum().item() > 0 else 0.0)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(self.teacher.parameters(), self.model.parameters()):
                mine.mul_(0.99).add_(theirs, alpha=0.01)
        values = (loss, supervised, unsupervised, weights.mean(), quality.mean(), norm)
        self.told += [value.item() for value in values]
