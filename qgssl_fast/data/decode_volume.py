"""One case's files (NIfTI, HDF5, images a channel) to a volume in RAS orientation; all that fails is InputError."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.orientations import aff2axcodes, apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from qgssl_fast.data.decode import decode_image, decode_mask
from qgssl_fast.data.layout import Case, suffix_of
from qgssl_fast.errors import InputError

MAX_VALUES = 1 << 29  # 2 GB as float32: more than a whole-body CT, less than a compressed bomb
LABEL_SLACK = 1e-3  # a float label this near to a whole number was meant to be it
PLACE_SLACK = 0.05  # voxels that a corner of the label may lie off that of its image


@dataclass
class Grid:
    """Where voxels lie: shape and spacing (mm) in the order z, y, x of RAS; what the file says of itself."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    file_shape: tuple[int, ...]
    affine: np.ndarray | None = None
    """4 x 4, as in the file; None where there is none (HDF5, images)."""
    flat: bool = False
    """One slice, which the file holds as an image of two axes."""
    deep: bool = False
    """Whether the files hold more than 8 bits a voxel."""

    def restored(self, labels: np.ndarray) -> np.ndarray:
        """Labels [D, H, W] of this grid in the file's own order of axes and shape."""
        if self.affine is None:
            return labels[0] if self.flat else labels
        along = labels.transpose(2, 1, 0)
        back = ornt_transform(axcodes2ornt(("R", "A", "S")), io_orientation(self.affine))
        return apply_orientation(along, back).reshape(self.file_shape[:3])


@dataclass
class Volume:
    """image float32 [C, D, H, W]; labels integer [D, H, W] or None; notes: what was changed in reading."""

    image: np.ndarray
    grid: Grid
    labels: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def read_grid(case: Case) -> Grid:
    """The grid of a case's image, from headers alone where the format has one."""

    def one(path: Path) -> Grid:
        return _nifti(path)[1] if _is_nifti(path) else _plain(path, "image")[1]

    grid = _guarded(case.image, one)
    grid.deep = grid.deep or any(_guarded(path, one).deep for path in case.channels)
    return grid


def read_image(case: Case) -> Volume:
    """All channels of a case. Raises InputError: unreadable, 4D beyond its channels, channels that differ in place."""
    volume = _guarded(case.image, _image)
    parts = [volume.image]
    for path in case.channels:
        other = _guarded(path, _image)
        if other.grid.shape != volume.grid.shape or (why := misplaced(volume.grid, other.grid)):
            what = why if other.grid.shape == volume.grid.shape else f"is {size(other.grid)}"
            raise InputError(f"{path.name}: {what}, the first channel is {size(volume.grid)}")
        parts.append(other.image)
    image = np.concatenate(parts) if len(parts) > 1 else volume.image
    return Volume(image, volume.grid, None, volume.notes)


def read_labels(path: Path) -> Volume:
    """Labels of a file as whole numbers >= 0; `image` is empty. Raises InputError, also for fractional labels."""
    return _guarded(path, _labels)


def size(grid: Grid) -> str:
    """ "35x51x35", x first, as viewers say it."""
    return "x".join(map(str, grid.shape[::-1]))


def misplaced(image: Grid, label: Grid) -> str:
    """How the label's voxels lie elsewhere than the image's of the same shape; "" where they do not."""
    if image.affine is None or label.affine is None:
        return ""
    if not np.allclose(image.spacing, label.spacing, rtol=1e-3):
        return f"has spacing {_mm(label.spacing)}, its image has {_mm(image.spacing)}"
    if aff2axcodes(image.affine) != aff2axcodes(label.affine):
        codes = ("".join(map(str, aff2axcodes(grid.affine))) for grid in (label, image))
        return "has orientation {}, its image has {}".format(*codes)
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float).T
    corners[:3] *= np.array(image.shape[::-1])[:, None] - 1
    off = np.linalg.norm(((image.affine - label.affine) @ corners)[:3], axis=0).max()
    if off > PLACE_SLACK * min(image.spacing):
        return f"its affine puts voxels up to {off:.2f} mm away from those of its image"
    return ""


def _mm(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{side:.4g}" for side in spacing[::-1]) + " mm"


def _is_nifti(path: Path) -> bool:
    return suffix_of(path) in (".nii", ".nii.gz")


def _guarded(path: Path, read: Any) -> Any:
    try:
        return read(path)
    except InputError:
        raise
    except MemoryError:
        raise InputError("more data than memory") from None
    except Exception as error:  # nibabel, zlib, h5py and gzip raise dozens of kinds on damaged files
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"unreadable ({text[:200]})") from None


def _nifti(path: Path) -> tuple[Any, Grid]:
    image = nibabel.load(path)
    if not isinstance(image, (nibabel.Nifti1Image, nibabel.Nifti2Image)):
        raise InputError(f"is {type(image).__name__}, wanted NIfTI")
    with nibabel.openers.ImageOpener(str(path)) as stream:  # nibabel's own header has had its faults mended
        raw = image.header_class.from_fileobj(stream, check=False)
    sides = [float(v) for v in raw["pixdim"][1:4]]
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 2 or min(shape) < 1:
        raise InputError(f"has shape {list(image.shape)}, wanted a volume")
    if np.prod(shape, dtype=np.int64) > MAX_VALUES:
        raise InputError(f"{'x'.join(map(str, shape))} voxels are over the limit of {MAX_VALUES:,}")
    axes = min(len(shape), 3)
    if any(not np.isfinite(v) or v < 0 for v in sides[:axes]):
        raise InputError(f"negative or no spacing in its header: {sides[:axes]} mm")
    affine = np.asarray(image.affine, float)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError("its affine is singular or not finite")
    space = (*shape, 1)[:3]
    order = io_orientation(affine)
    if np.isnan(order).any():
        raise InputError("its affine does not tell the orientation")
    along = [0, 0, 0]
    for axis, (to, _) in enumerate(order):
        along[int(to)] = axis
    sizes = nibabel.affines.voxel_sizes(affine)
    x, y, z = along
    ras, steps = (space[z], space[y], space[x]), (float(sizes[z]), float(sizes[y]), float(sizes[x]))
    deep = image.get_data_dtype().itemsize > 1
    return image, Grid(ras, steps, tuple(image.shape), affine, len(shape) == 2, deep)


def _turned(values: np.ndarray, affine: Any) -> np.ndarray:
    """[X, Y, Z, ...] of the file to [..., Z, Y, X] in RAS."""
    turned = apply_orientation(values, io_orientation(affine))
    return np.ascontiguousarray(turned.transpose(*range(turned.ndim - 1, 2, -1), 2, 1, 0))


def _image(path: Path) -> Volume:
    if not _is_nifti(path):
        values, grid = _plain(path, "image")
        return Volume(values.astype(np.float32, copy=False), grid)
    image, grid = _nifti(path)
    values = np.asarray(image.dataobj, dtype=np.float32)
    values = values.reshape(*(*values.shape, 1)[:3], *[n for n in values.shape[3:] if n > 1])
    if values.ndim > 4:
        raise InputError(f"is {values.ndim}D ({'x'.join(map(str, image.shape))}), wanted 3D")
    turned = _turned(values, grid.affine)
    return Volume(turned if turned.ndim == 4 else turned[None], grid)


def _labels(path: Path) -> Volume:
    if _is_nifti(path):
        image, grid = _nifti(path)
        values = np.asanyarray(image.dataobj)
        values = values.reshape(*(*values.shape, 1)[:3], *[n for n in values.shape[3:] if n > 1])
        if values.ndim > 3:
            raise InputError(f"is 4D ({'x'.join(map(str, image.shape))}), a label has three axes")
        values = _turned(values, grid.affine)
    else:
        found, grid = _plain(path, "label")
        values = found[0]
    notes = []
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise InputError("labels that are NaN or infinite")
        near = np.rint(values)
        off = np.abs(values - near)
        if (most := float(off.max(initial=0))) > LABEL_SLACK:
            raise InputError(f"fractional label {float(values.flat[int(off.argmax())]):.6g}, wanted whole numbers")
        if most > 0:
            notes.append("float labels rounded to whole numbers")
        values = near
    elif values.dtype.kind not in "iub":
        raise InputError(f"labels of kind {values.dtype}, wanted whole numbers")
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 65535:
        raise InputError(f"labels {low} to {high}, wanted 0 to 65535")
    return Volume(np.empty(0, np.float32), grid, values.astype(np.uint8 if high < 256 else np.uint16), tuple(notes))


def _plain(path: Path, what: str) -> tuple[np.ndarray, Grid]:
    """[C, D, H, W] of an HDF5 data set or of an image file of one channel."""
    if suffix_of(path) in (".h5", ".hdf5"):
        values = _hdf5(path, what)
    else:
        values = (decode_mask if what == "label" else decode_image)(path)[0]
        if values.ndim == 3:
            raise InputError("is a colour image, wanted one channel a file")
    flat = values.ndim == 2
    if values.ndim not in (2, 3):
        raise InputError(f"{what} has shape {list(values.shape)}, wanted [H, W] or [D, H, W]")
    values = values[None] if flat else values
    deep = values.dtype.itemsize > 1
    return values[None], Grid(tuple(values.shape), (1.0, 1.0, 1.0), tuple(values.shape[flat:]), None, flat, deep)


def _hdf5(path: Path, what: str) -> np.ndarray:
    if importlib.util.find_spec("h5py") is None:
        raise InputError("HDF5 files need h5py: pip install 'qgssl_fast[hdf5]'")
    import h5py

    with h5py.File(path, "r") as file:
        if not isinstance(file.get(what), h5py.Dataset):
            raise InputError(f"has no data set {what!r}; there are {', '.join(file) or 'none'}")
        if file[what].size > MAX_VALUES:
            raise InputError(f"{file[what].size:,} values are over the limit of {MAX_VALUES:,}")
        return file[what][()]
