"""A case: one amount of work, and who does it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import backend
from ..errors import unknown

Run = Callable[[], Any]
Check = Callable[[Any], None]
Factory = Callable[[Tensor], Run]


class Missing(Exception):
    """A contender cannot be had on this machine; the message says why."""


class Wrong(Exception):
    """A contender's result is not what it has to be: it is not timed."""


@dataclass(frozen=True)
class Work:
    """run: does the work once. count: things (masks, samples) done by it. check: raises Wrong for its result."""

    run: Run
    count: int
    check: Check


@dataclass(frozen=True)
class Contender:
    """kind: ours, reference, peer or limit. make: prepares what is not timed; may raise Missing or Wrong."""

    name: str
    kind: str
    make: Callable[[], Work]


@dataclass(frozen=True)
class Case:
    """unit: what is counted. bytes: that have to be read and written for one of them, if nothing is done twice."""

    name: str
    family: str
    title: str
    unit: str
    bytes: int
    contenders: tuple[Contender, ...]

    def contender(self, name: str) -> Contender:
        """The one of that name; InputError where there is none."""
        found = {one.name: one for one in self.contenders}
        if name not in found:
            raise unknown(f"contenders of {self.name}", name, found)
        return found[name]


def need(module: str) -> Any:
    """The module, or Missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Missing(f"{module.split('.')[0]} is not installed ({error})") from None


def serves(name: str) -> str:
    """`name`, if that backend can serve CPU tensors here, or Missing."""
    if why_not := backend.refusal(name, torch.device("cpu")):
        raise Missing(why_not)
    return name


def equal(want: Tensor) -> Check:
    """The result is `want`, mask by mask; numbers of another type are fine."""

    def check(got: Any) -> None:
        found = torch.as_tensor(got).to(torch.uint8).cpu()
        if found.numel() != want.numel():
            raise Wrong(f"{list(found.shape)}, wanted {list(want.shape)}")
        found = found.reshape(want.shape)
        if differ := int((found != want).sum()):
            raise Wrong(f"{differ} of {want.numel()} pixels differ from the reference")

    return check


def anything(got: Any) -> None:
    """For work that has chance in it of its own kind, or none to compare with."""


def copying(size: int) -> Run:
    """Reads and writes `size` bytes together, between memory that is held."""
    source = torch.randint(0, 256, (max(size // 2, 1),), dtype=torch.uint8)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def copy_limit(size: int, count: int) -> Contender:
    """A copy of the bytes that `count` things of `size` bytes make."""

    def make() -> Work:
        run = copying(size * count)
        return Work(run, count, anything)

    return Contender("copy", "limit", make)


def on_masks(
    masks: Callable[[], Tensor],
    want: Callable[[Tensor], Tensor],
    ours: Callable[[Tensor, str], Run],
    peers: Mapping[str, tuple[Factory, int]],
    checks: Callable[[Tensor], Check] | None = None,
    references: int = 4,
) -> tuple[Contender, ...]:
    """Contenders on uint8 masks [B, *S]: our backends, and each peer on as many masks as are named beside it.

    want: the reference's result. checks: makes the check of peers, whose result is not the reference's bit for bit.
    """

    def backed(name: str, count: int | None, kind: str) -> Contender:
        def make() -> Work:
            some = masks()[:count]
            return Work(ours(some, serves(name)), len(some), equal(want(some)))

        return Contender(name, kind, make)

    def peer(name: str, factory: Factory, count: int) -> Contender:
        def make() -> Work:
            some = masks()[:count]
            run = factory(some)
            return Work(run, len(some), equal(want(some)) if checks is None else checks(some))

        return Contender(name, "peer", make)

    mine = (backed("native", None, "ours"), backed("reference", references, "reference"))
    return (*mine, *(peer(name, factory, count) for name, (factory, count) in peers.items()))
