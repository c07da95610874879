"""What each row means, on masks where the answer is known."""

import itertools

import numpy as np
import pytest
import torch

import qgssl_fast as qf
from qgssl_fast.kernels.reference import contour, parts, warp

RECIPE = qf.load_recipe("default")
SIDE = 96


def blob(seed, side=SIDE):
    """A smooth random shape."""
    y, x = np.mgrid[:side, :side] - side / 2
    rng = np.random.default_rng(seed)
    angle, radius = np.arctan2(y, x), side * rng.uniform(0.18, 0.3)
    for k in (2, 3, 5):
        radius = radius + side * rng.uniform(0, 0.03) * np.cos(k * angle + rng.uniform(0, 6))
    return torch.from_numpy((np.hypot(x, y) < radius).astype(np.uint8))


BLOBS = torch.stack([blob(seed) for seed in range(12)])
DISC = torch.from_numpy((np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 20).astype(np.uint8))[None]


def apply(name, masks, recipe=RECIPE, **options):
    return qf.corrupt(masks, recipe.only(name).without_bank(), **options).masks


def sizes(masks):
    return masks.flatten(1).sum(1).float()


@pytest.mark.parametrize("radius", [5, 7, 9])
@pytest.mark.parametrize("op", ["erode", "dilate"])
def test_morph_rows_are_the_public_operations(op, radius):
    name = {"erode": "erosion", "dilate": "dilation"}[op]
    assert torch.equal(apply(f"{name}_{radius}", BLOBS), getattr(qf, op)(BLOBS, radius // 2))


def test_opening_and_closing():
    assert torch.equal(apply("opening_5", BLOBS), qf.opening(BLOBS, 2))
    assert torch.equal(apply("closing_5", BLOBS), qf.closing(BLOBS, 2))


@pytest.mark.parametrize(("name", "radius"), [("jagged_3", 1), ("jagged_5", 2)])
def test_jagged_changes_half_of_the_band_and_nothing_else(name, radius):
    out = apply(name, BLOBS)
    band = (qf.dilate(BLOBS, radius) - qf.erode(BLOBS, radius)).bool()
    assert torch.equal(out[~band], BLOBS[~band])
    assert out[band].float().mean() == pytest.approx(0.5, abs=0.04)


def test_smooth_is_opencvs_blur():
    cv2 = pytest.importorskip("cv2")
    for name, side in (("smooth_11", 11), ("smooth_15", 15)):
        found = apply(name, BLOBS).numpy()
        for mask, out in zip(BLOBS.numpy(), found):
            blurred = cv2.GaussianBlur(mask.astype(np.float64), (side, side), 0) > 0.5
            assert (blurred != out).mean() < 0.0005


def test_smooth_takes_off_a_spike():
    mask = torch.zeros(1, 40, 40, dtype=torch.uint8)
    mask[0, 10:30, 10:30] = 1
    spiked = mask.clone()
    spiked[0, 20, 30:] = 1
    assert torch.equal(apply("smooth_11", spiked)[0, 20, 32:], torch.zeros(8, dtype=torch.uint8))


@pytest.mark.parametrize("name", ["shift_small", "shift_very_large"])
def test_shift_moves_by_whole_pixels_within_reach(name):
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


def test_rotation_keeps_the_area_when_rounding_and_erodes_when_truncating():
    for name in ("rotate_small", "rotate_large"):
        nearest = sizes(apply(name, BLOBS)) / sizes(BLOBS)
        assert (nearest - 1).abs().max() < 0.02
        truncated = sizes(apply(name, BLOBS, RECIPE.replace(rounding="truncate"))) / sizes(BLOBS)
        assert truncated.max() < 0.99
        assert truncated.min() > 0.8


@pytest.mark.parametrize(("name", "low", "high"), [("scale_down", 0.75, 0.9), ("scale_up", 1.1, 1.25)])
def test_scale_multiplies_the_area_about_the_centroid(name, low, high):
    out = apply(name, BLOBS)
    ratio = (sizes(out) / sizes(BLOBS)).sqrt()
    assert low - 0.02 < ratio.min() < ratio.max() < high + 0.02
    before, after = (np.array(warp.centroid(m.numpy())) / 65536 for m in (BLOBS, out))
    assert np.abs(before - after).max() < 0.5


def test_scaled_up_beyond_the_image_is_cut():
    full = torch.ones(3, 20, 31, dtype=torch.uint8)
    assert apply("scale_very_large", full).all()


@pytest.mark.parametrize("name", ["grid_light", "grid_very_heavy"])
def test_grid_keeps_order_and_ends(name):
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


def test_holes_and_islands_are_discs():
    ones, zeros = torch.ones(6, 61, 61, dtype=torch.uint8), torch.zeros(6, 61, 61, dtype=torch.uint8)
    holes, islands = apply("holes_small", ones), apply("islands_small", zeros)
    assert torch.equal(holes, 1 - islands)  # the same words, the same discs
    assert (sizes(islands) >= 28 / 4).all()  # radius 3, in a corner
    assert (sizes(islands) <= 2 * 201).all()  # two of radius 8
    assert torch.equal(apply("holes_small", zeros), zeros)
    assert torch.equal(apply("islands_small", ones), ones)


def test_holes_are_centred_on_the_mask_and_islands_beside_it():
    assert (apply("holes_large", BLOBS) <= BLOBS).all()
    assert (apply("islands_small", BLOBS) >= BLOBS).all()
    assert (sizes(apply("holes_large", BLOBS)) < sizes(BLOBS)).all()
    assert (sizes(apply("islands_small", BLOBS)) > sizes(BLOBS)).all()


def test_rect_dropout_cuts_one_box():
    out = apply("rect_dropout", torch.ones(50, 80, 60, dtype=torch.uint8))
    for hole in 1 - out:
        y, x = hole.nonzero(as_tuple=True)
        height, width = int(y.max() - y.min()) + 1, int(x.max() - x.min()) + 1
        assert len(y) == height * width
        assert 8 <= height <= 24
        assert 6 <= width <= 18


def brute_components(mask):
    """Flood fill."""
    left, found = {tuple(p) for p in np.argwhere(mask)}, []
    for first in sorted(left):
        if first not in left:
            continue
        part, todo = [], [first]
        left.discard(first)
        while todo:
            place = todo.pop()
            part.append(place)
            for step in itertools.product((-1, 0, 1), repeat=mask.ndim):
                near = tuple(p + s for p, s in zip(place, step))
                if near in left:
                    left.discard(near)
                    todo.append(near)
        found.append(part)
    return found


@pytest.mark.parametrize("shape", [(4, 17, 23), (2, 6, 7, 8)])
@pytest.mark.parametrize("density", [0.1, 0.3, 0.5])
def test_components_are_those_of_a_flood_fill(shape, density):
    masks = (np.random.default_rng(0).random(shape) < density).astype(np.uint8)
    found = parts.components(masks)
    expected = [(i, len(part)) for i, mask in enumerate(masks) for part in brute_components(mask)]
    assert list(zip(found.mask.tolist(), found.sizes.tolist())) == expected


def test_largest_only_keeps_the_first_of_the_largest():
    mask = torch.zeros(1, 12, 12, dtype=torch.uint8)
    mask[0, 0, 0] = mask[0, 9, 2:5] = mask[0, 6:9, 8] = 1
    assert apply("largest_only", mask).nonzero()[:, 1:].tolist() == [[6, 8], [7, 8], [8, 8]]


def test_drop_component_drops_one_of_several():
    mask = torch.zeros(200, 12, 12, dtype=torch.uint8)
    mask[:, 0, 0] = mask[:, 5, 5] = mask[:, 9, 2] = 1
    out = apply("drop_component", mask)
    assert (sizes(out) == 2).all()
    gone = [(200 - int(out[:, y, x].sum())) / 200 for y, x in ((0, 0), (5, 5), (9, 2))]
    assert min(gone) > 0.22
    assert torch.equal(apply("drop_component", DISC), DISC)


def test_convex_hull_is_the_hull_with_its_outline_rounded_to_pixels():
    y, x = np.mgrid[:SIDE, :SIDE]
    for mask, out in zip(BLOBS.numpy(), apply("convex_hull", BLOBS).numpy()):
        corners = contour.hull(mask)
        edges = np.roll(corners, -1, axis=0) - corners
        turns = edges[:, 0] * np.roll(edges[:, 1], -1) - edges[:, 1] * np.roll(edges[:, 0], -1)
        assert (turns > 0).all()  # convex
        depth = np.stack([dx * (y - y0) - dy * (x - x0) for (x0, y0), (dx, dy) in zip(corners, edges)])
        inside = (depth >= 0).all(axis=0)
        assert (inside >= mask).all()
        assert (out >= inside).all()
        half = -np.abs(edges).max(axis=1)[:, None, None]  # half a pixel along x or y
        assert ((2 * depth >= half).all(axis=0) >= out).all()


def test_hull_of_a_line_and_a_point():
    mask = torch.zeros(2, 9, 9, dtype=torch.uint8)
    mask[0, 1, 1] = mask[0, 7, 7] = mask[1, 4, 4] = 1
    out = apply("convex_hull", mask)
    assert torch.equal(out[0], torch.eye(9, dtype=torch.uint8) * out[0])
    assert sizes(out).tolist() == [7, 1]


def test_bounding_box():
    out = apply("bounding_box", BLOBS)
    for mask, box in zip(BLOBS, out):
        y, x = mask.nonzero(as_tuple=True)
        expected = torch.zeros_like(mask)
        expected[y.min() : y.max() + 1, x.min() : x.max() + 1] = 1
        assert torch.equal(box, expected)


@pytest.mark.parametrize("vertices", [3, 5, 8])
def test_polygon_has_few_corners(vertices):
    outlines = [contour.simplify(contour.trace(mask), vertices) for mask in BLOBS.numpy()]
    assert all(2 <= len(corners) <= vertices + 3 for corners in outlines)
    assert sum(len(corners) == vertices for corners in outlines) >= len(outlines) // 2
    dice = qf.dice(apply(f"polygon_{vertices}", BLOBS), BLOBS)
    assert dice.min() > {3: 0.5, 5: 0.75, 8: 0.85}[vertices]


def test_a_square_is_its_own_polygon():
    mask = torch.zeros(1, 30, 30, dtype=torch.uint8)
    mask[0, 5:20, 8:25] = 1
    assert torch.equal(apply("polygon_8", mask), mask)
    assert torch.equal(apply("convex_hull", mask), mask)


def test_trace_is_opencvs_outline():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    noisy = [parts.largest_only((rng.random((1, 20, 20)) < p).astype(np.uint8), None, None)[0] for p in (0.3, 0.5, 0.8)]
    for mask in (*BLOBS.numpy(), *noisy):
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        corners = max(found, key=len).reshape(-1, 2).tolist()
        assert sorted(map(tuple, corners)) == sorted(map(tuple, contour.trace(mask).tolist()))


def test_ellipse_of_an_ellipse_is_itself():
    y, x = np.mgrid[:SIDE, :SIDE] - 45
    mask = ((x + y) ** 2 / 2 / 35**2 + (x - y) ** 2 / 2 / 18**2 <= 1).astype(np.uint8)
    mask = torch.from_numpy(mask)[None]
    assert qf.dice(apply("ellipse", mask), mask) > 0.985
    assert qf.dice(apply("ellipse", BLOBS), BLOBS).min() > 0.9


def test_ellipse_of_what_has_none_is_the_mask():
    line = torch.zeros(1, 20, 20, dtype=torch.uint8)
    line[0, 10, 3:15] = 1
    assert torch.equal(apply("ellipse", line), line)


def test_blobs_keep_the_area():
    for name in ("gaussian_blob", "circular_blob"):
        ratio = sizes(apply(name, BLOBS)) / sizes(BLOBS)
        assert (ratio - 1).abs().max() < 0.01, name
    assert (sizes(apply("gaussian_blob_large", BLOBS)) / sizes(BLOBS) - 1.44).abs().max() < 0.02
    assert qf.dice(apply("circular_blob", DISC), DISC) > 0.98


def test_gaussian_blob_has_the_masks_proportions():
    y, x = np.mgrid[:SIDE, :SIDE] - 48
    mask = torch.from_numpy((x**2 / 40**2 + y**2 / 10**2 <= 1).astype(np.uint8))[None]
    assert qf.dice(apply("gaussian_blob", mask), mask) > 0.97


def test_fills():
    assert torch.equal(apply("invert", BLOBS), 1 - BLOBS)
    assert not apply("empty", BLOBS).any()
    assert apply("full", BLOBS).all()
    assert apply("random_50", BLOBS).float().mean() == pytest.approx(0.5, abs=0.01)
