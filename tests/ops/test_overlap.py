"""overlap and dice: every kernel of this machine against the reference, and the rule for empty masks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qgssl_fast import backend
from qgssl_fast.errors import InputError
from qgssl_fast.kernels.reference.overlap import overlap as reference
from qgssl_fast.ops.overlap import dice, overlap

NAMES = ["reference"] + (["native"] if backend.refusal("native", torch.device("cpu")) is None else [])


def test_reference_counts():
    a = torch.tensor([[[0, 1, 2], [2, 2, 0]]], dtype=torch.uint8)
    b = torch.tensor([[[0, 1, 1], [2, 0, 2]]], dtype=torch.uint8)
    assert reference(a, b, 4).tolist() == [[[1, 1, 2], [1, 3, 2], [0, 0, 0]]]
    assert reference(a, b).tolist() == [[[3, 4, 4]]]


@pytest.mark.parametrize("name", NAMES)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 130)),
    classes=st.sampled_from([2, 3, 5, 65, 256]),
    seed=st.integers(0, 2**32),
)
def test_backends_agree(name, shape, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randint(0, classes, shape, dtype=torch.uint8, generator=generator) for _ in range(2))
    assert torch.equal(overlap(a, b, classes, backend=name), reference(a, b, classes))


@pytest.mark.parametrize("width", [1, 63, 64, 65, 200])
def test_every_instruction_set(isa, width):
    a, b = (torch.randint(0, 3, (2, 9, width), dtype=torch.uint8) for _ in range(2))
    assert torch.equal(overlap(a, b, backend="native"), reference(a, b))
    assert torch.equal(overlap(a, b, 3, backend="native"), reference(a, b, 3))


@pytest.mark.parametrize("name", NAMES)
def test_strides_bools_volumes_and_no_batch(name):
    a, b = (torch.rand(2, 6, 40, 50) < 0.5 for _ in range(2))
    want = reference(a[:, ::2, :, 1::3].contiguous(), b[:, ::2, :, 1::3].contiguous())
    assert torch.equal(overlap(a[:, ::2, :, 1::3], b[:, ::2, :, 1::3], backend=name), want)
    assert overlap(a[:0], b[:0], 4, backend=name).shape == (0, 3, 3)
    assert torch.equal(overlap(a, b.to(torch.uint8) * 255, backend=name), reference(a, b))


def test_dice_and_empty_masks():
    empty, full = torch.zeros(1, 4, 4, dtype=torch.uint8), torch.ones(1, 4, 4, dtype=torch.uint8)
    half = full.clone()
    half[:, :2] = 0
    first = torch.cat([empty, empty, full, full, half])
    second = torch.cat([empty, full, empty, full, full])
    assert dice(first, second).tolist() == [1.0, 0.0, 0.0, 1.0, torch.tensor(16 / 24).item()]
    assert dice(first, second).dtype == torch.float32
    labels = torch.tensor([[[0, 1, 2, 2]]], dtype=torch.uint8)
    other = torch.tensor([[[0, 1, 1, 2]]], dtype=torch.uint8)
    torch.testing.assert_close(dice(labels, other, 4), torch.tensor([[2 / 3, 2 / 3, 1.0]]), rtol=0, atol=0)


def test_wrong_input_is_named():
    a = torch.zeros(2, 4, 4, dtype=torch.uint8)
    with pytest.raises(TypeError, match=r"^overlap: b must be uint8 or bool .*got torch.float32"):
        overlap(a, a.float())
    with pytest.raises(InputError, match=r"^overlap: both masks must have one shape, got \[2, 4, 4\] and \[2, 4, 3\]"):
        overlap(a, a[:, :, :3])
    with pytest.raises(InputError, match=r"^overlap: num_classes must be >= 2, got 1"):
        overlap(a, a, 1)
    with pytest.raises(InputError, match=r"^overlap: num_classes must be <= 256, got 257"):
        overlap(a, a, 257)
    with pytest.raises(InputError, match=r"^overlap: b must hold labels below num_classes = 3, got 7"):
        overlap(a, a + 7, 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_operator_is_sound(classes):
    a = torch.randint(0, classes, (2, 5, 6), dtype=torch.uint8)
    torch.library.opcheck(torch.ops.qgssl_fast.overlap.default, (a, a.flip(0), classes))


def test_compiles_whole():
    a, b = (torch.rand(3, 20, 30) < 0.5 for _ in range(2))
    compiled = torch.compile(lambda a, b: dice(a, b) * 2, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(a, b), dice(a, b) * 2)
