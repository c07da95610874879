"""What a training loop keeps for its corruptions: the bank of donor masks, and the recipe bound to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors import SafetensorError
from torch import Tensor

from .errors import InputError
from .files import write_tensors
from .kernels.reference.bank import BankTables, neighbours, pack, unpack
from .ops import _check
from .ops.corrupt import MOST_CLASSES, Corruption, corrupt
from .recipes import Recipe


class MaskBank:
    """The true masks of N images and what weak models made of them, as bits: 1/8 byte a pixel.

    truth: uint8 or bool [N, *S], nonzero = 1, or labels below num_classes where that is above 2; N >= 1.
    cross_image draws donors from the truth, with all their classes: uniform among the
    fifth (at least one) of the other images that is nearest in area, of equally near ones the lower in (area, number).
    A bank of one image has no donor: its own mask comes. `add` gives one weak model's masks of all N images.
    Masks come as they were put in: whoever flips or warps masks does so after corruption.
    """

    def __init__(self, truth: Tensor, num_classes: int = 2) -> None:
        _check.masks("MaskBank", "truth", truth)
        self.num_classes = _check.integer("MaskBank", "num_classes", num_classes, 2, MOST_CLASSES)
        _check_labels("MaskBank", "truth", truth, num_classes)
        if len(truth) == 0:
            raise InputError("MaskBank: truth must hold at least one mask, got none")
        self.size: tuple[int, ...] = tuple(truth.shape[1:])
        self._truth = _to_bits(truth, num_classes)
        self._weak = self._truth.new_zeros((0, *self._truth.shape))
        self._tables: BankTables | None = None

    def __len__(self) -> int:
        return len(self._truth)

    @property
    def snapshots(self) -> int:
        """How many weak models' masks there are."""
        return len(self._weak)

    def add(self, masks: Tensor) -> None:
        """One weak model's masks of all images: uint8 or bool [N, *S], in the order of the truth."""
        _check.masks("MaskBank.add", "masks", masks)
        if tuple(masks.shape) != (len(self), *self.size):
            raise InputError(f"MaskBank.add: masks must be {[len(self), *self.size]}, got {list(masks.shape)}")
        _check_labels("MaskBank.add", "masks", masks, self.num_classes)
        self._weak = torch.cat([self._weak, _to_bits(masks, self.num_classes)[None].to(self._weak.device)])
        self._tables = None

    def truth(self) -> Tensor:
        """uint8 [N, *S]."""
        return _from_bits(self._truth, self.size)

    def weak(self, snapshot: int) -> Tensor:
        """uint8 [N, *S] of one snapshot."""
        if not 0 <= snapshot < self.snapshots:
            raise InputError(f"MaskBank.weak: snapshot must be in 0 .. {self.snapshots - 1}, got {snapshot}")
        return _from_bits(self._weak[snapshot], self.size)

    def to(self, device: torch.device | str) -> MaskBank:
        """This bank with its bits on `device`."""
        self._truth, self._weak, self._tables = self._truth.to(device), self._weak.to(device), None
        return self

    @property
    def tables(self) -> BankTables:
        """What kernels read."""
        if self._tables is None:
            truth, weak = self._truth.cpu().numpy(), self._weak.cpu().numpy()
            area = unpack(truth, self.size[-1]).reshape(len(self), -1).sum(axis=1, dtype=np.int64)
            self._tables = BankTables(self.size, truth, weak, *neighbours(area))
        return self._tables

    def save(self, path: str | Path) -> None:
        """A safetensors file, written whole or not at all."""
        tensors = {"truth": self._truth.cpu().contiguous(), "weak": self._weak.cpu().contiguous()}
        write_tensors(
            path,
            tensors,
            {"kind": "qgssl_fast.MaskBank", "size": json.dumps(self.size), "classes": str(self.num_classes)},
        )

    @classmethod
    def load(cls, path: str | Path) -> MaskBank:
        """The bank that `save` wrote, on the CPU. Raises InputError where the file is not one."""
        try:
            with safetensors.safe_open(path, "pt") as file:
                notes = file.metadata() or {}
                if notes.get("kind") != "qgssl_fast.MaskBank":
                    raise InputError(f"{path}: not a MaskBank (kind is {notes.get('kind')!r})")
                tensors = {name: file.get_tensor(name) for name in ("truth", "weak")}
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: cannot be read as a MaskBank: {error}") from None
        size, classes = tuple(json.loads(notes["size"])), int(notes.get("classes", 2))
        wanted = (classes - 1, *size[:-1], 8 * -(-size[-1] // 64))
        if tensors["truth"].shape[1:] != wanted or tensors["weak"].shape[1:] != tensors["truth"].shape:
            raise InputError(f"{path}: the MaskBank's tensors do not fit its size {list(size)}")
        bank = cls.__new__(cls)
        bank.num_classes = classes
        bank.size, bank._truth, bank._weak, bank._tables = size, tensors["truth"], tensors["weak"], None
        return bank


class Corruptor:
    """A recipe with its bank and seed: ``corruptor(masks, sample_ids, image_ids)`` is :func:`~qgssl_fast.corrupt`."""

    def __init__(
        self, recipe: Recipe, bank: MaskBank | None = None, seed: int = 0, num_classes: int = 2, backend: str = "auto"
    ) -> None:
        self.recipe, self.bank, self.seed, self.num_classes, self.backend = recipe, bank, seed, num_classes, backend

    def __call__(
        self,
        masks: Tensor,
        sample_ids: Tensor,
        image_ids: Tensor | None = None,
        errors: bool = False,
        out: Tensor | None = None,
        spacing: Sequence[float] | None = None,
    ) -> Corruption:
        """masks: uint8 [B, *S]; sample_ids, image_ids: integers [B]; out, spacing: as :func:`~qgssl_fast.corrupt` takes
        them."""
        return corrupt(
            masks,
            self.recipe,
            seed=self.seed,
            sample_ids=sample_ids,
            bank=self.bank,
            image_ids=image_ids,
            errors=errors,
            out=out,
            spacing=spacing,
            num_classes=self.num_classes,
            backend=self.backend,
        )


def _to_bits(masks: Tensor, num_classes: int) -> Tensor:
    """[N, *S] -> [N, C - 1, *S[:-1], bytes]."""
    labels = masks.cpu().numpy()
    planes = [labels != 0] if num_classes == 2 else [labels == c for c in range(1, num_classes)]
    return torch.from_numpy(pack(np.stack(planes, axis=1))).to(masks.device)


def _from_bits(bits: Tensor, size: tuple[int, ...]) -> Tensor:
    planes = unpack(bits.cpu().numpy(), size[-1])
    numbers = np.arange(1, planes.shape[1] + 1, dtype=np.uint8).reshape(-1, *(1,) * len(size))
    return torch.from_numpy((planes * numbers).sum(axis=1, dtype=np.uint8)).to(bits.device)


def _check_labels(op: str, name: str, masks: Tensor, num_classes: int) -> None:
    if num_classes > 2:
        _check.labels(op, name, masks, num_classes)
