"""Quality-guided semi-supervised segmentation of medical images: mask corruption, quality prediction, guided training.

    import qgssl_fast as qf
    out = qf.corrupt(masks, qf.load_recipe("default").without_bank(), seed=0)

Names are loaded when they are first used, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "errors": ("InputError",),
    "recipes": ("Recipe", "load_recipe"),
    "ops.morph": ("erode", "dilate", "opening", "closing"),
    "ops.warp": ("affine", "elastic"),
    "ops.overlap": ("overlap", "dice"),
    "ops.corrupt": ("Corruption", "corrupt", "replay"),
    "ops.losses": ("soft_dice", "bce_dice", "ce_dice", "consistency"),
    "ops.augment": ("Augmentation", "augment", "augment_views"),
    "corruption": ("Corruptor", "MaskBank"),
    "networks": ("Segmenter", "list_networks"),
    "data": ("DeviceStore", "make_phantoms", "read_dataset"),
    "quality": ("QualityGuide", "QualityPredictor", "make_guide"),
    "methods": ("make_method",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'qgssl_fast' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
