"""A recipe: rows, how often each category comes, and its compiled tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import Faults, InputError
from .operations import OPERATIONS, ROUNDINGS, Operation, pack
from .softness import Softness
from .tables import CATEGORIES, CHAINED, CROSS_IMAGE, GROUPS, WORDS, Choice, Tables


@dataclass(frozen=True)
class Row:
    """One corruption: an operation with its parameters. weights: by group, how often the group draws it."""

    name: str
    op: str
    params: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    chained: bool = False

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.op]


@dataclass(frozen=True)
class Recipe:
    """What happens to masks, and how often.

    categories: probability of each, summing to 1 (identity, single, chained, cross_image, heavy, catastrophic, blob).
    p_weak: probability that a weak model's mask replaces all that. rounding: "nearest" or "truncate", of affine rows.
    softness: how masks become probabilities; None: they stay 0 and 1, or labels.
    """

    name: str
    rows: tuple[Row, ...]
    categories: Mapping[str, float]
    p_weak: float = 0.0
    rounding: str = "nearest"
    softness: Softness | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", MappingProxyType({c: self.categories.get(c, 0.0) for c in CATEGORIES}))
        faults = Faults()
        for _, text in (*ranges(self), *coverage(self)):
            faults.add(text)
        faults.check(f"recipe {self.name}")

    def replace(self, **changes: Any) -> Recipe:
        """The recipe with other fields, checked again: ``recipe.replace(p_weak=0.2)``."""
        known = {field.name for field in dataclasses.fields(self)}
        if unknown := sorted(set(changes) - known):
            raise InputError(f"recipe.replace: no field {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return dataclasses.replace(self, **changes)

    def without_bank(self) -> Recipe:
        """The recipe without donors: no cross_image, no weak masks; the other categories keep their proportions."""
        left = {name: p for name, p in self.categories.items() if name != "cross_image"}
        total = sum(left.values())
        if total == 0:
            raise InputError(f"recipe {self.name}: without cross_image no category is left")
        return self.replace(categories={name: p / total for name, p in left.items()}, p_weak=0.0)

    def only(self, name: str) -> Recipe:
        """The recipe that gives every mask the one row `name`."""
        row = self.row(name)
        if row.op == "weak":
            return self.replace(p_weak=1.0)
        if row.op == "cross_image":
            return self.replace(categories={"cross_image": 1.0}, p_weak=0.0)
        rows = tuple(dataclasses.replace(r, weights={"single": 1.0} if r is row else {}) for r in self.rows)
        return self.replace(rows=rows, categories={"single": 1.0}, p_weak=0.0)

    def row(self, name: str) -> Row:
        return self.rows[self.index(name)]

    def index(self, name: str) -> int:
        names = [row.name for row in self.rows]
        if name not in names:
            raise InputError(f"recipe {self.name}: no row {name!r}; there are {', '.join(names)}")
        return names.index(name)

    @property
    def needs_bank(self) -> bool:
        return self.p_weak > 0 or self.categories["cross_image"] > 0

    @cached_property
    def _reachable(self) -> tuple[Row, ...]:
        groups = {name for name in GROUPS.values() if self.categories[name] > 0}
        chains, crosses = self.categories["chained"] > 0, self.categories["cross_image"] > 0
        return tuple(
            row
            for row in self.rows
            if any(row.weights.get(group, 0) > 0 for group in groups)
            or (chains and row.chained)
            or (crosses and row.op == "cross_image")
            or (self.p_weak > 0 and row.op == "weak")
        )

    @cached_property
    def reachable_ops(self) -> frozenset[str]:
        """The operations of those rows that a sample can draw."""
        return frozenset(row.op for row in self._reachable)

    def reachable(self) -> tuple[Row, ...]:
        """The rows that a sample can draw."""
        return self._reachable

    @cached_property
    def tables(self) -> Tables:
        rows = np.zeros((len(self.rows), WORDS), np.int32)
        for words, row in zip(rows, self.rows):
            packed = pack(row.operation, dict(row.params), self.rounding)
            words[: 1 + len(packed)] = (row.operation.code, *packed)
        groups = {
            code: Choice.of(list(range(len(self.rows))), [row.weights.get(group, 0.0) for row in self.rows])
            for code, group in GROUPS.items()
        }
        return Tables(
            rows=rows,
            categories=Choice.of(list(range(len(CATEGORIES))), list(self.categories.values())),
            groups=groups,
            chained=np.array([i for i, row in enumerate(self.rows) if row.chained], np.int32),
            cross_image=self._first("cross_image"),
            weak=self._first("weak"),
            p_weak=round(self.p_weak * 2**32),
            **({} if self.softness is None else {"softness": self.softness.words}),
        )

    def _first(self, op: str) -> int:
        return next((i for i, row in enumerate(self.rows) if row.op == op), -1)


def ranges(recipe: Recipe) -> list[tuple[str, str]]:
    """What is wrong with the recipe's own fields: (the field, text)."""
    found = []
    if recipe.rounding not in ROUNDINGS:
        found.append(("rounding", f"rounding must be {' or '.join(ROUNDINGS)}, got {recipe.rounding!r}"))
    if not 0 <= recipe.p_weak <= 1:
        found.append(("p_weak", f"p_weak must be in [0, 1], got {recipe.p_weak}"))
    if negative := [f"{name} {p}" for name, p in recipe.categories.items() if not 0 <= p <= 1]:
        found.append(("categories", f"probabilities must be in [0, 1], got {', '.join(negative)}"))
    total = sum(recipe.categories.values())
    if abs(total - 1) > 1e-6:
        found.append(("categories", f"the categories' probabilities must sum to 1, got {total:.6g}"))
    return found if recipe.softness is None else found + recipe.softness.faults()


def coverage(recipe: Recipe) -> list[tuple[str, str]]:
    """Categories that can come but have no rows: (the field, text)."""
    found = []
    for group in GROUPS.values():
        if recipe.categories[group] > 0 and sum(row.weights.get(group, 0.0) for row in recipe.rows) <= 0:
            found.append(
                (
                    "categories",
                    f"category {group} has probability {recipe.categories[group]}, "
                    f"but no row has a weight {group!r} above 0",
                )
            )
    chained = sum(row.chained for row in recipe.rows)
    if recipe.categories[CATEGORIES[CHAINED]] > 0 and chained < 3:
        found.append(("categories", f"category chained needs at least 3 rows with chained = true, got {chained}"))
    for name, probability in (("cross_image", recipe.categories[CATEGORIES[CROSS_IMAGE]]), ("weak", recipe.p_weak)):
        if probability > 0 and not any(row.op == name for row in recipe.rows):
            found.append(("categories", f"there is no row with op = {name!r} for its probability {probability}"))
    return found
