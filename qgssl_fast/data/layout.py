"""What a data set is: cases in four splits, and the rules for the paths that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from qgssl_fast.errors import InputError

SPLITS = ("train", "val", "test", "unlabeled")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
LAYOUTS = (
    "a data set folder holds train.csv (and val.csv, test.csv, unlabeled.csv; columns image_path,mask_path, "
    "paths relative to the folder), or images/ and masks/ with equal file names (and unlabeled/)"
)


@dataclass(frozen=True)
class Case:
    """One image, with its mask where there is one. `name` is unique in its data set and fit for a file name."""

    name: str
    image: Path
    mask: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """Cases by split (train, val, test, unlabeled; each may be empty but train), and what was decided in reading."""

    root: Path
    splits: dict[str, tuple[Case, ...]]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(cases) for cases in self.splits.values())

    def where(self, path: Path) -> str:
        """The path as the user would write it: relative to the data set's folder."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return str(path)


def resolve_inside(root: Path, text: str) -> Path:
    """The path `text` under `root`; raises InputError where it leads out of it (absolute, "..", a symlink)."""
    relative = PurePosixPath(text)
    if relative.is_absolute() or Path(text).is_absolute():
        raise InputError(f"{text}: paths have to be relative to the data set's folder")
    if ".." in relative.parts:
        raise InputError(f"{text}: '..' is refused, files have to lie in the data set's folder")
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{text}: a link that leaves the data set's folder is refused")
    return path


def shuffled(cases: Iterable[Case], seed: int) -> list[Case]:
    """The cases in a seeded order that depends on each name alone: adding a case does not reorder the others."""

    def key(case: Case) -> tuple[bytes, str]:
        return hashlib.blake2b(
            f"{seed}:{case.name}".encode("utf-8", "surrogateescape"), digest_size=8
        ).digest(), case.name

    return sorted(cases, key=key)
