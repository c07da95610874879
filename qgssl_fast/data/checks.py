"""Looks into every file of a data set and tells all faults at once; the store runs the same look on what it decodes."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from qgssl_fast.data.decode import decode_image, decode_mask
from qgssl_fast.data.layout import Case, Dataset
from qgssl_fast.errors import InputError

Progress = Callable[[int, int], None]  # called with (done, total), from the thread that asked


@dataclass(frozen=True)
class Fault:
    """One thing that has to be mended in a data set: the file (relative to the data set's folder) and what is wrong."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


@dataclass(frozen=True)
class Conventions:
    """What a set of files shows only as a whole: channels, bits of a pixel, and the two values of its masks."""

    channels: int = 3
    bits: int = 8
    background: int = 0
    foreground: int = 255


@dataclass
class Look:
    """What is remembered of one decoded case: no pixels."""

    split: str
    image: str
    mask: str | None
    size: tuple[int, int] | None = None  # height, width
    grey: bool = True
    peak: int = 0  # largest value where pixels are 16 bit
    digest: bytes = b""
    values: tuple[int, ...] = ()  # of the mask; the first nine where it has more
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look(case: Case, split: str, dataset: Dataset) -> tuple[Look, np.ndarray | None, np.ndarray | None]:
    """Decode one case: what it shows, its pixels and its mask's values (None where unreadable)."""
    seen = Look(split, dataset.where(case.image), dataset.where(case.mask) if case.mask else None)
    pixels = values = None
    try:
        pixels, notes = decode_image(case.image)
        seen.notes += notes
        seen.size, seen.grey = (pixels.shape[0], pixels.shape[1]), pixels.ndim == 2
        seen.peak = int(pixels.max()) if pixels.dtype == np.uint16 else 0
        content = hashlib.blake2b(repr((pixels.shape, pixels.dtype.str)).encode(), digest_size=16)
        content.update(np.ascontiguousarray(pixels).data)
        seen.digest = content.digest()
        if bool((pixels == pixels[:1, :1]).all()):
            seen.faults.append(Fault(seen.image, "constant image, every pixel is the same"))
    except InputError as error:
        seen.faults.append(Fault(seen.image, str(error)))
    if case.mask is not None and seen.mask is not None:
        try:
            values, notes = decode_mask(case.mask)
            seen.notes += notes
            seen.values = _distinct(values)
            if seen.size is not None and values.shape != seen.size:
                wanted, came = ("x".join(map(str, (s[1], s[0]))) for s in (seen.size, values.shape))
                seen.faults.append(Fault(seen.mask, f"is {came} pixels, its image {seen.image} is {wanted}"))
        except InputError as error:
            seen.faults.append(Fault(seen.mask, str(error)))
    return seen, pixels, values


def _distinct(values: np.ndarray) -> tuple[int, ...]:
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=1))
    return tuple(int(v) for v in found[:9])


def look_at_all(
    dataset: Dataset,
    cases: Iterable[tuple[str, Case]],
    keep: Callable[[int, np.ndarray, np.ndarray | None], None] | None = None,
    progress: Progress | None = None,
) -> list[Look]:
    """Decode every case once, on all cores; `keep` takes the i-th case's pixels and mask before they are let go."""

    def one(item: tuple[int, tuple[str, Case]]) -> Look:
        index, (split, case) = item
        seen, pixels, values = look(case, split, dataset)
        if keep is not None and pixels is not None and not seen.faults:
            keep(index, pixels, values)
        return seen

    listed = list(cases)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        looks = []
        for seen in pool.map(one, enumerate(listed)):
            looks.append(seen)
            if progress is not None:
                progress(len(looks), len(listed))
    return looks


def judge(
    looks: list[Look], *, given: Conventions | None = None, channels: int | None = None, allow_empty_masks: bool = False
) -> tuple[list[Fault], Conventions, list[str]]:
    """What the files say together: all faults, the conventions of the set, and what is worth saying.

    given: conventions that are already settled (those of a training set, say), which the files have to follow.
    """
    faults = [fault for seen in looks for fault in seen.faults]
    pair = (given.background, given.foreground) if given else _mask_pair(looks)
    for seen in looks:
        if seen.mask and seen.values:
            faults += _mask_faults(seen.mask, seen.values, pair, allow_empty_masks)
    repeated, notes = _shared_content(looks)
    faults += repeated
    peak = max((seen.peak for seen in looks), default=0)
    bits = given.bits if given else max(8, peak.bit_length())
    for seen in looks:
        if seen.peak.bit_length() > bits:
            faults.append(Fault(seen.image, f"holds values to {seen.peak}, over the {bits} bits of the set"))
    if peak and bits != 16:
        notes.append(f"16-bit images hold at most {peak}: read as {bits} bits")
    settled = given.channels if given else (1 if looks and all(seen.grey for seen in looks) else 3)
    conventions = Conventions(channels or settled, bits, *pair)
    counted = Counter(note for seen in looks for note in seen.notes)
    notes += [f"{note}: {count} file(s)" for note, count in counted.items()]
    grey = sum(seen.grey for seen in looks if seen.size)
    if conventions.channels == 3 and grey:
        notes.append(f"{grey} grey image(s) in a colour set: all three channels hold the grey value")
    if conventions.channels == 1 and grey < len(looks):
        notes.append(f"{len(looks) - grey} colour image(s) read as grey (luminance)")
    return faults, conventions, notes


def _mask_pair(looks: list[Look]) -> tuple[int, int]:
    """The set's two values: those that most two-valued masks hold; the lower one is the background."""
    pairs = Counter(seen.values for seen in looks if len(seen.values) == 2)
    if pairs:
        low, high = min(pairs, key=lambda pair: (-pairs[pair], pair))
        return low, high
    single = sorted({seen.values[0] for seen in looks if len(seen.values) == 1})
    if len(single) == 2:
        return single[0], single[1]
    # All masks hold the same one value: 0 can only be background, anything else only foreground.
    return (0, single[0]) if single and single[0] else (0, 255)


def _mask_faults(path: str, values: tuple[int, ...], pair: tuple[int, int], allow_empty: bool) -> list[Fault]:
    if len(values) > 2:
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        hint = "; JPEG blurs masks, save them as PNG" if path.lower().endswith((".jpg", ".jpeg")) else ""
        return [Fault(path, f"a mask has two values, this one has {shown}{hint}")]
    if not set(values) <= set(pair):
        came = " and ".join(map(str, values))
        return [Fault(path, f"mask values {came}, the other masks have {pair[0]} and {pair[1]}")]
    if values == (pair[0],) and not allow_empty:
        return [Fault(path, f"empty mask (all {values[0]}); allow_empty_masks accepts it")]
    return []


def _shared_content(looks: list[Look]) -> tuple[list[Fault], list[str]]:
    by_digest: dict[bytes, list[Look]] = defaultdict(list)
    for seen in looks:
        if seen.digest:
            by_digest[seen.digest].append(seen)
    faults, twice = [], 0
    for first, *others in by_digest.values():
        for other in others:
            if other.split == first.split:
                twice += 1
            else:
                text = f"same pixels in {other.split} as {first.image} in {first.split}: the splits leak"
                faults.append(Fault(other.image, text))
    return faults, [f"{twice} image(s) have the pixels of another one in the same split"] if twice else []


def check_dataset(
    dataset: Dataset, *, allow_empty_masks: bool = False, progress: Progress | None = None
) -> list[Fault]:
    """Decode every file of the data set and list all faults, none where all is well.

    Unreadable or oversized files, image and mask of different sizes, masks that are empty (unless allowed) or not of
    the set's two values, constant images, the same pixels in two splits. progress: called with (done, total).
    """
    cases = [(split, case) for split, listed in dataset.splits.items() for case in listed]
    return judge(look_at_all(dataset, cases, progress=progress), allow_empty_masks=allow_empty_masks)[0]
