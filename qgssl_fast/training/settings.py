"""Settings as text and back: presets, "section.key" names, and the check of all values."""

from __future__ import annotations

import re
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from ..errors import Faults, InputError, nearest
from .config import Config

PRESETS = Path(__file__).with_name("presets")
POSITIVE = """
weak.epochs weak.batch weak.lr quality.epochs quality.corruptions_per_image quality.validation_corruptions
quality.test_corruptions quality.batch quality.lr quality.clip quality.beta segmenter.epochs segmenter.labelled_batch
segmenter.unlabelled_batch segmenter.lr segmenter.clip segmenter.validate_every
phantoms.train phantoms.val phantoms.test
""".split()  # noqa: SIM905


def to_dict(config: Config) -> dict[str, Any]:
    return asdict(config)


def from_dict(tree: dict[str, Any], cls: Any = Config) -> Any:
    """What :func:`to_dict` was given; every key must be there."""
    parts = {}
    for f in fields(cls):
        value, default = tree[f.name], _default(f)
        parts[f.name] = from_dict(value, type(default)) if is_dataclass(default) and isinstance(value, dict) else value
    return cls(**parts)


def to_yaml(config: Config) -> str:
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def flatten(tree: dict[str, Any], cls: Any = Config, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"section.key": value}; a dict that is itself a value (options) stays one."""
    flat: dict[str, Any] = {}
    known = {f.name: f for f in fields(cls)}
    for key, value in tree.items():
        default = _default(known[key]) if key in known else None
        if is_dataclass(default) and isinstance(value, dict):
            flat |= flatten(value, type(default), f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def known_keys(cls: Any = Config, prefix: str = "") -> list[str]:
    """All settings as "section.key"."""
    return list(flatten(asdict(cls()), cls, prefix))


def _default(f: Any) -> Any:
    return f.default_factory() if callable(f.default_factory) else f.default


def list_presets() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml") if "." not in path.stem)


def load_preset(name: str, volumes: bool = False) -> dict[str, Any]:
    """The settings of a preset as {"section.key": value}; InputError names the presets when there is no such one.

    volumes: with what NAME.volumes.yaml says of volumes, where there is such a file.
    """
    if name not in list_presets():
        raise InputError(
            f"preset: wanted one of {', '.join(list_presets())}, got {name!r}{nearest(name, list_presets())}"
        )
    files = [PRESETS / f"{name}.yaml", PRESETS / f"{name}.volumes.yaml"][: 1 + volumes]
    settings: dict[str, Any] = {}
    for file in files:
        if file.exists():
            settings |= flatten(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    return settings


def drop_foreign_options(values: dict[str, Any], preset: dict[str, Any]) -> list[str]:
    """Empty the options of each network that is not the preset's while its options still are; returns what to say.

    values: nested settings, changed in place; preset: as :func:`load_preset` gives it.
    """
    said = []
    for section, name in (("weak", "network"), ("quality", "backbone"), ("segmenter", "network")):
        here, theirs = values[section], preset.get(f"{section}.{name}")
        if here[name] != theirs and here["options"] and here["options"] == preset.get(f"{section}.options"):
            here["options"] = {}
            said.append(f"{section}.options: those of the preset are for {theirs}; {here[name]} starts without any")
    return said


def check_types(part: Any, faults: Faults, prefix: str = "") -> None:
    """Add each field of a dataclass whose value is not what its annotation says; an int may stand for a float."""
    hints = get_type_hints(type(part))
    for f in fields(part):
        value, hint = getattr(part, f.name), hints[f.name]
        if is_dataclass(value) and isinstance(hint, type) and isinstance(value, hint):
            check_types(value, faults, f"{prefix}{f.name}.")
        elif not _fits(value, hint):
            wanted = (
                hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
            )
            faults.add(f"{prefix}{f.name}: wanted {wanted}, got {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is list:
        return isinstance(value, (list, tuple)) and all(_fits(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, origin or hint) and not (hint is int and isinstance(value, bool))


def check(config: Config) -> None:
    """Raise InputError with every value that is of a wrong type or out of range."""
    faults = Faults()
    check_types(config, faults)
    faults.check("configuration")

    def want(good: bool, key: str, wanted: str, got: Any) -> None:
        if not good:
            faults.add(f"{key}: wanted {wanted}, got {got!r}")

    images, weak, segmenter = config.images, config.weak, config.segmenter
    want(
        len(images.size) in (2, 3) and min(images.size, default=0) >= 16,
        "images.size",
        "2 or 3 sides of at least 16 pixels",
        images.size,
    )
    want(images.channels in (None, 1, 3), "images.channels", "1, 3 or null", images.channels)
    want(images.classes is None or 2 <= images.classes <= 255, "images.classes", "2 to 255, or null", images.classes)
    if not isinstance(images.labelled, str):
        want(images.labelled is None or images.labelled > 0, "images.labelled", "more than 0", images.labelled)
    want(images.unlabelled is None or images.unlabelled >= 0, "images.unlabelled", "0 or more", images.unlabelled)
    want(images.dtype in ("auto", "uint8", "float16"), "images.dtype", "auto, uint8 or float16", images.dtype)
    want(images.buffer >= 1, "images.buffer", "1 or more", images.buffer)
    want(
        images.normalization in ("dataset", "imagenet"),
        "images.normalization",
        "dataset or imagenet",
        images.normalization,
    )
    want(
        re.fullmatch(r"auto|cpu|cuda(:\d+)?", config.device) is not None,
        "device",
        "auto, cpu, cuda or cuda:N",
        config.device,
    )
    kinds = ("image_only", "moved", "strong")
    want(config.quality.augmentation in kinds, "quality.augmentation", ", ".join(kinds), config.quality.augmentation)
    want(config.precision in ("no", "bf16", "fp16"), "precision", "no, bf16 or fp16", config.precision)
    want(config.accumulate >= 1, "accumulate", "1 or more", config.accumulate)
    want(config.look_every >= 1, "look_every", "1 or more", config.look_every)
    want(config.checkpoint_seconds >= 0, "checkpoint_seconds", "0 or more", config.checkpoint_seconds)
    want(config.threads is None or config.threads >= 1, "threads", "1 or more", config.threads)
    want(0 <= config.seed < 2**63, "seed", "0 to 2^63 - 1", config.seed)
    want(
        len(config.methods) > 0 and len(set(config.methods)) == len(config.methods),
        "methods",
        "distinct names",
        config.methods,
    )
    for key in POSITIVE:
        section, name = key.split(".")
        want(getattr(getattr(config, section), name) > 0, key, "more than 0", getattr(getattr(config, section), name))
    for section in ("weak", "quality", "segmenter"):
        steps = getattr(config, section).steps_per_epoch
        want(steps is None or steps > 0, f"{section}.steps_per_epoch", "1 or more, or null", steps)
    for key, value, top in (
        ("quality.dense", config.quality.dense, None), ("quality.dense_weight", config.quality.dense_weight, None),
        ("quality.soft", config.quality.soft, 1), ("segmenter.guard", segmenter.guard, 1),
        ("segmenter.refresh", segmenter.refresh, None), ("segmenter.refresh_steps", segmenter.refresh_steps, None),
    ):  # fmt: skip
        want(value >= 0 and (top is None or value <= top), key, "0 or more" if top is None else f"0 to {top}", value)
    want(weak.folds >= 1, "weak.folds", "1 or more", weak.folds)
    want(config.quality.warmup >= 0, "quality.warmup", "0 or more", config.quality.warmup)
    want(0 <= segmenter.ema < 1, "segmenter.ema", "0 <= ema < 1", segmenter.ema)
    want(
        all(1 <= e <= weak.epochs for e in weak.snapshots),
        "weak.snapshots",
        f"epochs from 1 to {weak.epochs}",
        weak.snapshots,
    )
    for key in ("method_lambda", "regularizer_lambda"):
        ramp = getattr(segmenter, key)
        want(
            min(ramp.start, ramp.ramp, ramp.maximum) >= 0,
            f"segmenter.{key}",
            "start, ramp and maximum of 0 or more",
            asdict(ramp),
        )
    faults.check("configuration")
