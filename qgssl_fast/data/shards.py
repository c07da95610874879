"""Data sets larger than a machine's memory: tar files in WebDataset's layout, on disk or behind an fsspec URL.

A shard holds NAME.image.npy and, where there is one, NAME.mask.npy of its samples; index.json says which shards a split
has and what their samples look like. Tar was chosen over Zarr because a shard is then one sequential read from any
object store, and any WebDataset reader takes it; the order of samples is made here (data/stream.py), since theirs
cannot be taken up again in the middle.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import numpy as np
import torch

from qgssl_fast.data.checks import Progress
from qgssl_fast.data.judge import Conventions, Fault
from qgssl_fast.data.store import DeviceStore, packed
from qgssl_fast.errors import InputError
from qgssl_fast.kernels.reference.packed import bits_of

INDEX = "index.json"
DTYPES = ("uint8", "float16")


class Sample(NamedTuple):
    """name; image uint8 or float16 [C, *S]; mask uint8 [*S] of class numbers, or None."""

    name: str
    image: np.ndarray
    mask: np.ndarray | None


class Shard(NamedTuple):
    """One tar file: its name, how many samples it holds, a digest of them."""

    name: str
    length: int
    digest: str


@dataclass(frozen=True)
class Shards:
    """The shards of one split, and what index.json says of their samples. `where` is for messages."""

    files: Any
    root: str
    where: str
    split: str
    shards: tuple[Shard, ...]
    image: tuple[int, ...]
    """[C, *S]."""
    dtype: str
    masks: bool
    conventions: Conventions

    def __len__(self) -> int:
        return sum(shard.length for shard in self.shards)

    @property
    def image_bytes(self) -> int:
        return math.prod(self.image) * np.dtype(self.dtype).itemsize

    @property
    def mask_bytes(self) -> int:
        """Of a mask as stores keep it."""
        labels = packed(torch.empty((0, *self.image[1:]), dtype=torch.uint8), self.conventions.num_classes)
        return math.prod(bits_of(labels).shape[1:]) if self.masks else 0

    def read(self, number: int) -> list[Sample]:
        """The samples of shard `number`, in the order in which they were written; InputError where it is damaged."""
        name, length, _ = self.shards[number]
        found: dict[str, dict[str, np.ndarray]] = {}
        try:
            with self.files.open(f"{self.root}/{name}", "rb") as file:
                content = file.read()
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
                for member in tar:
                    key, part, _ = member.name.rsplit(".", 2)
                    values = memoryview(content)[member.offset_data : member.offset_data + member.size]
                    found.setdefault(key, {})[part] = _array(values)
        except Exception as error:  # file systems behind URLs raise kinds of their own
            raise InputError(f"{self.root}/{name}: unreadable ({error})") from None
        if len(found) != length:
            raise InputError(f"{self.root}/{name}: holds {len(found)} samples, {INDEX} says {length}")
        for key, parts in found.items():
            self._check(f"{self.root}/{name}: {key}", parts)
        return [Sample(key[9:], parts["image"], parts.get("mask")) for key, parts in sorted(found.items())]

    def _check(self, what: str, parts: dict[str, np.ndarray]) -> None:
        wanted = {"image": (self.image, self.dtype)} | ({"mask": (self.image[1:], "uint8")} if self.masks else {})
        came = {part: (values.shape, str(values.dtype)) for part, values in parts.items()}
        if came != wanted:
            raise InputError(f"{what}: holds {came}, {INDEX} says {wanted}")


@lru_cache(maxsize=64)
def _header(head: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an .npy file's first bytes."""
    stream = io.BytesIO(head)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an .npy file of another version than 1.0")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    if by_columns or dtype.hasobject:
        raise ValueError(f"an array of {dtype}, by columns: {by_columns}")
    return shape, dtype


def _array(content: memoryview) -> np.ndarray:
    """A copy, so that a sample that is held does not hold its shard."""
    start = 10 + int.from_bytes(content[8:10], "little")
    shape, dtype = _header(bytes(content[:start]))
    if len(content) != start + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(content)} bytes of an array {list(shape)} of {dtype}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).copy()


def is_sharded(data: str) -> bool:
    """Whether `data` is a URL, or a folder with shards: what holds neither is a folder of files."""
    return "://" in data or (Path(data) / INDEX).is_file()


def read_index(url: str) -> dict[str, Shards]:
    """The shards below a folder or fsspec URL, by split; InputError where there are none that can be read."""
    files, root = _root(url)
    try:
        with files.open(f"{root}/{INDEX}", "r") as stream:
            told = json.load(stream)
        found = {}
        for split, said in told.items():
            shards = tuple(Shard(one["name"], int(one["count"]), str(one["digest"])) for one in said["shards"])
            conventions = Conventions(**said["conventions"] | {"labels": tuple(said["conventions"]["labels"])})
            image, dtype = tuple(map(int, said["image"])), said["dtype"]
            if any("/" in shard.name or "\\" in shard.name or shard.length < 1 for shard in shards):
                raise ValueError(f"{split}: names of files in this folder and counts >= 1 are wanted")
            if dtype not in DTYPES or len(image) not in (3, 4) or min(image) < 1:
                raise ValueError(f"{split}: images of {dtype}, {list(image)}")
            found[split] = Shards(files, root, url, split, shards, image, dtype, bool(said["masks"]), conventions)
    except KeyError as error:
        raise InputError(f"{url}: {INDEX} does not say {error}; qgssl-fast shard makes one that does") from None
    except Exception as error:  # as above, and whatever a wrong index leads to
        raise InputError(f"{url}: no readable {INDEX} ({error}); qgssl-fast shard makes one") from None
    return found


def check_shards(url: str, progress: Progress | None = None) -> list[Fault]:
    """Read every shard and list those that cannot be, or whose samples are not as the index says. progress: (done,
    total) shards."""
    found, index = list[Fault](), read_index(url)
    numbered = [(shards, number) for shards in index.values() for number in range(len(shards.shards))]
    for done, (shards, number) in enumerate(numbered, 1):
        try:
            if digest_of(shards.read(number)) != shards.shards[number].digest:
                found.append(Fault(shards.shards[number].name, f"samples are not those that {INDEX} was written for"))
        except InputError as error:
            found.append(Fault(shards.shards[number].name, str(error).partition(": ")[2]))
        if progress is not None:
            progress(done, len(numbered))
    return found


def sample_sides(data: str) -> list[int]:
    """Sides of the samples of shards; none where `data` has none that can be read."""
    try:
        found = list(read_index(data).values()) if is_sharded(data) else []
        return list(found[0].image[1:]) if found else []
    except InputError:
        return []


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
            with files.open(f"{root}/{name}", "wb") as stream:
                digest = _write(stream, store, rows)
            shards.append({"name": name, "count": len(rows), "digest": digest})
        told[split] = {
            "shards": shards, "conventions": asdict(store.conventions), "masks": store.labels is not None,
            "image": list(store.images.shape[1:]), "dtype": str(store.images.dtype).removeprefix("torch."),
        }  # fmt: skip
    with files.open(f"{root}/{INDEX}", "w") as stream:  # last: a folder with an index is whole
        json.dump(told, stream)
    return {split: len(found["shards"]) for split, found in told.items()}


def _write(stream: Any, store: DeviceStore, rows: range) -> str:
    images, masks = store.batch(torch.arange(rows.start, rows.stop, device=store.images.device))
    labels = [None] * len(rows) if masks is None else masks.cpu().numpy()
    samples = [Sample(store.names[row], *pair) for row, *pair in zip(rows, images.cpu().numpy(), labels)]
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for row, sample in zip(rows, samples):
            for part, values in (("image", sample.image), ("mask", sample.mask)):
                if values is None:
                    continue
                content = io.BytesIO()
                np.save(content, values, allow_pickle=False)
                entry = tarfile.TarInfo(f"{row:08d}_{sample.name}.{part}.npy")
                entry.size = content.tell()  # no time and no owner: the same samples make the same bytes
                content.seek(0)
                tar.addfile(entry, content)
    return digest_of(samples)


def digest_of(samples: list[Sample]) -> str:
    """BLAKE2b of names, images and masks."""
    digest = hashlib.blake2b(digest_size=16)
    for name, *values in samples:
        digest.update(name.encode("utf-8", "surrogateescape"))
        for one in values:
            digest.update(b"" if one is None else np.ascontiguousarray(one).data)
    return digest.hexdigest()


def _root(url: str) -> tuple[Any, str]:
    try:
        files, root = fsspec.core.url_to_fs(str(url))
    except (ImportError, ValueError) as error:
        raise InputError(f"{url}: not a usable URL ({error})") from None
    return files, root.rstrip("/")
