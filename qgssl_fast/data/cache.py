"""What has been found out about files and need not be found out again, outside the data folder."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

OFF = ("off", "0", "")
READ = 1 << 22  # bytes of a file that are hashed at once


def cache_folder() -> Path | None:
    """QGSSL_CACHE, else qgssl_fast in XDG_CACHE_HOME or ~/.cache; None where QGSSL_CACHE is off."""
    told = os.environ.get("QGSSL_CACHE")
    if told is not None:
        return None if told.lower() in OFF else Path(told)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "qgssl_fast"


class FileCache:
    """Texts by key in one SQLite file; a key names files by path, size and time of change.

    Where the folder cannot be written nothing is kept, and `why_not` says so.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.why_not, self._path = "", None
        folder = folder or cache_folder()
        if folder is None:
            self.why_not = "QGSSL_CACHE is off"
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._open(folder / "files.sqlite") as base:
                base.execute("CREATE TABLE IF NOT EXISTS found (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
            self._path = folder / "files.sqlite"
        except (OSError, sqlite3.Error) as error:
            self.why_not = f"{folder} cannot be used ({error})"

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=30)

    def get(self, keys: Iterable[str]) -> dict[str, str]:
        """What is known of the keys."""
        if self._path is None:
            return {}
        with self._open(self._path) as base:
            rows = (base.execute("SELECT key, value FROM found WHERE key = ?", (key,)).fetchone() for key in keys)
            return {row[0]: row[1] for row in rows if row}

    def put(self, values: dict[str, str]) -> None:
        if self._path is not None and values:
            with self._open(self._path) as base:
                base.executemany("INSERT OR REPLACE INTO found VALUES (?, ?)", values.items())

    def digests(self, paths: Iterable[Path]) -> dict[Path, str]:
        """BLAKE2b of each file's content; files are read only where size or time have changed since."""
        keys = {path: f"content {stamp(path)}" for path in paths}
        known = self.get(keys.values())
        found = {path: known[key] if key in known else _digest(path) for path, key in keys.items()}
        self.put({key: found[path] for path, key in keys.items() if key not in known})
        return found


def stamp(path: Path) -> str:
    """Path, size and time of change; OSError where there is no such file."""
    status = path.stat()
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(READ):
            digest.update(block)
    return digest.hexdigest()
