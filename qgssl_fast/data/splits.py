"""Splits that the data set does not bring along: made from names and a seed, by whole groups, and said."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qgssl_fast.data.layout import Case, Dataset, shuffled
from qgssl_fast.errors import Faults, InputError
from qgssl_fast.files import write_text

Splits = dict[str, tuple[Case, ...]]
Labelled = float | int | str | Path | Sequence[str]


def check_options(labelled: Labelled | None, fractions: tuple[float, float, float], seed: int) -> None:
    """Raise for values that no data set could satisfy."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"read_dataset: seed must be an int, got {seed!r}")
    kinds = (int, float, str, Path, list, tuple)
    if labelled is not None and (isinstance(labelled, bool) or not isinstance(labelled, kinds)):
        raise TypeError(
            "read_dataset: labelled must be a fraction (float), a count (int), names, a file of names or None, "
            f"got {labelled!r}"
        )
    if isinstance(labelled, float) and not 0 < labelled <= 1:
        raise InputError(f"read_dataset: labelled as a fraction must be in (0, 1], got {labelled}")
    if isinstance(labelled, int) and labelled < 1:
        raise InputError(f"read_dataset: labelled as a count must be >= 1, got {labelled}")
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"read_dataset: fractions must be train, val, test >= 0 with sum 1 and train > 0, got {fractions}"
        )


def part(total: int, fraction: float) -> int:
    """A share of `total`, at least one where the fraction is not 0."""
    return max(1, round(total * fraction)) if fraction > 0 else 0


def take(order: list[Case], count: int) -> list[Case]:
    """The first cases of a shuffled order, whole groups, as many as come nearest to `count`; at least one group."""
    taken: list[Case] = []
    while len(taken) < count:
        head = order[len(taken)]
        block = [case for case in order[len(taken) :] if case is head or (head.group and case.group == head.group)]
        if taken and len(taken) + len(block) - count > count - len(taken):
            break
        taken += block
    return taken


def split_labelled(cases: tuple[Case, ...], fractions: tuple[float, float, float], seed: int) -> tuple[Splits, str]:
    """Cases without a split of their own to train, val and test, with the sentence that says so."""
    order = shuffled(cases, seed)
    test = take(order, part(len(cases), fractions[2]))
    val = take(order[len(test) :], min(part(len(cases), fractions[1]), len(order) - len(test)))
    train = order[len(test) + len(val) :]
    if not train or (fractions[1] > 0 and not val):
        groups = len({case.group for case in cases if case.group})
        what = f" of {groups} group(s)" if groups else ""
        raise InputError(f"{len(cases)} image(s){what} with masks are too few for a train, val and test split")
    splits = {"test": tuple(test), "val": tuple(val), "train": tuple(train)}
    whole = " (groups kept whole)" if any(case.group for case in cases) else ""
    note = f"made a split with seed {seed}{whole}: {len(train)} train, {len(val)} val, {len(test)} test"
    return splits, note


def take_validation(splits: Splits, fractions: tuple[float, float, float], seed: int) -> str:
    """Move a part of train to val, in place."""
    train = splits["train"]
    share = fractions[1] / (fractions[0] + fractions[1])
    wanted = part(len(train), share)
    taken = take(shuffled(train, seed), wanted) if wanted < len(train) else list(train)
    if not taken or len(taken) >= len(train):
        raise InputError(f"no validation split, and {len(train)} training image(s) with share {share:.3g} give none")
    chosen = set(taken)
    splits["val"] = tuple(case for case in train if case in chosen)
    splits["train"] = tuple(case for case in train if case not in chosen)
    return f"no validation split: took {len(chosen)} of {len(train)} training images for it, seed {seed}"


def keep_labels(splits: Splits, labelled: Labelled, seed: int) -> str:
    """Keep the masks of a part of train; the other images join the unlabelled pool, in place."""
    train = splits["train"]
    if isinstance(labelled, (int, float)):
        count = labelled if isinstance(labelled, int) else part(len(train), labelled)
        if count > len(train):
            raise InputError(f"labelled={labelled} is more than the {len(train)} training images")
        kept, how = set(take(shuffled(train, seed), count)), f"seed {seed}"
    else:
        kept, how = _named(train, labelled), "by name"
    moved = tuple(case.without_mask() for case in train if case not in kept)
    splits["train"] = tuple(case for case in train if case in kept)
    splits["unlabeled"] = splits["unlabeled"] + moved
    kept_text = f"kept the masks of {len(kept)} of {len(train)} training images ({how})"
    return f"{kept_text}, {len(moved)} joined the unlabelled pool"


def _named(train: tuple[Case, ...], labelled: str | Path | Sequence[str]) -> set[Case]:
    """The training cases of a list of names, or of a file with one name a line (or a JSON list)."""
    names = list(labelled) if isinstance(labelled, (list, tuple)) else read_names(Path(str(labelled)))
    known, faults = {case.name: case for case in train}, Faults()
    for name in names:
        if name not in known:
            faults.add(f"labelled: {name!r} is no training image")
    if not names:
        faults.add("labelled: the list is empty")
    faults.check("labelled")
    return {known[name] for name in names}


def read_names(path: Path) -> list[str]:
    """One name a line, or a JSON list of names; InputError where the file is neither."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        found: Any = json.loads(text) if path.suffix == ".json" else [line.strip() for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable list of names ({error})") from None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InputError(f"{path}: wanted a list of names, got {type(found).__name__}")
    return [name for name in found if name]


def torn_groups(splits: Splits) -> list[str]:
    """A sentence for each group that stands in several of the splits."""
    where: dict[str, set[str]] = defaultdict(set)
    for split, cases in splits.items():
        for case in cases:
            if case.group is not None:
                where[case.group].add(split)
    # An unlabelled image of a training patient tells nothing of the test.
    return [
        f"group {group!r} is in {', '.join(sorted(found))}: the splits leak"
        for group, found in sorted(where.items())
        if len(found - {"unlabeled"}) > 1 or ("unlabeled" in found and found & {"val", "test"})
    ]


def write_splits(dataset: Dataset, path: Path) -> Path:
    """JSON: which case is in which split, with paths relative to the data set and groups."""
    found = {
        split: [
            {"name": case.name, "image": dataset.where(case.image)}
            | ({"mask": dataset.where(case.mask)} if case.mask else {})
            | ({"group": case.group} if case.group is not None else {})
            for case in cases
        ]
        for split, cases in dataset.splits.items()
    }
    return write_text(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
