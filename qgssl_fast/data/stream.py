"""The samples of shards in a seeded order, each rank's from shards of its own, from any place on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from qgssl_fast.data.shards import Sample, Shards
from qgssl_fast.errors import InputError

Key = tuple[int, int]  # shard, row


class ShardStream:
    """An endless, seeded sequence of one split's samples; this rank's part of it.

    Each pass visits the shards in an order drawn from (seed, pass); shard k of it goes to rank k % world. Samples go
    through a buffer of `buffer` from which one is drawn at a time. Memory holds the buffer, a shard taken in, one that
    is read ahead, and its file meanwhile. Sample p is a function of (seed, rank, world, buffer, p): whoever asks for
    samples in their order reads each shard once a pass, and whoever begins anywhere reads what a buffer would hold
    there.
    """

    def __init__(self, shards: Shards, *, seed: int = 0, buffer: int = 1024, rank: int = 0, world: int = 1) -> None:
        if not 0 <= rank < world or buffer < 1:
            raise InputError(f"shards: wanted 0 <= rank < world and buffer >= 1, got {rank}, {world}, {buffer}")
        if world > len(shards.shards):
            few = f"{len(shards.shards)} shard(s) of {shards.split}"
            raise InputError(f"{shards.where}: {few} are too few for {world} ranks; qgssl-fast shard --samples N")
        self.shards, self.seed, self.buffer, self.rank, self.world = shards, seed, buffer, rank, world
        self.most_held = 0
        """Samples that were in memory at once, the shard read ahead not counted."""
        self._starts = [0]  # of passes
        self._next = (-1, 0)
        self._order: list[Key] = []  # of this pass
        self._waiting: deque[tuple[int, int]] = deque()  # (when, shard) to be taken in
        self._held: dict[Key, Sample] = {}
        self._gone: set[Key] = set()
        self._ahead: tuple[int, Future[list[Sample]]] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._lock = threading.Lock()

    def samples(self, first: int = 0) -> Iterator[Sample]:
        """Sample `first` of this rank, and all that follow."""
        while True:
            yield self.sample(first)
            first += 1

    def sample(self, p: int) -> Sample:
        """The p-th sample of this rank."""
        with self._lock:
            place = self._place(p)
            if place != self._next or place[1] == 0:
                self._begin(*place)
            epoch, at = place
            while self._waiting and self._waiting[0][0] <= at:
                self._take_in(self._waiting.popleft()[1], epoch)
            self._next = (epoch, at + 1) if at + 1 < len(self._order) else (epoch + 1, 0)
            return self._held.pop(self._order[at])

    def gather(self, rows: Tensor, out: list[Tensor] | None = None) -> list[Tensor]:
        """Images [B, C, *S] of the samples at `rows`, int64 [B]; into out[0] where that is given."""
        images = np.stack([self.sample(int(p)).image for p in rows], out=None if out is None else out[0].numpy())
        return [torch.from_numpy(images)] if out is None else out

    def plan(self, epoch: int) -> tuple[list[tuple[int, int]], list[Key]]:
        """A pass: (how many samples have been given when it is taken in, shard) of each shard, and its samples."""
        chance = np.random.default_rng([self.seed, epoch, self.rank, 1])
        taken, order, held, rows = list[tuple[int, int]](), list[Key](), list[Key](), 0

        def draw(number: float) -> None:
            k = int(number * len(held))
            held[k], held[-1] = held[-1], held[k]
            order.append(held.pop())

        for shard in self._mine(epoch):
            taken.append((max(0, rows - self.buffer), shard))
            count = self.shards.shards[shard].length
            rows += count
            for row, number in enumerate(chance.random(count).tolist()):
                held.append((shard, row))
                if len(held) > self.buffer:
                    draw(number)
        for number in chance.random(len(held)).tolist():
            draw(number)
        return taken, order

    def _mine(self, epoch: int) -> list[int]:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.shards.shards))
        return [int(shard) for shard in order[self.rank :: self.world]]

    def _place(self, p: int) -> tuple[int, int]:
        """(pass, number in it) of sample p; passes of a rank differ in length where shards do."""
        if self.world == 1:
            return divmod(p, len(self.shards))
        while self._starts[-1] <= p:
            mine = self._mine(len(self._starts) - 1)
            self._starts.append(self._starts[-1] + sum(self.shards.shards[shard].length for shard in mine))
        epoch = int(np.searchsorted(self._starts, p, side="right")) - 1
        return epoch, p - self._starts[epoch]

    def _begin(self, epoch: int, at: int) -> None:
        """Be where the first `at` samples of a pass have been given."""
        taken, self._order = self.plan(epoch)
        self._gone, left = set(self._order[:at]), {shard for shard, _ in self._order[at:]}
        self._waiting, self._held = deque((when, shard) for when, shard in taken if shard in left), {}

    def _take_in(self, shard: int, epoch: int) -> None:
        if self._ahead is not None and self._ahead[0] == shard:
            found = self._ahead[1].result()
        else:
            found = self.shards.read(shard)
        after = self._waiting[0][1] if self._waiting else self._mine(epoch + 1)[0]
        self._ahead = (after, self._reader.submit(self.shards.read, after))
        self._held |= {(shard, row): one for row, one in enumerate(found) if (shard, row) not in self._gone}
        self.most_held = max(self.most_held, len(self._held))
