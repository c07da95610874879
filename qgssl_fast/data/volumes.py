"""From a volume in its file to what networks see, and back: spacing, intensities, slices, patches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
import torch.nn.functional as F

from qgssl_fast.data.decode_volume import Grid, Volume, read_grid, read_image, read_labels
from qgssl_fast.data.layout import Case, suffix_of
from qgssl_fast.data.resize import nearest
from qgssl_fast.errors import Faults, InputError
from qgssl_fast.files import replacing

INTENSITIES = ("percentile", "zscore", "window")
Sample = tuple[str, np.ndarray, np.ndarray | None]  # name, image [C, *size], labels [*size]
LOW, HIGH = 0.5, 99.5  # percentiles that become black and white
DEVIATIONS = 4.0  # standard deviations from the mean that become black and white


@dataclass(frozen=True)
class VolumeOptions:
    """How volumes become samples. Three sides of a size mean patches (a volume that fits is padded), two mean slices.

    spacing: mm along z, y, x; None: as it is where all volumes agree, else the median of the set (3D alone).
    intensity: a volume's percentiles 0.5 and 99.5, its mean -+ 4 standard deviations ("zscore"), or a fixed `window`
    (low, high) of CT become black and white. patches: of a volume larger than the size; foreground: the share of them
    that is centred on a voxel of a class, all classes alike. anew: whole training volumes are kept too, so that steps
    can draw patches elsewhere each time.
    """

    spacing: tuple[float, float, float] | None = None
    intensity: str = "percentile"
    window: tuple[float, float] | None = None
    patches: int = 4
    foreground: float = 0.5
    seed: int = 0
    anew: bool = False

    def __post_init__(self) -> None:
        faults = Faults()
        if self.intensity not in INTENSITIES:
            faults.add(f"intensity must be one of {', '.join(INTENSITIES)}, got {self.intensity!r}")
        if (self.window is not None) != (self.intensity == "window"):
            faults.add(f"window is (low, high) for intensity=window, got {self.window} with {self.intensity}")
        elif self.window is not None and not self.window[0] < self.window[1]:
            faults.add(f"window must be (low, high) with low < high, got {self.window}")
        if self.spacing is not None and (len(self.spacing) != 3 or not min(self.spacing) > 0):
            faults.add(f"spacing must be three numbers > 0 (z, y, x), got {self.spacing}")
        if self.patches < 1:
            faults.add(f"patches must be >= 1, got {self.patches}")
        if not 0 <= self.foreground <= 1:
            faults.add(f"foreground must be in [0, 1], got {self.foreground}")
        faults.check("volumes")


@dataclass
class Prepared:
    """One volume as stores keep it: image [C, D, H, W] on the target spacing; truth [D, H, W] as in the file."""

    case: Case
    image: np.ndarray
    grid: Grid
    truth: np.ndarray | None


@dataclass(frozen=True)
class VolumePlan:
    """What is settled for a set of volumes: options with the spacing decided, the size, the labels' values, and what
    images are kept as (uint8, or float16 in [0, 1])."""

    options: VolumeOptions
    size: tuple[int, ...]
    labels: tuple[int, ...]
    dtype: str = "uint8"

    @property
    def sliced(self) -> bool:
        return len(self.size) == 2

    def prepare(self, case: Case) -> Prepared:
        """Read a case again, whole, its truth as class numbers on the file's own grid."""
        volume = read_image(case)
        truth = None if case.mask is None else to_classes(read_labels(case.mask).labels, self.labels)
        return Prepared(case, self.image(volume), volume.grid, truth)

    def count(self, grid: Grid) -> int:
        """How many samples a volume gives."""
        if self.sliced:
            return grid.shape[0]
        return 1 if all(n <= side for n, side in zip(self.target(grid), self.size)) else self.options.patches

    def image(self, volume: Volume) -> np.ndarray:
        """[C, *target] of a volume; slices keep their own grid."""
        kept = to_kept(volume.image, self.options, self.dtype)
        return kept if self.sliced else resize(kept, self.target(volume.grid))

    def target(self, grid: Grid) -> tuple[int, ...]:
        """Shape of a grid on the settled spacing."""
        if self.sliced or self.options.spacing is None:
            return grid.shape
        return tuple(max(1, round(n * s / t)) for n, s, t in zip(grid.shape, grid.spacing, self.options.spacing))

    def wholes(self, grids: list[Grid | None]) -> int:
        """Voxels of the volumes that give several patches, and of those beside them; 0 where none does."""
        known = [grid for grid in grids if grid is not None]
        several = not self.sliced and self.options.patches > 1 and any(self.count(grid) > 1 for grid in known)
        return sum(int(np.prod(self.target(grid), dtype=np.int64)) for grid in known) if several else 0

    def samples(self, name: str, image: np.ndarray, labels: np.ndarray | None) -> Iterator[Sample]:
        """(name, image [C, *size], labels as in the file [*size]) of each slice or patch of a prepared volume."""
        if self.sliced:
            for z in range(image.shape[1]):
                part = None if labels is None else nearest(labels[z], self.size)
                yield (f"{name}_z{z:03d}" if image.shape[1] > 1 else name), resize(image[:, z], self.size), part
            return
        labels = None if labels is None else nearest(labels, image.shape[1:])
        corners = list(self._corners(name, image.shape[1:], labels))
        for number, corner in enumerate(corners):
            part = None if labels is None else cut(labels, corner, self.size)
            yield (f"{name}_p{number}" if len(corners) > 1 else name), cut(image, corner, self.size), part

    def _corners(self, name: str, shape: tuple[int, ...], labels: np.ndarray | None) -> Iterator[tuple[int, ...]]:
        slack = [have - want for have, want in zip(shape, self.size)]
        if max(slack) <= 0:
            yield tuple(s // 2 for s in slack)
            return
        rng = np.random.default_rng([self.options.seed, *name.encode("utf-8", "surrogateescape")])
        present = [] if labels is None else [value for value in self.labels[1:] if (labels == value).any()]
        centred = round(self.options.patches * self.options.foreground) if present else 0
        for number in range(self.options.patches):
            if number < centred:
                voxels = np.flatnonzero(labels == present[number % len(present)])
                place = np.unravel_index(int(voxels[rng.integers(len(voxels))]), shape)
                corner = [int(p) - want // 2 for p, want in zip(place, self.size)]
            else:
                corner = [int(rng.integers(max(s, 0) + 1)) for s in slack]
            yield tuple(s // 2 if s < 0 else min(max(c, 0), s) for c, s in zip(corner, slack))

    def write(self, prepared: Prepared, classes: np.ndarray, path: Path) -> None:
        """Class numbers uint8 [D, H, W] of the file's grid as NIfTI: the source's affine and header, the set's values.

        Cases that are no NIfTI get an affine of their spacing.
        """
        values = np.asarray(self.labels, np.uint16 if max(self.labels) > 255 else np.uint8)[classes]
        case, grid = prepared.case, prepared.grid
        if suffix_of(case.image) in (".nii", ".nii.gz"):
            source: Any = nibabel.load(case.image)
            header = source.header.copy()
            header.set_data_dtype(values.dtype)
            header.set_slope_inter(1, 0)
            header["cal_max"], header["cal_min"] = 0, 0
            made = type(source)(grid.restored(values), source.affine, header)
        else:
            made = nibabel.Nifti1Image(values.transpose(2, 1, 0), np.diag([*grid.spacing[::-1], 1.0]))
        with replacing(path) as beside:
            nibabel.save(made, beside)


def settle_spacing(options: VolumeOptions, grids: list[Grid], sliced: bool) -> tuple[VolumeOptions, list[str]]:
    """Options with the spacing decided, and what to say of it."""
    if options.spacing is not None or sliced or not grids:
        return options, []
    spacings = np.array([grid.spacing for grid in grids])
    middle = np.median(spacings, axis=0)
    if np.allclose(spacings, middle, rtol=0.01):
        return options, []
    text = " x ".join(f"{side:.3g}" for side in middle[::-1])
    z, y, x = map(float, middle)
    return replace(options, spacing=(z, y, x)), [f"volumes are resampled to the set's median spacing, {text} mm"]


def readable_grids(cases: Iterable[Case]) -> list[Grid | None]:
    """From headers alone; None where it cannot be read, which is told when it is looked at."""
    found: list[Grid | None] = []
    for case in cases:
        try:
            found.append(read_grid(case))
        except InputError:
            found.append(None)
    return found


def most_channels(cases: Iterable[Case]) -> int:
    """Channels that most of the readable cases have."""
    counts = Counter(1 + len(case.channels) if case.channels else grid_channels(case) for case in cases)
    del counts[0]
    return max(counts, key=lambda count: (counts[count], count)) if counts else 1


def grid_channels(case: Case) -> int:
    try:
        shape = read_grid(case).file_shape
    except InputError:
        return 0
    return shape[3] if len(shape) == 4 else 1


def to_kept(image: np.ndarray, options: VolumeOptions, dtype: str = "uint8") -> np.ndarray:
    """float32 [C, ...] to uint8, or to float16 in [0, 1], each channel by itself."""
    out, white = np.empty(image.shape, dtype), 255 if dtype == "uint8" else 1
    for channel, made in zip(image, out):
        if options.window is not None:
            low, high = options.window
        elif options.intensity == "zscore":
            mean, deviation = float(channel.mean(dtype=np.float64)), float(channel.std(dtype=np.float64))
            low, high = mean - DEVIATIONS * deviation, mean + DEVIATIONS * deviation
        else:
            low, high = (float(v) for v in np.percentile(channel, (LOW, HIGH)))
            if not low < high:  # nearly all voxels are one value: the few others are the picture
                low, high = float(channel.min()), float(channel.max())
        scale = white / (high - low) if high > low else 0.0
        values = ((channel - low) * scale).clip(0, white)
        made[:] = np.rint(values) if dtype == "uint8" else values
    return out


def to_classes(labels: Any, values: tuple[int, ...]) -> np.ndarray:
    """File values to class numbers uint8; one that is none of `values` (a fault, told before) becomes background."""
    table = np.zeros(65536, np.uint8)
    table[list(values)] = np.arange(len(values))
    return table[labels]


def resize(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """uint8 or float16 [C, *s] to [C, *size]: linear; images are antialiased where they shrink."""
    if image.shape[1:] == tuple(size):
        return image
    values = torch.from_numpy(np.ascontiguousarray(image)).float()[None]
    if len(size) == 2:
        made = F.interpolate(values, tuple(size), mode="bilinear", antialias=True)
    else:
        made = F.interpolate(values, tuple(size), mode="trilinear")
    if image.dtype == np.uint8:
        return made[0].round_().clamp_(0, 255).to(torch.uint8).numpy()
    return made[0].clamp_(0, 1).numpy().astype(image.dtype)


def cut(values: np.ndarray, corner: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """The box at `corner` (negative: padded by 0 there) out of the last axes of `values`."""
    out = np.zeros((*values.shape[: values.ndim - len(size)], *size), values.dtype)
    source = tuple(slice(max(c, 0), max(c, 0) + n) for c, n in zip(corner, size))
    lead = (slice(None),) * (values.ndim - len(size))
    piece = values[lead + source]
    target = tuple(slice(max(-c, 0), max(-c, 0) + n) for c, n in zip(corner, piece.shape[values.ndim - len(size) :]))
    out[lead + target] = piece
    return out
