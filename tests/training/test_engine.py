"""Options of a step: parts of a batch, autocast, clipping, memory format, compilation, and what a machine has not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qgssl_fast.errors import InputError
from qgssl_fast.training.config import Config
from qgssl_fast.training.engine import Engine
from qgssl_fast.training.ranks import PartDropout
from qgssl_fast.training.stage import Part

from .conftest import NAMES, weights


def run(stage, engine, steps=8):
    engine.prepare(stage)
    for step in range(steps):
        values = engine.take_step(step)
    return values


@pytest.mark.parametrize("name", ["weak", "segmenter/supervised"])
def test_accumulated_parts_train_as_one_batch(name, make_stage, make_engine):
    """Same items, masks and dropout; gradients differ by float32's rounding of another order of sums, and Adam, which
    divides by their size, carries it on."""
    whole, parted = make_stage(name), make_stage(name)
    run(whole, make_engine())
    run(parted, make_engine(accumulate=2))
    ours, theirs = weights(parted), weights(whole)
    assert any(not torch.equal(ours[key], theirs[key]) for key in theirs), "the batch was not parted"
    for key in theirs:
        assert torch.allclose(ours[key], theirs[key], rtol=0, atol=2e-4), key


def test_a_batch_that_cannot_be_parted(make_stage, make_engine):
    with pytest.raises(InputError, match="batch: wanted a multiple of 3"):
        run(make_stage("weak"), make_engine(accumulate=3))
    engine = make_engine(accumulate=3)
    with pytest.raises(InputError, match=r"multiples of 3 \(1 ranks x accumulate 3\): quality.batch is 8"):
        engine.check_batches({"quality.batch": 8, "weak.batch": 6}, 20)


@pytest.mark.parametrize("name", NAMES)
def test_parts_hold_the_samples_of_the_whole(name, make_stage):
    stage = make_stage(name)
    for step in (0, 1, 7):
        whole = stage.draw(step, Part())
        parts = [stage.draw(step, Part(k, 4)) for k in range(4)]
        for key, value in whole.items():
            joined = torch.cat([part[key] for part in parts]) if value.ndim else parts[0][key]
            assert torch.equal(joined, value), key


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 5, 5)])
@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d])
def test_dropout_of_a_part_is_that_of_the_whole(shape, kind):
    if kind is nn.Dropout2d and len(shape) == 2:
        pytest.skip("channels of images")
    x, position = torch.randn(shape), [Part()]
    module = PartDropout(kind(0.3), position).train()
    parts = []
    for k in range(4):
        position[0] = Part(k, 4)
        torch.manual_seed(3)
        parts.append(module(x[Part(k, 4).of(8)]))
    torch.manual_seed(3)
    assert torch.equal(torch.cat(parts), kind(0.3).train()(x))
    assert torch.equal(module.eval()(x), x)


def test_autocast_and_unscaled_clipping(make_stage, make_engine):
    """bf16 on the CPU, as on a GPU but slowly: the loss sees bfloat16 logits, weights and gradients stay float32."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    stage, engine = make_stage("quality", clip=1e-3), make_engine()
    AcceleratorState._reset_state()
    engine.accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    seen = []
    stage.model.head[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].dtype))
    engine.prepare(stage)
    before = weights(stage)
    engine._gradients(stage, stage.draw(0, Part()))
    values = engine.accelerator.clip_grad_norm_(stage.clip_groups()[0], stage.clip)
    assert seen == [torch.bfloat16]
    gradients = torch.cat([p.grad.flatten() for p in stage.model.parameters()])
    assert gradients.dtype == torch.float32
    assert values > 1e-3
    assert gradients.norm() == pytest.approx(1e-3, rel=1e-3)
    engine.take_step(1)
    assert any(not torch.equal(value, before[key]) for key, value in weights(stage).items())


@pytest.mark.parametrize("name", ["quality", "segmenter/pseudo_label"])
def test_channels_last(name, make_stage, make_engine):
    """Another order of sums in convolutions, and no more."""
    plain, last = make_stage(name), make_stage(name)
    a, b = run(plain, make_engine(), 2), run(last, make_engine(channels_last=True), 2)
    convolutions = [m.weight for m in last.model.modules() if isinstance(m, nn.Conv2d) and m.weight.shape[1] > 1]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in convolutions)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-3)


@pytest.mark.slow
def test_compiled(make_stage, make_engine, monkeypatch):
    # Dropout in compiled code draws other numbers than torch's own, unless it is told to draw those.
    monkeypatch.setattr("torch._inductor.config.fallback_random", True)
    plain, compiled = make_stage("weak"), make_stage("weak")
    a, b = run(plain, make_engine(), 2), run(compiled, make_engine(compile=True), 2)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-3)
    assert set(weights(compiled)) == set(weights(plain)), "a checkpoint's names do not depend on compilation"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "use --accumulate 4, not --gradient_accumulation_steps"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "use --compile true, not --dynamo_backend"),
    ],
)
def test_what_accelerates_launcher_would_change_is_told(name, value, told, make_engine, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"accelerate launch: {told}"):
        make_engine()


def test_what_this_machine_has_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"device: wanted cuda:1, but torch .* sees no CUDA device"):
        Engine(Config(device="cuda:1"))
    with pytest.raises(InputError, match="cuda_graphs: wanted a CUDA device, this run is on the CPU"):
        Engine(Config(cuda_graphs=True))
    assert Engine(Config(precision="bf16")).notes == ["precision: bf16 is used on GPUs only; this run is in float32"]


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_cuda_graphs_repeat_the_step(name, make_stage, stores, monkeypatch):
    for key, store in stores.items():
        monkeypatch.setitem(stores, key, store.to("cuda"))
    plain, graphed = make_stage(name), make_stage(name)
    run(plain, Engine(Config(device="cuda")), 12)
    run(graphed, Engine(Config(device="cuda", cuda_graphs=True)), 12)
    ours, theirs = weights(graphed), weights(plain)
    for key in theirs:
        assert torch.allclose(ours[key], theirs[key], rtol=1e-3, atol=1e-3), key
