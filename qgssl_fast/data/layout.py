"""What a data set is: cases in four splits, and the rules for the paths that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from qgssl_fast.errors import Faults, InputError

SPLITS = ("train", "val", "test", "unlabeled")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
VOLUME_SUFFIXES = (".nii", ".nii.gz", ".h5", ".hdf5")
GROUP_COLUMNS = ("group", "patient", "patient_id", "subject", "lesion", "sequence")
LAYOUTS = (
    "a data set folder holds train.csv (and val.csv, test.csv, unlabeled.csv; columns image_path,mask_path, "
    "paths relative to the folder), or images/ and masks/ with equal file names (and unlabeled/), or dataset.json "
    "beside imagesTr/ and labelsTr/ (Decathlon, nnU-Net), or train.list beside data/*.h5 (SSL4MIS)"
)


@dataclass(frozen=True)
class Case:
    """One image or volume, with its mask where there is one. `name` is unique in its data set and fit for a file name.

    group: what must not be torn apart by a split (patient, lesion, sequence). channels: files of the further channels.
    HDF5: image and mask are one file, which holds both.
    """

    name: str
    image: Path
    mask: Path | None = None
    group: str | None = None
    channels: tuple[Path, ...] = ()

    @property
    def volumetric(self) -> bool:
        """Whether it is read as a volume: NIfTI, HDF5, or channels in files of their own (a volume one slice deep)."""
        return bool(self.channels) or suffix_of(self.image) in VOLUME_SUFFIXES

    def without_mask(self) -> Case:
        return replace(self, mask=None)


@dataclass(frozen=True)
class Dataset:
    """Cases by split (train, val, test, unlabeled; each may be empty but train), and what was decided in reading."""

    root: Path
    splits: dict[str, tuple[Case, ...]]
    notes: list[str] = field(default_factory=list)
    labels: dict[int, str] | None = None
    """Mask value -> class name, background first, where the data set declares them."""

    @property
    def volumetric(self) -> bool:
        return any(case.volumetric for cases in self.splits.values() for case in cases)

    def __len__(self) -> int:
        return sum(len(cases) for cases in self.splits.values())

    def where(self, path: Path) -> str:
        """The path as the user would write it: relative to the data set's folder."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return str(path)


def suffix_of(path: Path) -> str:
    """The suffix in lower case; ".nii.gz" is one."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def stem_of(path: Path) -> str:
    """The file's name without :func:`suffix_of`."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def looks_volumetric(root: Path) -> bool:
    """Whether the folder's first image is a volume, by names alone; False where there is no data set."""
    try:
        if (root / "train.csv").exists():
            lines = (root / "train.csv").read_text(encoding="utf-8-sig").splitlines()[:2]
            return any(end in line.lower() for line in lines[1:] for end in VOLUME_SUFFIXES)
        folder = next((root / name for name in ("imagesTr", "images") if (root / name).is_dir()), None)
        names = (path for path in sorted(folder.iterdir()) if not path.name.startswith(".")) if folder else iter(())
        first = next(names, None)
        return first is not None and suffix_of(first) in VOLUME_SUFFIXES
    except (OSError, UnicodeDecodeError):
        return False


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


def existing(root: Path, text: str, place: str, faults: Faults) -> list[Path]:
    """[the file `text` under `root`], or none and a fault that begins with `place`."""
    try:
        path = resolve_inside(root, text)
        if path.is_file():
            return [path]
        hint = " (use / in paths)" if "\\" in text else ""
        faults.add(f"{place}: {text}: {'not a file' if path.exists() else 'no such file'}{hint}")
    except InputError as error:
        faults.add(f"{place}: {error}")
    except (OSError, ValueError, RuntimeError) as error:  # name too long, NUL byte, a loop of links
        faults.add(f"{place}: {text!r}: not a usable path ({error})")
    return []


def shuffled(cases: Iterable[Case], seed: int) -> list[Case]:
    """The cases in a seeded order that depends on each name alone: adding a case does not reorder the others.

    Cases of one group stand together, in the place of the group's name.
    """

    def key(case: Case) -> tuple[bytes, str, str]:
        name = case.name if case.group is None else f"group {case.group}"
        digest = hashlib.blake2b(f"{seed}:{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return digest, name, case.name

    return sorted(cases, key=key)
