"""A segmenter's stage out of its settings: method, guide, networks, gate, guard and refreshes."""

from __future__ import annotations

import copy
from collections.abc import Callable

from ..corruption import MaskBank
from ..networks import Ensemble, Segmenter
from ..quality.gate import Shown
from ..quality.predictor import QualityPredictor
from .config import Config
from .guard import Guard
from .inputs import Inputs
from .judging import gate
from .pairs import make_pair
from .refresh import Refresher
from .stages import QualityStage, SegmenterStage


def assemble(
    label: str,
    names: tuple[str, str],
    config: Config,
    inputs: Inputs,
    banks: dict[str, MaskBank],
    predictor: QualityPredictor,
    network: Callable[[str], Segmenter],
    quality_stage: Callable[[QualityPredictor], QualityStage],
) -> tuple[SegmenterStage, QualityPredictor, dict[str, Shown]]:
    """The stage, the predictor that guides it (a copy of `predictor` where it is refreshed), and what the gate found.

    names: of method and guide. network: builds a segmenter whose weights depend on the name it is given.
    """
    c, val = config.segmenter, inputs.stores["val"]
    refreshed = c.refresh > 0 and make_pair(*names, predictor, c)[1].judges
    own = copy.deepcopy(predictor) if refreshed else predictor
    method, guide = make_pair(*names, own, c)
    shown = gate(guide, banks.get("val"), val) if c.gate and guide.judges and guide.weighs else {}
    networks = [network("segmenter" if k == 0 else f"segmenter/{k}") for k in range(method.networks)]
    model = networks[0] if method.networks == 1 else Ensemble(networks)
    guard = Guard(own, c.guard) if c.guard and guide.regularizes else None
    refresh = Refresher(quality_stage(own), val, c.refresh_steps, config.seed).refresh if refreshed else None
    stage = SegmenterStage(
        label, c, model, method, guide, inputs.stores, config.seed, guard, refresh, own if refreshed else None
    )
    return stage, own, shown
