"""Masks and the one way to run a row that the tests of this folder share."""

import numpy as np
import pytest
import torch

import qgssl_fast as qf

RECIPE = qf.load_recipe("default")


def blob(seed, side):
    """A smooth random shape."""
    y, x = np.mgrid[:side, :side] - side / 2
    rng = np.random.default_rng(seed)
    angle, radius = np.arctan2(y, x), side * rng.uniform(0.18, 0.3)
    for k in (2, 3, 5):
        radius = radius + side * rng.uniform(0, 0.03) * np.cos(k * angle + rng.uniform(0, 6))
    return torch.from_numpy((np.hypot(x, y) < radius).astype(np.uint8))


@pytest.fixture(scope="session")
def blobs():
    """uint8 [12, 96, 96]."""
    return torch.stack([blob(seed, 96) for seed in range(12)])


@pytest.fixture(scope="session")
def disc():
    """uint8 [1, 64, 64], radius 20."""
    return torch.from_numpy((np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 20).astype(np.uint8))[None]


@pytest.fixture(scope="session")
def apply():
    """apply(name, masks, recipe): what the one row makes of masks."""
    return lambda name, masks, recipe=RECIPE: qf.corrupt(masks, recipe.only(name).without_bank()).masks
