"""Rows of host memory to a device; those of the next step are gathered while this one computes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

SLOTS = 2  # batches on their way at once
Gather = Callable[[Tensor, list[Tensor] | None], list[Tensor]]


class Feeder:
    """Takes rows of tensors in host memory (pinned, or a memory-mapped file's) to `device`.

    `prefetch` starts a batch in a thread of its own: gathered into one of two pinned buffers, copied on a stream of its
    own. `take` hands it over, or gathers now what was not announced. Results are those of index_select, or of `gather`
    where that is given: gather(rows, out) brings the rows, into `out` unless it is None, and `tensors` tell what of.
    """

    def __init__(self, tensors: Sequence[Tensor], device: torch.device, gather: Gather | None = None) -> None:
        self.tensors, self.device, self._rows = list(tensors), device, gather or self._select
        self._pending: OrderedDict[tuple[int, ...], Future[list[Tensor]]] = OrderedDict()
        self._thread: ThreadPoolExecutor | None = None
        self._slots: list[tuple[list[Tensor], torch.cuda.Event | None]] = []
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def prefetch(self, rows: Tensor) -> None:
        """Start on these rows, int64 [B] on the CPU; the oldest batch that nobody has taken is dropped."""
        key = tuple(rows.tolist())
        if key in self._pending:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        while len(self._pending) >= SLOTS:
            self._pending.popitem(last=False)[1].cancel()
        self._pending[key] = self._thread.submit(self._gather, rows.clone())

    def take(self, rows: Tensor) -> list[Tensor]:
        """The rows of each tensor, on the device."""
        rows = rows.cpu()  # sync: where the caller has put them on a GPU
        waiting = self._pending.pop(tuple(rows.tolist()), None)
        found = self._gather(rows) if waiting is None else waiting.result()
        if self._stream is not None:
            now = torch.cuda.current_stream(self.device)
            now.wait_stream(self._stream)
            for tensor in found:
                tensor.record_stream(now)
        return found

    def _gather(self, rows: Tensor) -> list[Tensor]:
        if self._stream is None:
            return self._rows(rows, None)
        buffers = self._rows(rows, self._buffers(len(rows)))
        with torch.cuda.stream(self._stream):
            found = [buffer.to(self.device, non_blocking=True) for buffer in buffers]
            event = torch.cuda.Event()
            event.record(self._stream)
        self._slots.append((buffers, event))
        return found

    def _select(self, rows: Tensor, out: list[Tensor] | None) -> list[Tensor]:
        if out is None:
            return [tensor.index_select(0, rows) for tensor in self.tensors]
        return [torch.index_select(tensor, 0, rows, out=buffer) for tensor, buffer in zip(self.tensors, out)]

    def _buffers(self, count: int) -> list[Tensor]:
        """Pinned memory whose last copy has ended."""
        if len(self._slots) >= SLOTS:
            buffers, event = self._slots.pop(0)
            if event is not None:
                event.synchronize()  # sync: in the feeding thread
            if len(buffers[0]) == count:
                return buffers
        return [torch.empty((count, *t.shape[1:]), dtype=t.dtype, pin_memory=True) for t in self.tensors]
