"""``qgssl-fast train``: the whole method, from one line."""

from __future__ import annotations

import os
import shlex
from argparse import ArgumentParser as Plain
from dataclasses import fields
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from ..data import looks_volumetric, sample_sides
from ..errors import InputError
from ..training.config import Config
from ..training.folder import saved_settings
from ..training.settings import drop_foreign_options, from_dict, list_presets, load_preset


def configure(parser: ArgumentParser, words: list[str]) -> None:
    """Add the options; the preset that `words` ask for (or that the device suggests) gives the defaults."""
    first = Plain(add_help=False, allow_abbrev=False)
    for name in ("--preset", "--data", "--device", "--images.size", "--out", "--config"):
        first.add_argument(name, dest=name.strip("-").replace(".", "_"))
    _fill_flags(words)
    seen, _ = first.parse_known_args([word for word in words if word not in ("-h", "--help")])
    preset = seen.preset or _suggest(seen.data, seen.device or "auto")
    sides = sample_sides(seen.data) if seen.data is not None else []
    three = len(sides) == 3 if sides else seen.data is not None and looks_volumetric(Path(seen.data))
    volumes = three and (seen.images_size or ",,").count(",") == 2
    parser.add_argument(
        "--config", action="config", help="YAML file of settings; options on the command line come after it"
    )
    parser.add_argument(
        "--preset",
        type=str,
        default=preset,
        help=f"settings to start from: {', '.join(list_presets())}; chosen from the device when not given",
    )
    parser.add_argument(
        "--method",
        type=str | None,
        default=None,
        help="one method, by published name (PL-QW) or as in pseudo_label; short for --methods",
    )
    parser.add_argument(
        "--guide",
        type=str | None,
        default=None,
        help="the guide of --method, or several joined by +: quality+regularizer (see qgssl-fast methods)",
    )
    parser.add_class_arguments(Config, as_group=True)
    parser.set_defaults(load_preset(preset, volumes) | ({"images.size": sides} if sides else {}))
    if seen.out and not seen.preset and not seen.config and (saved := saved_settings(Path(seen.out))):
        parser.set_defaults(saved)  # a run that goes on needs its folder's name alone


def run(settings: Namespace, words: list[str]) -> int:
    """Train; returns 0."""
    from ..training.run import run as train  # torch, MONAI and accelerate are loaded only when they are used

    values = settings.as_dict() if hasattr(settings, "as_dict") else dict(settings)
    for extra in ("config", "__default_config__"):
        values.pop(extra, None)
    preset, method, guide = values.pop("preset"), values.pop("method"), values.pop("guide")
    if guide is not None and method is None:
        raise InputError(f"--guide {guide} needs --method")
    if method is not None:
        values["methods"] = [method if guide is None else f"{method}+{guide}"]
    chosen = any(word.split("=")[0] == "--preset" for word in words)
    goes_on = not chosen and values["out"] is not None and saved_settings(Path(values["out"])) is not None
    volumes = len(values["images"]["size"]) == 3
    notes = [] if goes_on else drop_foreign_options(values, load_preset(preset, volumes))
    if not goes_on and not chosen:
        why = _reason(values["data"], values["device"])
        notes.insert(0, f"preset {preset}, chosen since {why} (--preset {'|'.join(list_presets())})")
    console = Console(quiet=os.environ.get("RANK", "0") != "0")  # of several ranks one speaks
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    command = shlex.join(["qgssl-fast", "train", *words])
    train(from_dict(values), console, command)
    return 0


def _fill_flags(words: list[str]) -> None:
    """Let switches stand alone: --profile is --profile=true."""
    switches = {f"--{field.name}" for field in fields(Config) if field.default is False}
    for k, word in enumerate(words):
        if word in switches and (k + 1 == len(words) or words[k + 1].startswith("--")):
            words[k] = f"{word}=true"


def _suggest(data: str | None, device: str) -> str:
    if data is None:
        return "phantoms"
    return "cpu" if device == "cpu" or not torch.cuda.is_available() else "paper"


def _reason(data: str | None, device: str) -> str:
    if data is None:
        return "no --data is given"
    return "no GPU is used" if device == "cpu" or not torch.cuda.is_available() else "there is a GPU"
