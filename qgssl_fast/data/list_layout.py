"""Lists of names beside HDF5 files that hold image and label: the layout of SSL4MIS (ACDC, LA and others)."""

from __future__ import annotations

import re
from pathlib import Path

from qgssl_fast.data.layout import Case, existing
from qgssl_fast.data.splits import Splits, read_names
from qgssl_fast.errors import Faults, InputError

LISTS = ("train_slices.list", "train.list", "train.txt")
PLACES = ("data/slices/{}.h5", "data/{}.h5", "data/{}/mri_norm2.h5", "{}/mri_norm2.h5", "{}.h5")
"""Where a name's file may be: 2D slices, volumes, the left-atrium set, a flat folder."""


def read_list_layout(root: Path, faults: Faults, notes: list[str]) -> Splits:
    """train from `train_slices.list` (else train.list or train.txt), val and test from val.list, test.list (or .txt).

    A name's group is its patient ("patient001" of "patient001_frame01_slice_1") where all names begin so.
    """
    train = next(root / name for name in LISTS if (root / name).exists())
    files = {"train": train}
    for split in ("val", "test"):
        found = [root / f"{split}{end}" for end in (".list", ".txt") if (root / f"{split}{end}").exists()]
        if found:
            files[split] = found[0]
    splits: Splits = {}
    if train.name == "train_slices.list" and (root / "train.list").exists():
        notes.append("train_slices.list is used, train.list is not")
    for split, file in files.items():
        cases = []
        try:
            names = [name.split(".h5")[0] for name in read_names(file)]
        except InputError as error:
            faults.add(str(error))
            names = []
        for name in dict.fromkeys(names):
            places = [place.format(name) for place in PLACES]
            there = next((place for place in places if (root / place).is_file()), None)
            if there is None:
                faults.add(f"{file.name}: {name}: no such file (looked for {', '.join(places[:2])} and others)")
                continue
            path = existing(root, there, file.name, faults)
            patient = re.match(r"(patient_?\d+)", name, re.IGNORECASE)
            cases += [Case(name.replace("/", "_"), p, p, patient[1] if patient else None) for p in path]
        splits[split] = tuple(cases)
    return splits
