"""Splits that the data set does not bring along: made from names and a seed, and said."""

from __future__ import annotations

from qgssl_fast.data.layout import Case, shuffled
from qgssl_fast.errors import InputError

Splits = dict[str, tuple[Case, ...]]


def check_options(labelled: float | int | None, fractions: tuple[float, float, float], seed: int) -> None:
    """Raise for values that no data set could satisfy."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"read_dataset: seed must be an int, got {seed!r}")
    if labelled is not None and (isinstance(labelled, bool) or not isinstance(labelled, (int, float))):
        raise TypeError(f"read_dataset: labelled must be a fraction (float), a count (int) or None, got {labelled!r}")
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


def split_labelled(cases: tuple[Case, ...], fractions: tuple[float, float, float], seed: int) -> tuple[Splits, str]:
    """Cases of a folder without CSV files to train, val and test, with the sentence that says so."""
    val, test = part(len(cases), fractions[1]), part(len(cases), fractions[2])
    if len(cases) - val - test < 1:
        raise InputError(f"{len(cases)} image(s) with masks are too few for a train, val and test split")
    order = shuffled(cases, seed)
    splits = {"test": tuple(order[:test]), "val": tuple(order[test : test + val]), "train": tuple(order[test + val :])}
    note = f"no CSV files: made a split with seed {seed}: {len(splits['train'])} train, {val} val, {test} test"
    return splits, note


def take_validation(splits: Splits, fractions: tuple[float, float, float], seed: int) -> str:
    """Move a part of train to val, in place."""
    train = splits["train"]
    share = fractions[1] / (fractions[0] + fractions[1])
    count = part(len(train), share)
    if count == 0 or count >= len(train):
        raise InputError(
            f"no val.csv, and {len(train)} training image(s) with share {share:.3g} give no validation split"
        )
    taken = set(shuffled(train, seed)[:count])
    splits["val"] = tuple(case for case in train if case in taken)
    splits["train"] = tuple(case for case in train if case not in taken)
    return f"no val.csv: took {count} of {len(train)} training images for validation, seed {seed}"


def keep_labels(splits: Splits, labelled: float | int, seed: int) -> str:
    """Keep the masks of a part of train; the other images join the unlabelled pool, in place."""
    train = splits["train"]
    count = labelled if isinstance(labelled, int) else part(len(train), labelled)
    if count > len(train):
        raise InputError(f"labelled={labelled} is more than the {len(train)} training images")
    kept = set(shuffled(train, seed)[:count])
    moved = tuple(Case(case.name, case.image) for case in train if case not in kept)
    splits["train"] = tuple(case for case in train if case in kept)
    splits["unlabeled"] = splits["unlabeled"] + moved
    kept_text = f"kept the masks of {count} of {len(train)} training images (seed {seed})"
    return f"{kept_text}, {len(moved)} joined the unlabelled pool"
