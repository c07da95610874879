"""Between log lines no number goes from the device to the host, with any method: counted on the CPU, or forbidden."""

from __future__ import annotations

import traceback
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from qgssl_fast.data import DeviceStore
from qgssl_fast.ops import augment
from qgssl_fast.training.config import Config
from qgssl_fast.training.engine import Engine
from qgssl_fast.training.logging import Meter

from .conftest import NAMES

WAITING_OPS = {
    "_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2", "unique_dim",
    "unique_consecutive", "repeat_interleave.Tensor", "allclose",
}  # fmt: skip
"""What makes a host wait for a GPU: a number, or a shape that depends on numbers."""
KERNELS = str(Path("qgssl_fast", "kernels"))
CPU_ONLY = {("_check.py", "within"), ("_check.py", "labels")}
WAITING_METHODS = ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "cpu")


class Ops(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name = op.name().split("::")[1]
        if (name in WAITING_OPS or name.split(".")[0] in WAITING_OPS) and not of_a_cpu():
            self.found[name] += 1
        return op(*args, **kwargs or {})


class Methods(TorchFunctionMode):
    """Methods of tensors that read without an operation. What a CPU alone does may: its memory is at hand."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in WAITING_METHODS and not of_a_cpu():
            self.found[name] += 1
        return function(*args, **kwargs or {})


def of_a_cpu() -> bool:
    """Kernels, and what a tensor of a GPU does not come to: checks of values, lines that ask for a CPU first."""
    return any(
        KERNELS in frame.filename
        or (Path(frame.filename).name, frame.name) in CPU_ONLY
        or 'device.type == "cpu"' in (frame.line or "")
        for frame in traceback.extract_stack(limit=14)
    )


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """augment takes out the samples that change on a CPU, where that costs nothing, and no sample on a GPU."""
    if hasattr(augment, "_chosen"):
        monkeypatch.setattr(augment, "_chosen", lambda strength: slice(None))


@pytest.mark.parametrize("name", NAMES)
def test_no_number_is_read_between_log_lines(name, make_stage, make_engine, as_on_a_gpu):
    stage, engine, meter = make_stage(name), make_engine(), Meter()
    engine.prepare(stage)
    for step in range(2):
        engine.take_step(step)
    with Ops() as ops, Methods() as methods:
        for step in (2, 3, 5, 6):  # lambda is 0 in the first two
            meter.add(step, engine.take_step(step))
    assert (dict(ops.found), dict(methods.found)) == ({}, {})
    meter.look()
    assert "loss" in meter.means()


def test_the_count_sees_a_number_that_is_read(make_stage, make_engine):
    stage, engine = make_stage("weak"), make_engine()
    engine.prepare(stage)
    with Ops() as ops, Methods() as methods:
        loss = engine.take_step(0)["loss"]
        assert loss.item() > 0
        assert len((loss > 0).nonzero()) in (0, 1)
        assert loss.tolist() > 0
    assert ops.found["_local_scalar_dense"] >= 1
    assert ops.found["nonzero"] == 1
    assert methods.found["tolist"] == 1


@pytest.mark.parametrize("name", [name for name in NAMES if "/" in name])
def test_unlabelled_images_are_not_touched_while_lambda_is_0(name, make_stage, make_engine, monkeypatch):
    stage, engine, touched = make_stage(name), make_engine(), []
    engine.prepare(stage)
    ways = {name: getattr(DeviceStore, name) for name in ("batch", "pairs", "source")}

    def watched(function):
        def call(self, *index):
            touched.append(self)
            return function(self, *index)

        return call

    for way, function in ways.items():
        monkeypatch.setattr(DeviceStore, way, watched(function))
    for step in range(4):
        engine.take_step(step)
    assert not any(store is stage.unlabelled for store in touched)
    engine.take_step(4)
    assert any(store is stage.unlabelled for store in touched)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_is_never_waited_for(name, make_stage, stores, monkeypatch):
    for key, store in stores.items():
        monkeypatch.setitem(stores, key, store.to("cuda"))
    stage, engine, meter = make_stage(name), Engine(Config(device="cuda")), Meter()
    engine.prepare(stage)
    for step in (0, 1, 2, 4, 5):
        engine.take_step(step)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in (3, 6, 7):
            meter.add(step, engine.take_step(step))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    meter.look()
