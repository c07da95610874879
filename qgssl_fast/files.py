"""Writing files so that nobody ever sees half of one: beside, fsync, rename."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

LEFTOVER = re.compile(r"\.\d+\..+")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; when the block ends well it becomes `path`, else it is removed.

    Suffixes are kept, since many writers choose the format by them. Errors of the operating system (no space left, not
    permitted) pass through.
    """
    path = Path(path)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _sort_metadata(path: Path) -> None:
    """Entries of a safetensors header in the order of their names: the library's own order differs from call to call,
    and the same content would give other bytes."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))


def remove_leftovers(folder: Path) -> None:
    """Remove what :func:`replacing` left below `folder` when its process was killed; no other may be writing there."""
    for path in folder.rglob(".*"):
        if LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink()


def _sync_folder(folder: Path) -> None:
    """Names are kept in the folder: without this a rename may be lost when the power goes."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return Path(path)


def write_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write a safetensors file, whole or not at all; OSError where the disk is full or not writable."""
    with replacing(path) as beside:
        try:
            save_file(tensors, beside, metadata=metadata)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        _sort_metadata(beside)
    return Path(path)
