"""The run folder: found or made, held by one process, and bound to one configuration."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from ..errors import InputError
from ..files import LEFTOVER, remove_leftovers, write_text
from .config import Config
from .settings import flatten, known_keys, to_dict, to_yaml

FREE = ("out", "threads", "look_every", "checkpoint_seconds", "trackers", "profile")
"""Settings that may differ when a run is resumed."""
STAGES = ("weak", "quality", "segmenter")
"""Folders that training makes."""


def choose(config: Config) -> Path:
    """`config.out`, or the next free runs/NAME-001."""
    if config.out is not None:
        return Path(config.out)
    name = Path(config.data).resolve().name if config.data else "phantoms"
    return next(path for k in range(1, 10**6) if not (path := Path("runs") / f"{name}-{k:03d}").exists())


@contextmanager
def removed_if_refused(folder: Path) -> Iterator[None]:
    """Around a run: where settings or data turn out unusable before a stage began, a folder that was new goes again.

    A folder that was there stays with all that was in it, and so does one that another process has taken meanwhile.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except InputError:
        if folder in made and folder.is_dir() and not any((folder / stage).exists() for stage in STAGES):
            with (folder / ".lock").open("w") as lock:
                if _taken(lock):
                    raise
                shutil.rmtree(folder, ignore_errors=True)
            for parent in made[1:]:
                if parent.is_dir() and not any(parent.iterdir()):
                    parent.rmdir()
        raise


def open_run(folder: Path, config: Config) -> IO[str]:
    """Make `folder` or resume the run in it; returns the lock, held until it is closed.

    Raises InputError where the folder holds something else, a run of other settings (which are named) or a running run.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"out: wanted a folder, got the file {folder}")
    saved = folder / "config.yaml"
    if folder.exists() and not saved.exists() and any(not _of_a_start(entry.name) for entry in folder.iterdir()):
        raise InputError(f"out: {folder} has files but no config.yaml: it is no run folder; name a new or empty one")
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
    if _taken(lock):
        lock.close()
        raise InputError(f"out: another process is training in {folder}")
    remove_leftovers(folder)
    if saved.exists():
        _same_settings(saved, config)
    else:
        write_text(saved, to_yaml(config))
    return lock


def saved_settings(folder: Path) -> dict[str, Any] | None:
    """The settings of the run in `folder` as {"section.key": value}; None where there is none that can be used."""
    try:
        found = flatten(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, UnicodeDecodeError, AttributeError):
        return None
    return found if set(found) == set(known_keys()) else None


def _of_a_start(name: str) -> bool:
    """Whether a run that was killed before it had its settings written leaves such a file."""
    return name == ".lock" or LEFTOVER.fullmatch(name) is not None


def _taken(lock: IO[str]) -> bool:
    """False where this process now holds the lock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _same_settings(saved: Path, config: Config) -> None:
    try:
        before = flatten(yaml.safe_load(saved.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        raise InputError(f"{saved}: not readable as settings ({error}); name another folder") from None
    now = flatten(to_dict(config))
    keys = [key for key in {**before, **now} if key not in FREE and before.get(key) != now.get(key)]
    if keys:
        lines = "\n".join(f"  - {key}: there {before.get(key)!r}, now {now.get(key)!r}" for key in keys)
        raise InputError(
            f"out: {saved.parent} holds a run of other settings; name another folder, or use the same:\n{lines}"
        )


def read_json(path: Path) -> dict[str, Any] | None:
    """What a finished stage wrote; None where it has not finished. InputError where the file is none of ours."""
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); remove it to do this stage again") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: wanted a JSON object, got {type(found).__name__}; remove it to do this stage again")
    return found


def write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
