"""Data sets larger than a machine's memory: tar files in WebDataset's layout, on disk or behind an fsspec URL.

A shard holds NAME.image.npy and, where there is one, NAME.mask.npy of its samples; index.json says which shards a split
has. Tar was chosen over Zarr because a shard is then one sequential read from any object store, and any WebDataset
reader takes it; the order of samples is made here, since theirs cannot be taken up again in the middle.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import fsspec
import numpy as np
import torch
from torch import Tensor

from qgssl_fast.data.store import DeviceStore
from qgssl_fast.errors import InputError

INDEX = "index.json"


class Sample(NamedTuple):
    """name; image uint8 [C, *S]; mask uint8 [*S] of class numbers, or None."""

    name: str
    image: np.ndarray
    mask: np.ndarray | None


@dataclass(frozen=True)
class Position:
    """Where a stream is: the number of the pass and how many samples of it have been given."""

    epoch: int = 0
    given: int = 0


def write_shards(stores: dict[str, DeviceStore], url: str, samples: int = 256) -> dict[str, int]:
    """Write every split's samples into shards of `samples` each below `url`; returns the number of shards of each."""
    if samples < 1:
        raise InputError(f"shard: samples must be >= 1, got {samples}")
    files, root = _root(url)
    if files.exists(f"{root}/{INDEX}"):
        raise InputError(f"shard: {url} holds shards already")
    files.makedirs(root, exist_ok=True)
    told: dict[str, Any] = {}
    for split, store in stores.items():
        shards: list[dict[str, Any]] = []
        for start in range(0, len(store), samples):
            rows = range(start, min(start + samples, len(store)))
            name = f"{split}-{len(shards):06d}.tar"
            with files.open(f"{root}/{name}", "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
                for row in rows:
                    _add(tar, f"{row:08d}_{store.names[row]}.image.npy", store.images[row])
                    if store.masks is not None:
                        _add(tar, f"{row:08d}_{store.names[row]}.mask.npy", store.masks[row])
            shards.append({"name": name, "count": len(rows)})
        told[split] = {"shards": shards, "conventions": asdict(store.conventions)}
    with files.open(f"{root}/{INDEX}", "w") as stream:  # last: a folder with an index is whole
        json.dump(told, stream)
    return {split: len(found["shards"]) for split, found in told.items()}


class ShardStream:
    """An endless, seeded sequence of one split's samples; this rank's part of it.

    Each pass visits the shards in an order drawn from (seed, pass); shard k of it goes to rank k % world. Samples go
    through a buffer of `buffer` from which one is drawn at a time. Memory holds the buffer, a shard taken in and
    one that is read ahead. `position` can be given to another stream, which goes on with the very next sample.
    """

    def __init__(
        self,
        url: str,
        split: str = "train",
        *,
        seed: int = 0,
        buffer: int = 1024,
        rank: int = 0,
        world: int = 1,
        position: Position | None = None,
    ) -> None:
        self._files, self._root = _root(url)
        try:
            with self._files.open(f"{self._root}/{INDEX}", "r") as stream:
                told = json.load(stream)
        except (OSError, ValueError) as error:
            raise InputError(f"{url}: no readable {INDEX} ({error}); qgssl-fast shard makes one") from None
        if split not in told or not told[split]["shards"]:
            raise InputError(f"{url}: no shards of {split!r}; there are {', '.join(told) or 'none'}")
        if not 0 <= rank < world or buffer < 1:
            raise InputError(f"shards: wanted 0 <= rank < world and buffer >= 1, got {rank}, {world}, {buffer}")
        self._shards = [(shard["name"], shard["count"]) for shard in told[split]["shards"]]
        if world > len(self._shards):
            raise InputError(f"{url}: {len(self._shards)} shard(s) of {split} are too few for {world} ranks")
        self.seed, self.buffer, self.rank, self.world = seed, buffer, rank, world
        self.position = position or Position()
        self.most_held = 0
        """Samples that were in memory at once, the one read ahead not counted."""

    def __iter__(self) -> Iterator[Sample]:
        while True:
            yield from self._pass()
            self.position = Position(self.position.epoch + 1)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """images uint8 [B, C, *S] and masks uint8 [B, *S] or None, across passes."""
        samples = iter(self)
        while True:
            found = [next(samples) for _ in range(size)]
            masks = [sample.mask for sample in found if sample.mask is not None]
            images = torch.from_numpy(np.stack([sample.image for sample in found]))
            yield images, torch.from_numpy(np.stack(masks)) if len(masks) == size else None

    def _plan(self, epoch: int) -> Iterator[tuple[int | None, tuple[int, int] | None]]:
        """(shard to take in, None) or (None, sample to give), a function of (seed, pass, rank) alone."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self._shards))[self.rank :: self.world]
        chance = np.random.default_rng([self.seed, epoch, self.rank, 1])
        held: list[tuple[int, int]] = []

        def draw() -> tuple[int, int]:
            k = int(chance.integers(len(held)))
            held[k], held[-1] = held[-1], held[k]
            return held.pop()

        for shard in order:
            yield int(shard), None
            for row in range(self._shards[shard][1]):
                held.append((int(shard), row))
                if len(held) > self.buffer:
                    yield None, draw()
        while held:
            yield None, draw()

    def _pass(self) -> Iterator[Sample]:
        epoch, skip = self.position.epoch, self.position.given
        steps, held = list(self._plan(epoch)), dict[tuple[int, int], Sample]()
        gone = {sample for _, sample in [s for s in steps if s[1] is not None][:skip]}
        wanted = [shard for shard, _ in steps if shard is not None and self._left(shard, gone)]
        given = 0
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._read, wanted[0]) if wanted else None
            for shard, sample in steps:
                if shard is not None and wanted and shard == wanted[0]:
                    ahead = self._take_in(shard, ahead, held, gone, wanted, reader)
                if sample is not None:
                    given += 1
                    if given > skip:
                        self.position = Position(epoch, given)
                        yield held.pop(sample)

    def _left(self, shard: int, gone: set[Any]) -> bool:
        return any((shard, row) not in gone for row in range(self._shards[shard][1]))

    def _take_in(
        self, shard: int, ahead: Future[list[Sample]] | None, held: dict[tuple[int, int], Sample], gone: set[Any],
        wanted: list[int], reader: ThreadPoolExecutor,
    ) -> Future[list[Sample]] | None:  # fmt: skip
        assert ahead is not None
        found = ahead.result()
        wanted.pop(0)
        after = reader.submit(self._read, wanted[0]) if wanted else None
        held |= {(shard, row): sample for row, sample in enumerate(found) if (shard, row) not in gone}
        self.most_held = max(self.most_held, len(held))
        return after

    def _read(self, shard: int) -> list[Sample]:
        name, count = self._shards[shard]
        found: dict[str, dict[str, np.ndarray]] = {}
        try:
            with (
                self._files.open(f"{self._root}/{name}", "rb") as stream,
                tarfile.open(fileobj=stream, mode="r|") as tar,
            ):
                for member in tar:
                    key, part, _ = member.name.rsplit(".", 2)
                    content = tar.extractfile(member)
                    assert content is not None
                    found.setdefault(key, {})[part] = np.load(io.BytesIO(content.read()), allow_pickle=False)
        except (OSError, ValueError, EOFError, tarfile.TarError) as error:
            raise InputError(f"{self._root}/{name}: damaged shard ({error})") from None
        if len(found) != count:
            raise InputError(f"{self._root}/{name}: holds {len(found)} samples, {INDEX} says {count}")
        return [Sample(key[9:], parts["image"], parts.get("mask")) for key, parts in sorted(found.items())]


def _root(url: str) -> tuple[Any, str]:
    try:
        files, root = fsspec.core.url_to_fs(str(url))
    except (ImportError, ValueError) as error:
        raise InputError(f"{url}: not a usable URL ({error})") from None
    return files, root.rstrip("/")


def _add(tar: tarfile.TarFile, name: str, values: Tensor) -> None:
    content = io.BytesIO()
    np.save(content, values.cpu().numpy(), allow_pickle=False)
    entry = tarfile.TarInfo(name)  # no time and no owner: the same samples make the same bytes
    entry.size = content.tell()
    content.seek(0)
    tar.addfile(entry, content)
