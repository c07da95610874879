"""``qgssl-fast shard``: a data set, checked and decoded, as tar files for streaming."""

from __future__ import annotations

from dataclasses import replace

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.progress import Progress

from ..data import load_stores
from ..data.shards import write_shards
from ..training.config import VolumesConfig
from ..training.inputs import read_splits, volume_options


def configure(parser: ArgumentParser, words: list[str]) -> None:
    """Add the options."""
    parser.add_argument("data", type=str, help="data set folder")
    parser.add_argument("url", type=str, help="folder or fsspec URL of the shards")
    parser.add_argument("--size", type=list[int], default=[224, 224], help="height and width, or depth before them")
    parser.add_argument("--samples", type=int, default=256, help="samples of a shard")
    parser.add_argument("--channels", type=int | None, default=None, help="image channels, 1 or 3; as images.channels")
    parser.add_argument("--classes", type=int | None, default=None, help="values in masks of images; 2 if not given")
    parser.add_argument("--dtype", type=str, default="auto", help="auto, uint8 or float16; as images.dtype")
    parser.add_argument("--labelled", type=float | str | None, default=None, help="as images.labelled of a run")
    parser.add_argument("--unlabelled", type=int | None, default=None, help="as images.unlabelled of a run")
    parser.add_argument("--allow_empty_masks", type=bool, default=False, help="whether empty masks are well")
    parser.add_argument("--seed", type=int, default=0, help="of splits and patches")
    parser.add_argument("--volumes", type=VolumesConfig, default=VolumesConfig(), help="how volumes become samples")


def run(settings: Namespace, words: list[str]) -> int:
    """Write the shards and say how many; returns 0."""
    console = Console()
    dataset = read_splits(settings.data, settings, settings.seed)
    volumes = replace(VolumesConfig(**vars(settings.volumes)), anew=False)  # shards hold patches alone
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("files", total=len(dataset))
        stores = load_stores(
            dataset, tuple(settings.size), settings.channels,
            progress=lambda done, total: progress.update(task, completed=done), classes=settings.classes,
            allow_empty_masks=settings.allow_empty_masks, volumes=volume_options(volumes, settings.seed),
            dtype=settings.dtype,
        )  # fmt: skip
    counts = write_shards(
        {split: store for split, store in stores.items() if len(store)}, settings.url, settings.samples
    )
    told = ", ".join(f"{split} {count} ({len(stores[split])} samples)" for split, count in counts.items())
    console.print(f"{settings.url}: {told}", highlight=False, soft_wrap=True)
    return 0
