"""What each row that changes edges, moves pixels or cuts discs means, on masks where the answer is known."""

import numpy as np
import pytest
import torch

import qgssl_fast as qf
from qgssl_fast.kernels.reference import spots, warp

RECIPE = qf.load_recipe("default")


def sizes(masks):
    return masks.flatten(1).sum(1).float()


@pytest.mark.parametrize("radius", [5, 7, 9])
@pytest.mark.parametrize("op", ["erode", "dilate"])
def test_morph_rows_are_the_public_operations(op, radius, apply, blobs):
    name = {"erode": "erosion", "dilate": "dilation"}[op]
    assert torch.equal(apply(f"{name}_{radius}", blobs), getattr(qf, op)(blobs, radius // 2))


def test_opening_and_closing(apply, blobs):
    assert torch.equal(apply("opening_5", blobs), qf.opening(blobs, 2))
    assert torch.equal(apply("closing_5", blobs), qf.closing(blobs, 2))


@pytest.mark.parametrize(("name", "radius"), [("jagged_3", 1), ("jagged_5", 2)])
def test_jagged_changes_half_of_the_band_and_nothing_else(name, radius, apply, blobs):
    out = apply(name, blobs)
    band = (qf.dilate(blobs, radius) - qf.erode(blobs, radius)).bool()
    assert torch.equal(out[~band], blobs[~band])
    assert out[band].float().mean() == pytest.approx(0.5, abs=0.04)


def test_smooth_is_opencvs_blur(apply, blobs):
    cv2 = pytest.importorskip("cv2")
    for name, side in (("smooth_11", 11), ("smooth_15", 15)):
        found = apply(name, blobs).numpy()
        for mask, out in zip(blobs.numpy(), found):
            blurred = cv2.GaussianBlur(mask.astype(np.float64), (side, side), 0) > 0.5
            assert (blurred != out).mean() < 0.0005


def test_smooth_takes_off_a_spike(apply):
    mask = torch.zeros(1, 40, 40, dtype=torch.uint8)
    mask[0, 10:30, 10:30] = 1
    spiked = mask.clone()
    spiked[0, 20, 30:] = 1
    assert torch.equal(apply("smooth_11", spiked)[0, 20, 32:], torch.zeros(8, dtype=torch.uint8))


@pytest.mark.parametrize("name", ["shift_small", "shift_very_large"])
def test_shift_moves_by_whole_pixels_within_reach(name, apply):
    point = torch.zeros(200, 65, 65, dtype=torch.uint8)
    point[:, 32, 32] = 1
    out = apply(name, point)
    reach = int(RECIPE.row(name).params["reach"] * 65)
    moved = out.nonzero()[:, 1:] - 32
    assert len(moved) == 200
    assert reach - 1 <= int(moved.abs().max()) <= reach


def test_cos_and_sin_need_no_libm():
    degrees = np.arange(-400 * 65536, 400 * 65536, 9973)
    cosine, sine = warp.cos_sin(degrees)
    exact = np.deg2rad(degrees / 65536)
    assert np.abs(cosine - 65536 * np.cos(exact)).max() < 1
    assert np.abs(sine - 65536 * np.sin(exact)).max() < 1


def test_rotation_keeps_the_area_when_rounding_and_erodes_when_truncating(apply, blobs):
    for name in ("rotate_small", "rotate_large"):
        nearest = sizes(apply(name, blobs)) / sizes(blobs)
        assert (nearest - 1).abs().max() < 0.02
        truncated = sizes(apply(name, blobs, RECIPE.replace(rounding="truncate"))) / sizes(blobs)
        assert truncated.max() < 0.99
        assert truncated.min() > 0.8


@pytest.mark.parametrize(("name", "low", "high"), [("scale_down", 0.75, 0.9), ("scale_up", 1.1, 1.25)])
def test_scale_multiplies_the_area_about_the_centroid(name, low, high, apply, blobs):
    out = apply(name, blobs)
    ratio = (sizes(out) / sizes(blobs)).sqrt()
    assert low - 0.02 < ratio.min() < ratio.max() < high + 0.02
    before, after = (np.array(warp.centroid(m.numpy())) / 65536 for m in (blobs, out))
    assert np.abs(before - after).max() < 0.5


def test_scaled_up_beyond_the_image_is_cut(apply):
    full = torch.ones(3, 20, 31, dtype=torch.uint8)
    assert apply("scale_very_large", full).all()


@pytest.mark.parametrize("name", ["grid_light", "grid_very_heavy"])
def test_grid_keeps_order_and_ends(name, apply):
    columns = torch.zeros(8, 50, 50, dtype=torch.uint8)
    columns[:, :, :25] = 1
    out = apply(name, columns)
    assert out[:, :, 0].all()
    assert not out[:, :, -1].any()
    assert (out.int().diff(dim=2) <= 0).all()
    assert (out == out[:, :1]).all()


def test_elastic_moves_as_far_as_it_says():
    ramp_side, amplitude, smoothness = 512, 3.4, 5.0
    # Vertical stripes tell nothing about distances; the field itself does.
    draw = warp.Draw(0, np.arange(4), 0)
    seen = {}

    def record(masks, x, y, width):
        seen["x"] = x - np.arange(width)
        return masks

    original, warp._take = warp._take, record
    try:
        params = np.array([round(amplitude * 65536), round(smoothness * 65536)])
        warp.elastic(np.zeros((4, ramp_side, ramp_side), np.uint8), params, draw)
    finally:
        warp._take = original
    inner = seen["x"][:, 40:-40, 40:-40].astype(float)
    assert inner.std() == pytest.approx(amplitude, rel=0.05)
    shifted = (inner[:, :, :-10] * inner[:, :, 10:]).mean() / inner.var()
    assert shifted == pytest.approx(np.exp(-(10**2) / (4 * smoothness**2)), abs=0.06)
    spacing = round(3**0.5 * smoothness)
    assert np.abs(inner).max() <= 510 * warp.elastic_gain(round(amplitude * 65536), spacing) / 65536 + 1


def test_spline_weights_sum_to_one():
    for spacing in range(1, 112):
        weights = warp.spline_weights(spacing)
        assert (weights.sum(axis=0) == 256).all()
        assert (weights >= 0).all()


def test_holes_and_islands_are_discs(apply):
    ones, zeros = torch.ones(6, 61, 61, dtype=torch.uint8), torch.zeros(6, 61, 61, dtype=torch.uint8)
    holes, islands = apply("holes_small", ones), apply("islands_small", zeros)
    assert torch.equal(holes, 1 - islands)  # the same words, the same discs
    assert (sizes(islands) >= 28 / 4).all()  # radius 3, in a corner
    assert (sizes(islands) <= 2 * 201).all()  # two of radius 8
    assert torch.equal(apply("holes_small", zeros), zeros)
    assert torch.equal(apply("islands_small", ones), ones)


def test_a_hole_is_the_disc_of_its_radius():
    draw = spots.Draw(0, np.arange(30), 0)
    ones = np.ones((30, 61, 61), np.uint8)
    y, x = np.mgrid[:61, :61]
    for radius in (0, 1, 5, 12):
        for hole in 1 - spots.holes(ones, np.array([1, radius, radius]), draw):
            discs = [(y - cy) ** 2 + (x - cx) ** 2 <= radius**2 for cy, cx in np.argwhere(hole)]
            assert any(np.array_equal(disc, hole) for disc in discs)


def test_holes_are_centred_on_the_mask_and_islands_beside_it(apply, blobs):
    assert (apply("holes_large", blobs) <= blobs).all()
    assert (apply("islands_small", blobs) >= blobs).all()
    assert (sizes(apply("holes_large", blobs)) < sizes(blobs)).all()
    assert (sizes(apply("islands_small", blobs)) > sizes(blobs)).all()


def test_rect_dropout_cuts_one_box(apply):
    out = apply("rect_dropout", torch.ones(50, 80, 60, dtype=torch.uint8))
    for hole in 1 - out:
        y, x = hole.nonzero(as_tuple=True)
        height, width = int(y.max() - y.min()) + 1, int(x.max() - x.min()) + 1
        assert len(y) == height * width
        assert 8 <= height <= 24
        assert 6 <= width <= 18


def test_fills(apply, blobs):
    assert torch.equal(apply("invert", blobs), 1 - blobs)
    assert not apply("empty", blobs).any()
    assert apply("full", blobs).all()
    assert apply("random_50", blobs).float().mean() == pytest.approx(0.5, abs=0.01)
