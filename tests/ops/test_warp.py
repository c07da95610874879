import math

import numpy as np
import pytest
import torch

import qgssl_fast as qf

DISC = torch.from_numpy((np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 8).astype(np.uint8))[None]
EYE = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
NOISE = (torch.rand(5, 33, 47, generator=torch.Generator().manual_seed(0)) < 0.5).to(torch.uint8)


def turn(degrees, centre=31.5):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[[c, -s, centre - c * centre + s * centre], [s, c, centre - s * centre - c * centre]]])


@pytest.mark.parametrize("truncate", [False, True])
def test_identity_and_whole_shifts(truncate):
    eye = EYE.expand(5, 2, 3)
    assert torch.equal(qf.affine(NOISE, eye, truncate=truncate), NOISE)
    moved = eye.clone()
    moved[:, 0, 2], moved[:, 1, 2] = 3, -2  # the source lies 3 to the right, 2 above
    expected = torch.zeros_like(NOISE)
    expected[:, 2:, :-3] = NOISE[:, :-2, 3:]
    assert torch.equal(qf.affine(NOISE, moved, truncate=truncate), expected)


def test_a_quarter_turn_is_exact():
    out = qf.affine(NOISE[:, :, :33].contiguous(), turn(90, 16).expand(5, 2, 3))
    assert torch.equal(out, torch.rot90(NOISE[:, :, :33], -1, (1, 2))) or torch.equal(
        out, torch.rot90(NOISE[:, :, :33], 1, (1, 2))
    )


def test_truncating_erodes_what_nearest_keeps():
    area = float(DISC.sum())
    assert float(qf.affine(DISC, turn(20)).sum()) / area == pytest.approx(1, abs=0.03)
    assert float(qf.affine(DISC, turn(20), truncate=True).sum()) / area == pytest.approx(0.84, abs=0.04)


def test_nearest_agrees_with_a_float_lookup():
    rng = np.random.default_rng(0)
    for mask in NOISE[:, :, :33]:
        matrix = np.concatenate([np.eye(2) + rng.normal(0, 0.3, (2, 2)), rng.normal(0, 5, (2, 1))], axis=1)
        out = qf.affine(mask[None], torch.from_numpy(matrix)[None])[0].numpy()
        y, x = np.mgrid[:33, :33]
        sx, sy = (np.tensordot(row, np.stack([x, y, np.ones_like(x)]), 1) for row in matrix)
        ix, iy = np.floor(sx + 0.5).astype(int), np.floor(sy + 0.5).astype(int)
        inside = (ix >= 0) & (ix < 33) & (iy >= 0) & (iy < 33)
        expected = np.where(inside, mask.numpy()[np.clip(iy, 0, 32), np.clip(ix, 0, 32)], 0)
        # Q16.16 may decide otherwise within 1/1000 px of a boundary between pixels.
        clear = np.minimum(abs(sx + 0.5 - np.round(sx + 0.5)), abs(sy + 0.5 - np.round(sy + 0.5))) > 1e-3
        assert np.array_equal(out[clear], expected[clear])
        assert clear.mean() > 0.98


def test_integer_matrices_are_q16():
    assert torch.equal(qf.affine(NOISE[:1], (turn(30) * 65536).round().to(torch.int32)), qf.affine(NOISE[:1], turn(30)))


def test_elastic():
    out = qf.elastic(NOISE, 3.4, 5, seed=1)
    assert not torch.equal(out, NOISE)
    assert torch.equal(qf.elastic(NOISE, 0.0, 5.0, seed=1), NOISE)
    ids = torch.tensor([4, 2, 0])
    assert torch.equal(qf.elastic(NOISE[ids], 3.4, 5, seed=1, sample_ids=ids), out[ids])
    assert torch.equal(qf.elastic(torch.ones_like(NOISE), 9.0, 2.0), torch.ones_like(NOISE))
    assert qf.elastic(NOISE, 3.4, 5, seed=2**64 - 1).shape == NOISE.shape


def test_elastic_is_the_row():
    recipe = qf.load_recipe("default")
    params = recipe.row("elastic_heavy").params
    row = qf.corrupt(NOISE, recipe.only("elastic_heavy").without_bank(), seed=7).masks
    assert torch.equal(qf.elastic(NOISE, params["amplitude"], params["smoothness"], seed=7), row)


def test_registered_with_torch():
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    matrices = (turn(10) * 65536).to(torch.int32)
    torch.library.opcheck(torch.ops.qgssl_fast.affine.default, (DISC, matrices, False), test_utils=checks)
    torch.library.opcheck(
        torch.ops.qgssl_fast.elastic.default,
        (DISC, 65536, 5 << 16, 1, torch.arange(1), [4096, 4096]),
        test_utils=checks,
    )


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: qf.affine(NOISE.float(), EYE), TypeError, "affine: masks must be uint8 or bool"),
        (lambda: qf.affine(NOISE, EYE), qf.InputError, r"affine: matrices must be \[5, 2, 3\], got \[1, 2, 3\]"),
        (lambda: qf.affine(DISC, EYE.long()), TypeError, "affine: matrices must be int32"),
        (lambda: qf.affine(DISC, EYE * math.nan), qf.InputError, "affine: matrices must be finite"),
        (lambda: qf.affine(DISC[None], EYE), qf.InputError, r"affine: matrices must be \[1, 3, 4\], got \[1, 2, 3\]"),
        (lambda: qf.elastic(DISC, 1, 5, spacing=(1, 1, 1)), qf.InputError, "elastic: spacing is for volumes"),
        (lambda: qf.elastic(DISC, -1, 5), qf.InputError, r"elastic: amplitude_px must be in \[0, 64\] px, got -1"),
        (lambda: qf.elastic(DISC, 1, math.nan), qf.InputError, "elastic: smoothness_px must be in"),
        (lambda: qf.elastic(DISC, "1", 5), TypeError, "elastic: amplitude_px must be a number"),
        (lambda: qf.elastic(DISC, 1, 5, backend="triton"), qf.InputError, "elastic: backend 'triton' cannot serve"),
    ],
)
def test_faults(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
