"""Reads a data set folder of any layout into a Dataset: every fault that the names alone show is told at once."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from qgssl_fast.data.checks import check_dataset
from qgssl_fast.data.json_layout import read_json_layout
from qgssl_fast.data.layout import (
    GROUP_COLUMNS,
    LAYOUTS,
    SPLITS,
    SUFFIXES,
    VOLUME_SUFFIXES,
    Case,
    Dataset,
    existing,
    stem_of,
    suffix_of,
)
from qgssl_fast.data.list_layout import LISTS, read_list_layout
from qgssl_fast.data.splits import (
    Labelled,
    Splits,
    check_options,
    keep_labels,
    split_labelled,
    take_validation,
    torn_groups,
)
from qgssl_fast.errors import Faults, InputError

Row = tuple[str, Path, Path | None, str | None]  # where it stands ("train.csv line 3"), image, mask, group


def read_dataset(
    root: str | Path,
    *,
    labelled: Labelled | None = None,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    allow_empty_masks: bool = False,
) -> Dataset:
    """Read the data set folder `root`; files are named, not opened (`check_dataset` and `load_stores` open them).

    Only where a fault is found are they opened too, so that those of their contents come in the same list
    (allow_empty_masks: whether empty masks are none).

    labelled: which train images keep their masks: a float is a fraction in (0, 1], an int a count, else names or a file
    of names; the others join the unlabelled pool. fractions: train, val, test where a split has to be made.
    What was decided is in `.notes`.
    Raises InputError with all faults at once: missing folder, layout, column, file, mask or image; duplicate rows;
    an image or a group in two splits; an empty CSV; a path that leaves the folder.
    """
    check_options(labelled, fractions, seed)
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: {'not a folder' if root.exists() else 'no such folder'}; {LAYOUTS}")
    faults, notes, labels = Faults(), list[str](), None
    if any((root / f"{split}.csv").exists() for split in SPLITS):
        splits = _read_csv_layout(root, faults, notes)
    elif (root / "dataset.json").exists():
        splits, labels = read_json_layout(root, faults, notes)
    elif any((root / name).exists() for name in LISTS):
        splits = read_list_layout(root, faults, notes)
    elif (root / "images").is_dir() or (root / "masks").is_dir():
        splits = _read_folder_layout(root, faults, notes)
    else:
        raise InputError(f"{root}: none of the known layouts; {LAYOUTS}")
    for text in torn_groups(splits):
        faults.add(text)
    _check(root, faults, splits, allow_empty_masks, labels)
    if "val" not in splits and "test" not in splits:
        made, note = _or_fault(root, split_labelled, splits["train"], fractions, seed)
        splits |= made
        notes.append(note)
    elif not splits.get("val"):
        notes.append(_or_fault(root, take_validation, splits, fractions, seed))
    if not splits.get("test"):
        notes.append("there is no test split (no test.csv): nothing is reported on test images")
    splits = {split: splits.get(split, ()) for split in SPLITS}
    if labelled is not None:
        notes.append(_or_fault(root, keep_labels, splits, labelled, seed))
    return Dataset(root, splits, notes, labels)


def _check(root: Path, faults: Faults, splits: Splits, allow_empty_masks: bool, labels: dict[int, str] | None) -> None:
    """Raise where there is a fault: with those that the files which are there show inside, each file looked at once."""
    if not faults.found:
        return
    seen, listed = set[Path](), dict[str, tuple[Case, ...]]()
    for split in SPLITS:
        cases = {case.image: case for case in reversed(splits.get(split, ()))}
        listed[split] = tuple(case for image, case in reversed(cases.items()) if image not in seen)
        seen |= set(cases)
    for fault in check_dataset(Dataset(root, listed, [], labels), allow_empty_masks=allow_empty_masks):
        faults.add(str(fault))
    faults.check(str(root))


def _or_fault(root, function, *arguments):
    try:
        return function(*arguments)
    except InputError as error:
        raise InputError(f"{root}: {error}") from None


def _read_csv_layout(root: Path, faults: Faults, notes: list[str]) -> Splits:
    rows: dict[str, list[Row]] = {}
    for split in SPLITS:
        file = root / f"{split}.csv"
        rows[split] = _read_csv(root, file, split != "unlabeled", faults, notes) if file.exists() else []
    if not (root / "train.csv").exists():
        faults.add("train.csv is missing, and other CSV files are there")
    if not (root / "unlabeled.csv").exists() and (root / "unlabeled").is_dir():
        notes.append("unlabeled/ is not used: no unlabeled.csv names its images")
    _find_repeats(root, rows, faults)
    names = _names(root, [row[1] for split in SPLITS for row in rows[split]])
    return {
        split: tuple(Case(names[image], image, mask, group) for _, image, mask, group in rows[split])
        for split in SPLITS
    }


def _read_csv(root: Path, file: Path, labelled: bool, faults: Faults, notes: list[str]) -> list[Row]:
    wanted = ("image_path", "mask_path") if labelled else ("image_path",)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = [cell.strip() for cell in next(reader, [])]
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        faults.add(f"{file.name}: not a readable UTF-8 CSV file ({error})")
        return []
    if missing := [column for column in wanted if column not in header]:
        found = ", ".join(header) or "an empty file"
        faults.add(f"{file.name}: column {' and '.join(missing)} missing; wanted {', '.join(wanted)}; found {found}")
        return []
    if not lines:
        faults.add(f"{file.name}: has a header and no rows; remove the file where the split is meant to be empty")
    if not labelled and "mask_path" in header:
        notes.append(f"{file.name}: column mask_path is not used, unlabelled images need no masks")
    grouping = next((header.index(column) for column in GROUP_COLUMNS if column in header), None)
    rows: list[Row] = []
    for number, cells in lines:
        place, paths = f"{file.name} line {number}", list[Path]()
        group = cells[grouping] if grouping is not None and grouping < len(cells) else ""
        for column in wanted:
            index = header.index(column)
            if text := cells[index] if index < len(cells) else "":
                paths += existing(root, text, place, faults)
            elif column == "mask_path":
                faults.add(f"{place}: image without mask; list it in unlabeled.csv")
            else:
                faults.add(f"{place}: {column} is empty" + (" (mask without image)" if labelled else ""))
        if len(paths) == len(wanted):
            if labelled and paths[0] == paths[1] and suffix_of(paths[0]) not in (".h5", ".hdf5"):
                faults.add(f"{place}: image_path and mask_path are the same file")
            else:
                rows.append((place, paths[0], paths[1] if labelled else None, group or None))
    return rows


def _find_repeats(root: Path, rows: dict[str, list[Row]], faults: Faults) -> None:
    first: dict[Path, tuple[str, str]] = {}
    for split, listed in rows.items():
        for place, image, *_ in listed:
            before = first.setdefault(image.resolve(), (split, place))
            if before[1] == place:
                continue
            what = "duplicate of" if before[0] == split else "one image in two splits, also in"
            faults.add(f"{place}: {image.relative_to(root).as_posix()}: {what} {before[1]}")


def _read_folder_layout(root: Path, faults: Faults, notes: list[str]) -> Splits:
    images, masks, pool = (_by_stem(root, name, faults, notes) for name in ("images", "masks", "unlabeled"))
    for stem, path in images.items():
        if stem not in masks:
            faults.add(f"images/{path.name}: image without mask (masks/{stem}.png); unlabelled images go to unlabeled/")
    for stem, path in masks.items():
        if stem not in images:
            faults.add(f"masks/{path.name}: mask without image (images/{stem}.*)")
    if not images and not masks:
        faults.add(f"images/ and masks/ hold no image ({', '.join((*SUFFIXES, *VOLUME_SUFFIXES))})")
    names = _names(root, [*images.values(), *pool.values()])
    return {
        "train": tuple(Case(names[path], path, masks[stem]) for stem, path in images.items() if stem in masks),
        "unlabeled": tuple(Case(names[path], path) for path in pool.values()),
    }


def _by_stem(root: Path, name: str, faults: Faults, notes: list[str]) -> dict[str, Path]:
    folder, found, others = root / name, dict[str, Path](), list[str]()
    if not folder.is_dir():
        if name != "unlabeled":
            faults.add(f"{name}/ is missing")
        return found
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        stem = stem_of(path)
        if suffix_of(path) not in (*SUFFIXES, *VOLUME_SUFFIXES):
            others.append(path.name)
        elif kept := existing(root, f"{name}/{path.name}", f"{name}/", faults):
            if stem in found:
                faults.add(f"{name}/{path.name}: same stem as {name}/{found[stem].name}, pairs go by stem")
            found[stem] = kept[0]
    if others:
        more = ", ..." if len(others) > 3 else ""
        notes.append(f"{name}/: not used, {len(others)} file(s) that are no image: {', '.join(others[:3])}{more}")
    return found


def _names(root: Path, images: list[Path]) -> dict[Path, str]:
    """File stems where they tell all images apart, else each path below the root with "_" for "/"."""
    stems = Counter(stem_of(image).casefold() for image in images)
    if all(count == 1 for count in stems.values()):
        return {image: stem_of(image) for image in images}
    return {image: image.relative_to(root).as_posix().replace("_", "__").replace("/", "_") for image in images}
