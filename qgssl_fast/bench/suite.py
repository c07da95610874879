"""All cases by name, and what was measured of them, with the ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import InputError, nearest
from . import augment, corrupt, losses, morph, overlap, steps, store, warp
from .case import Case
from .measure import Row, measure

CASES: tuple[Case, ...] = tuple(
    case for module in (morph, overlap, warp, corrupt, losses, augment, store, steps) for case in module.CASES
)


@dataclass(frozen=True)
class Result:
    """A case and the rows of its contenders."""

    case: Case
    rows: tuple[Row, ...]

    def of(self, kind: str) -> Row | None:
        """The first timed contender of that kind."""
        return next((row for row in self.rows if row.kind == kind and row.p50), None)

    @property
    def wrong(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.wrong)

    def ratio(self, row: Row) -> float | None:
        """How many times faster ours is than that contender, by medians; of a limit: the share of it that ours has."""
        ours = self.of("ours")
        if ours is None or ours.p50 is None or row.p50 is None:
            return None
        return row.p50 / ours.p50

    @property
    def share(self) -> float | None:
        """Ours as a share of the limit."""
        limit = self.of("limit")
        return None if limit is None else self.ratio(limit)

    @property
    def peers(self) -> list[Row]:
        """Timed peers, the fastest first."""
        return sorted((row for row in self.rows if row.kind == "peer" and row.p50), key=lambda row: row.p50 or 0)


def select(only: Sequence[str] | None) -> tuple[Case, ...]:
    """The cases whose name or family is among `only`, all of them for None; InputError for names that are neither."""
    if not only:
        return CASES
    names, families = {case.name for case in CASES}, {case.family for case in CASES}
    for name in only:
        if name not in names | families:
            raise InputError(
                f"bench: no case or family {name!r}{nearest(name, names | families)}; families are "
                f"{', '.join(sorted(families))}; cases are {', '.join(sorted(names))}"
            )
    return tuple(case for case in CASES if case.name in only or case.family in only)


def run(
    cases: Sequence[Case], seconds: float, fewest: int, told: Callable[[Case], None] = lambda case: None
) -> Iterator[Result]:
    """Each case measured; `told` hears of it before."""
    for case in cases:
        told(case)
        yield Result(case, tuple(measure(case, seconds, fewest=fewest)))
