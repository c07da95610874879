"""dataset.json beside imagesTr/ and labelsTr/: the Medical Segmentation Decathlon and nnU-Net v2."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from qgssl_fast.data.layout import SPLITS, Case, existing, stem_of
from qgssl_fast.data.splits import Splits
from qgssl_fast.errors import Faults, InputError


def read_json_layout(root: Path, faults: Faults, notes: list[str]) -> tuple[Splits, dict[int, str]]:
    """Cases by split, and mask value -> class name. Without a file of splits all labelled cases are in train.

    splits.json: {"train": [names], "val": ..., "test": ..., "unlabeled": ...}; "labeled" beside "unlabeled" are the
    training cases that keep their labels. splits_final.json: nnU-Net's folds, the first is taken.
    Raises InputError where dataset.json itself cannot be used; what is wrong with cases is added to `faults`.
    """
    content = _read(root / "dataset.json", dict)
    labels = _labels(content.get("labels"))
    if isinstance(content.get("training"), list):
        cases = _decathlon(root, content, faults)
    else:
        cases = _nnunet(root, content, faults)
    named = {case.name: case for case in cases if case.mask is not None}
    pool = tuple(case for case in cases if case.mask is None)
    if not named:
        faults.add("dataset.json: no labelled case is there")
    splits: Splits
    if (root / "splits.json").exists():
        splits = _named_splits(_read(root / "splits.json", dict), named, faults, notes)
    elif (root / "splits_final.json").exists():
        folds = _read(root / "splits_final.json", list)
        if not folds or not isinstance(folds[0], dict):
            raise InputError("splits_final.json: wanted a list of folds with train and val")
        splits = _named_splits(folds[0], named, faults, notes)
        notes.append(f"splits_final.json: fold 0 of {len(folds)} is used")
    else:
        splits = {"train": tuple(named.values())}
    held = tuple(case for case in _test_folder(root, content, faults) if case.name not in named)
    if held and not splits.get("test"):
        splits["test"] = tuple(case for case in held if case.mask is not None)
        splits.setdefault("val", ())
        pool += tuple(case for case in held if case.mask is None)
    elif held:
        pool += tuple(case.without_mask() for case in held)
    if splits.get("test") == ():
        del splits["test"]
        if splits.get("val") == ():
            del splits["val"]
    if pool:
        notes.append(f"{len(pool)} image(s) without labels are the unlabelled pool")
    splits["unlabeled"] = (*splits.get("unlabeled", ()), *pool)
    return splits, labels


def _read(path: Path, kind: type) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(found, kind):
        raise InputError(f"{path}: wanted a JSON {'object' if kind is dict else 'list'}, got {type(found).__name__}")
    return found


def _labels(found: Any) -> dict[int, str]:
    """{"0": "background"} (Decathlon) or {"background": 0} (nnU-Net), background first."""
    if not isinstance(found, dict) or len(found) < 2:
        raise InputError(f"dataset.json: labels must name background and at least one class, got {found!r}")
    labels: dict[int, str] = {}
    for key, value in found.items():
        number, name = (value, key) if not str(key).isdigit() else (key, value)
        if str(name).lower() == "ignore":
            raise InputError("dataset.json: an ignore label is not supported; give those voxels a class")
        if isinstance(number, bool) or not str(number).isdigit():
            raise InputError(f"dataset.json: label {name!r} must be a whole number >= 0, got {number!r} (no regions)")
        labels[int(number)] = str(name)
    return dict(sorted(labels.items()))


def _decathlon(root: Path, content: dict[str, Any], faults: Faults) -> list[Case]:
    cases = []
    listed = [*content["training"], *(content.get("test") or [])]
    for number, row in enumerate(listed):
        place = f"dataset.json {'training' if number < len(content['training']) else 'test'} entry"
        row = {"image": row} if isinstance(row, str) else row
        if not isinstance(row, dict) or not isinstance(row.get("image"), str):
            faults.add(f"{place} {number + 1}: wanted image and label, got {row!r}")
            continue
        image = existing(root, row["image"], place, faults)
        mask = existing(root, row["label"], place, faults) if isinstance(row.get("label"), str) else []
        if number < len(content["training"]) and "label" not in row:
            faults.add(f"{place}: {row['image']}: image without label")
        if image and (mask or "label" not in row):
            cases.append(Case(stem_of(image[0]), image[0], mask[0] if mask else None))
    return cases


def _nnunet(root: Path, content: dict[str, Any], faults: Faults) -> list[Case]:
    return _folder(root, content, "imagesTr", "labelsTr", faults)


def _test_folder(root: Path, content: dict[str, Any], faults: Faults) -> list[Case]:
    if isinstance(content.get("training"), list) or not (root / "imagesTs").is_dir():
        return []
    return _folder(root, content, "imagesTs", "labelsTs", faults)


def _folder(root: Path, content: dict[str, Any], images: str, labels: str, faults: Faults) -> list[Case]:
    """CASE_0000.ext, CASE_0001.ext ... with CASE.ext; a case of imagesTr without label is a fault."""
    ending = str(content.get("file_ending", ".nii.gz"))
    channels = content.get("channel_names") or content.get("modality") or {"0": "image"}
    if not (root / images).is_dir():
        faults.add(f"{images}/ is missing")
        return []
    parts: dict[str, dict[int, Path]] = {}
    for path in sorted((root / images).iterdir()):
        if path.name.startswith(".") or not path.name.endswith(ending):
            continue
        match = re.fullmatch(r"(.+)_(\d{4})", path.name[: -len(ending)])
        if match is None:
            faults.add(f"{images}/{path.name}: wanted CASE_0000{ending} (the channel's number)")
        elif kept := existing(root, f"{images}/{path.name}", images, faults):
            parts.setdefault(match[1], {})[int(match[2])] = kept[0]
    masks = root / labels
    cases, wanted = [], list(range(len(channels)))
    for name, files in parts.items():
        if sorted(files) != wanted:
            faults.add(f"{images}/{name}: wanted channels {wanted}, got {sorted(files)}")
            continue
        mask = [masks / f"{name}{ending}"] if (masks / f"{name}{ending}").exists() else []
        if mask:
            mask = existing(root, f"{labels}/{name}{ending}", labels, faults)
        elif labels == "labelsTr":
            faults.add(f"{images}/{name}: image without label ({labels}/{name}{ending})")
            continue
        cases.append(Case(name, files[0], mask[0] if mask else None, None, tuple(files[k] for k in wanted[1:])))
    if masks.is_dir():
        for path in sorted(masks.iterdir()):
            name = path.name.removesuffix(ending)
            if path.name.endswith(ending) and not name.startswith(".") and name not in parts:
                faults.add(f"{labels}/{path.name}: label without image ({images}/{name}_0000{ending})")
    return cases


def _named_splits(found: dict[str, Any], named: dict[str, Case], faults: Faults, notes: list[str]) -> Splits:
    splits, first = Splits(), dict[str, str]()
    listed = {split: found.get(split) or [] for split in SPLITS}
    if found.get("labeled") is not None:
        listed["train"] = found["labeled"]
        left = set(found.get("train") or []) - set(found["labeled"]) - set(found.get("unlabeled") or [])
        if left:
            notes.append(f"{len(left)} training case(s) are neither labeled nor unlabeled: not used")
    for split, names in listed.items():
        if not isinstance(names, list):
            raise InputError(f"splits: {split} must be a list of case names, got {type(names).__name__}")
        cases = []
        for name in names:
            if name not in named:
                faults.add(f"splits: {split}: no labelled case {name!r}")
            elif first.setdefault(name, split) != split:
                faults.add(f"splits: {name} is in {first[name]} and in {split}")
            else:
                cases.append(named[name].without_mask() if split == "unlabeled" else named[name])
        splits[split] = tuple(cases)
    rest = len(named) - len(first)
    if rest:
        notes.append(f"{rest} labelled case(s) are in no split: not used")
    if not listed["test"] and "test" not in found:
        del splits["test"]
    return splits
