"""Ctrl-C once: finish the step, save, say how to go on. Twice: stop at once. SIGTERM, as a scheduler sends it: once."""

from __future__ import annotations

import signal
import threading
from collections import deque
from types import FrameType, TracebackType
from typing import Any

import torch
import torch.distributed as dist


class Interrupt:
    """Around training: `asked` tells whether a signal has come; a second one raises KeyboardInterrupt where it is."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            self._before = {number: signal.signal(number, self._come) for number in self.SIGNALS}
        return self

    def _come(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Agreement:
    """The step after which all ranks stop, once any of them was asked to; nobody waits for a device to learn it.

    The rank that was asked tells the store of the process group to stop one step later than any other can have got to.
    On CPUs ranks end a step together: a rank that has seen step k + 1 end began it after the asked one had told. On
    GPUs the host runs ahead, of the others by at most `AHEAD` steps, since it waits for its device's step so long ago.
    """

    AHEAD = 8

    def __init__(self, stage: str, cuda: bool) -> None:
        default = dist.distributed_c10d._get_default_store() if dist.is_initialized() else None
        self._store = None if default is None else dist.PrefixStore(f"stop/{stage}", default)
        self._ahead, self._at = self.AHEAD if cuda else 0, -1
        self._begun: deque[torch.cuda.Event] = deque()

    def stops(self, step: int, asked: bool) -> bool:
        """Whether to stop now, after `step` steps; called by all ranks after each step."""
        if self._store is None:
            return asked
        if self._ahead:
            self._begun.append(torch.cuda.Event())
            self._begun[-1].record()
            if len(self._begun) > self._ahead:
                self._begun.popleft().synchronize()  # sync, with a step that is long done
        if self._at < 0 and (asked or self._store.check(["at"])):
            self._at = int(self._store.compare_set("at", "", str(step + 1 + self._ahead)))  # the first one's stays
        return 0 <= self._at <= step
