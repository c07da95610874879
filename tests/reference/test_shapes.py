"""What each row about components and shapes means, on masks where the answer is known."""

import itertools

import numpy as np
import pytest
import torch

import qgssl_fast as qf
from qgssl_fast.kernels.reference import contour, parts

SIDE = 96


def sizes(masks):
    return masks.flatten(1).sum(1).float()


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


def test_largest_only_keeps_the_first_of_the_largest(apply):
    mask = torch.zeros(1, 12, 12, dtype=torch.uint8)
    mask[0, 0, 0] = mask[0, 9, 2:5] = mask[0, 6:9, 8] = 1
    assert apply("largest_only", mask).nonzero()[:, 1:].tolist() == [[6, 8], [7, 8], [8, 8]]


def test_drop_component_drops_one_of_several(apply, disc):
    mask = torch.zeros(200, 12, 12, dtype=torch.uint8)
    mask[:, 0, 0] = mask[:, 5, 5] = mask[:, 9, 2] = 1
    out = apply("drop_component", mask)
    assert (sizes(out) == 2).all()
    gone = [(200 - int(out[:, y, x].sum())) / 200 for y, x in ((0, 0), (5, 5), (9, 2))]
    assert min(gone) > 0.22
    assert torch.equal(apply("drop_component", disc), disc)


def test_convex_hull_is_the_hull_with_its_outline_rounded_to_pixels(apply, blobs):
    y, x = np.mgrid[:SIDE, :SIDE]
    for mask, out in zip(blobs.numpy(), apply("convex_hull", blobs).numpy()):
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


def test_hull_of_a_line_and_a_point(apply):
    mask = torch.zeros(2, 9, 9, dtype=torch.uint8)
    mask[0, 1, 1] = mask[0, 7, 7] = mask[1, 4, 4] = 1
    out = apply("convex_hull", mask)
    assert torch.equal(out[0], torch.eye(9, dtype=torch.uint8) * out[0])
    assert sizes(out).tolist() == [7, 1]


def test_bounding_box(apply, blobs):
    out = apply("bounding_box", blobs)
    for mask, box in zip(blobs, out):
        y, x = mask.nonzero(as_tuple=True)
        expected = torch.zeros_like(mask)
        expected[y.min() : y.max() + 1, x.min() : x.max() + 1] = 1
        assert torch.equal(box, expected)


@pytest.mark.parametrize("vertices", [3, 5, 8])
def test_polygon_has_few_corners(vertices, apply, blobs):
    outlines = [contour.simplify(contour.trace(mask), vertices) for mask in blobs.numpy()]
    assert all(2 <= len(corners) <= vertices + 3 for corners in outlines)
    assert sum(len(corners) == vertices for corners in outlines) >= len(outlines) // 2
    dice = qf.dice(apply(f"polygon_{vertices}", blobs), blobs)
    assert dice.min() > {3: 0.5, 5: 0.75, 8: 0.85}[vertices]


def test_a_square_is_its_own_polygon(apply):
    mask = torch.zeros(1, 30, 30, dtype=torch.uint8)
    mask[0, 5:20, 8:25] = 1
    assert torch.equal(apply("polygon_8", mask), mask)
    assert torch.equal(apply("convex_hull", mask), mask)


def test_trace_is_opencvs_outline(blobs):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    noisy = [parts.largest_only((rng.random((1, 20, 20)) < p).astype(np.uint8), None, None)[0] for p in (0.3, 0.5, 0.8)]
    for mask in (*blobs.numpy(), *noisy):
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        corners = max(found, key=len).reshape(-1, 2).tolist()
        assert sorted(map(tuple, corners)) == sorted(map(tuple, contour.trace(mask).tolist()))


def test_ellipse_of_an_ellipse_is_itself(apply, blobs):
    y, x = np.mgrid[:SIDE, :SIDE] - 45
    mask = ((x + y) ** 2 / 2 / 35**2 + (x - y) ** 2 / 2 / 18**2 <= 1).astype(np.uint8)
    mask = torch.from_numpy(mask)[None]
    assert qf.dice(apply("ellipse", mask), mask) > 0.985
    assert qf.dice(apply("ellipse", blobs), blobs).min() > 0.9


def test_ellipse_of_what_has_none_is_the_mask(apply):
    line = torch.zeros(1, 20, 20, dtype=torch.uint8)
    line[0, 10, 3:15] = 1
    assert torch.equal(apply("ellipse", line), line)


def test_blobs_keep_the_area(apply, blobs, disc):
    for name in ("gaussian_blob", "circular_blob"):
        ratio = sizes(apply(name, blobs)) / sizes(blobs)
        assert (ratio - 1).abs().max() < 0.01, name
    assert (sizes(apply("gaussian_blob_large", blobs)) / sizes(blobs) - 1.44).abs().max() < 0.02
    assert qf.dice(apply("circular_blob", disc), disc) > 0.98


def test_gaussian_blob_has_the_masks_proportions(apply):
    y, x = np.mgrid[:SIDE, :SIDE] - 48
    mask = torch.from_numpy((x**2 / 40**2 + y**2 / 10**2 <= 1).astype(np.uint8))[None]
    assert qf.dice(apply("gaussian_blob", mask), mask) > 0.97


def test_circular_blob_is_the_disc_about_the_exact_centroid(apply, blobs):
    y, x = np.mgrid[:SIDE, :SIDE]
    for mask, out in zip(blobs.numpy(), apply("circular_blob", blobs).numpy()):
        cy, cx = np.argwhere(mask).mean(axis=0)
        distance, radius = np.hypot(y - cy, x - cx), np.sqrt(mask.sum() / np.pi)
        clear = np.abs(distance - radius) > 0.05  # the centroid is a multiple of 1/16 px
        assert np.array_equal(out[clear], (distance < radius)[clear])
