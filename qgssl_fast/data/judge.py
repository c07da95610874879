"""What the files of a data set say together: channels, bit depth, mask values, and the faults that only all show."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field

from qgssl_fast.errors import InputError

MOST_VALUES = 256  # that are remembered of one mask; more are no labels
MOST_CLASSES = 255


@dataclass(frozen=True)
class Fault:
    """One thing that has to be mended in a data set: the file (relative to the data set's folder) and what is wrong."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


@dataclass(frozen=True)
class Conventions:
    """What a set of files shows only as a whole: channels, bits of a pixel, and the values of its masks."""

    channels: int = 3
    bits: int = 8
    labels: tuple[int, ...] = (0, 255)
    """Mask values by class, background first."""

    @property
    def num_classes(self) -> int:
        return len(self.labels)


@dataclass
class Look:
    """What is remembered of one decoded case: no pixels."""

    split: str
    image: str
    mask: str | None
    shape: tuple[int, ...] | None = None  # of the image: height, width, of volumes depth first
    volume: bool = False
    grey: bool = True
    channels: int = 1
    peak: int = 0  # largest value where pixels are 16 bit
    digest: bytes = b""
    values: tuple[int, ...] = ()  # of the mask
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """All but the split, which is not the files'."""
        return json.dumps({**asdict(self), "split": "", "digest": self.digest.hex()}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, split: str) -> Look:
        found = json.loads(text)
        found |= {"split": split, "digest": bytes.fromhex(found["digest"]), "values": tuple(found["values"])}
        found["shape"] = None if found["shape"] is None else tuple(found["shape"])
        found["faults"] = [Fault(**fault) for fault in found["faults"]]
        return cls(**found)


def judge(
    looks: list[Look],
    *,
    given: Conventions | None = None,
    channels: int | None = None,
    allow_empty_masks: bool = False,
    declared: dict[int, str] | None = None,
    classes: int | None = None,
) -> tuple[list[Fault], Conventions, list[str]]:
    """All faults, the conventions of the set, and what is worth saying.

    given: conventions that are already settled (those of a training set, say), which the files have to follow.
    declared: mask value -> class name, by the data set itself. classes: how many values the masks of images have in
    all; without either, images have two and volumes as many as are found.
    """
    faults = [fault for seen in looks for fault in seen.faults]
    volumes = any(seen.volume for seen in looks)
    if volumes:
        for seen in looks:
            if seen.shape and not seen.volume:
                faults.append(Fault(seen.image, "is an image in a set of volumes"))
    if given:
        labels = given.labels
    elif declared:
        labels = tuple(declared)
    elif volumes or (classes or 2) > 2:
        labels = _found_labels(looks, classes)
    else:
        labels = _mask_pair(looks)
    several = volumes or len(labels) > 2
    for seen in looks:
        if seen.mask and seen.values:
            check = _label_faults if several or declared else _mask_faults
            faults += check(seen.mask, seen.values, labels, allow_empty_masks)
    repeated, notes = _shared_content(looks)
    faults += repeated
    if len(labels) > 2:
        faults += _absent_classes(looks, labels, declared or {})
    if several and labels != tuple(range(len(labels))):
        notes.append(f"mask values {', '.join(map(str, labels))} are classes 0 to {len(labels) - 1}")
    if volumes:
        return faults, Conventions(_volume_channels(looks, faults), 8, labels), notes + _counted(looks)
    peak = max((seen.peak for seen in looks), default=0)
    bits = given.bits if given else max(8, peak.bit_length())
    for seen in looks:
        if seen.peak.bit_length() > bits:
            faults.append(Fault(seen.image, f"holds values to {seen.peak}, over the {bits} bits of the set"))
    if peak and bits != 16:
        notes.append(f"16-bit images hold at most {peak}: read as {bits} bits")
    settled = given.channels if given else (1 if looks and all(seen.grey for seen in looks) else 3)
    conventions = Conventions(channels or settled, bits, labels)
    notes += _counted(looks)
    grey = sum(seen.grey for seen in looks if seen.shape)
    if conventions.channels == 3 and grey:
        notes.append(f"{grey} grey image(s) in a colour set: all three channels hold the grey value")
    if conventions.channels == 1 and grey < len(looks):
        notes.append(f"{len(looks) - grey} colour image(s) read as grey (luminance)")
    return faults, conventions, notes


def _counted(looks: list[Look]) -> list[str]:
    counted = Counter(note for seen in looks for note in seen.notes)
    return [f"{note}: {count} file(s)" for note, count in counted.items()]


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


def _found_labels(looks: list[Look], classes: int | None) -> tuple[int, ...]:
    """Values that masks hold, at least two; the `classes` that most masks hold where that is given."""
    found = Counter(value for seen in looks if len(seen.values) < MOST_VALUES for value in seen.values)
    values = sorted(found, key=lambda value: (-found[value], value))[: classes or MOST_CLASSES]
    if len(values) < 2:
        values = [0, values[0] if values and values[0] else 1]
    return tuple(sorted(values))


def _mask_faults(path: str, values: tuple[int, ...], pair: tuple[int, ...], allow_empty: bool) -> list[Fault]:
    if len(values) > 2:
        hint = "; JPEG blurs masks, save them as PNG" if path.lower().endswith((".jpg", ".jpeg")) else ""
        if not hint and len(values) <= 32:
            hint = " (images.classes says how many values there are)"
        return [Fault(path, f"a mask has two values, this one has {_some(values)}{hint}")]
    if not set(values) <= set(pair):
        came = " and ".join(map(str, values))
        return [Fault(path, f"mask values {came}, the other masks have {pair[0]} and {pair[1]}")]
    return _empty(path, values, pair, allow_empty)


def _label_faults(path: str, values: tuple[int, ...], labels: tuple[int, ...], allow_empty: bool) -> list[Fault]:
    if unknown := [value for value in values if value not in labels]:
        return [Fault(path, f"unknown label {_some(tuple(unknown))}; the set has {_some(labels, 20)}")]
    return _empty(path, values, labels, allow_empty)


def _empty(path: str, values: tuple[int, ...], labels: tuple[int, ...], allow_empty: bool) -> list[Fault]:
    if values == (labels[0],) and not allow_empty:
        return [Fault(path, f"empty mask (all {values[0]}); allow_empty_masks accepts it")]
    return []


def _some(values: tuple[int, ...], most: int = 8) -> str:
    return ", ".join(map(str, values[:most])) + (", ..." if len(values) > most else "")


def _absent_classes(looks: list[Look], labels: tuple[int, ...], names: dict[int, str]) -> list[Fault]:
    held: dict[str, set[int]] = defaultdict(set)
    unread = {seen.split for seen in looks if seen.mask and not seen.values}
    for seen in looks:
        if seen.mask and seen.split not in unread:
            held[seen.split] |= set(seen.values)
    return [
        Fault(split, f"class {value}{f' ({names[value]})' if value in names else ''} is in no mask of this split")
        for split, values in held.items()
        if split in ("train", "val", "test")
        for value in labels[1:]
        if value not in values
    ]


def _volume_channels(looks: list[Look], faults: list[Fault]) -> int:
    counts = Counter(seen.channels for seen in looks if seen.shape)
    usual = max(counts, key=lambda count: (counts[count], count)) if counts else 1
    for seen in looks:
        if seen.shape and seen.channels != usual:
            faults.append(Fault(seen.image, f"has {seen.channels} channel(s) (4D), the other volumes have {usual}"))
    return usual


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


def checked_classes(classes: int | None) -> int | None:
    """`classes` where masks can have so many values."""
    if classes is not None and not 2 <= classes <= MOST_CLASSES:
        raise InputError(f"classes must be 2 to {MOST_CLASSES}, got {classes}")
    return classes
