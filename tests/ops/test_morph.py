"""erode, dilate, opening, closing: every kernel against the reference, and the reference against brute force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qgssl_fast import backend
from qgssl_fast.errors import InputError
from qgssl_fast.kernels.reference import morph as reference
from qgssl_fast.ops import morph

OPS = ("erode", "dilate", "opening", "closing")
SIDES = st.one_of(st.integers(1, 130), st.sampled_from([1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129]))
RADII = st.one_of(st.integers(0, 12), st.sampled_from([31, 32, 33, 63, 64, 65, 127, 128, 129, 500, 2**31 - 1]))

native = pytest.mark.skipif(
    backend.refusal("native", torch.device("cpu")) is not None, reason="the C++ module is not built"
)


@st.composite
def batches(draw) -> torch.Tensor:
    shape = (draw(st.integers(1, 3)), *draw(st.sampled_from([(), (1,), (2,), (7,)])), draw(SIDES), draw(SIDES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.0, 0.005, 0.1, 0.5, 0.9, 0.995, 1.0]))
    return (torch.rand(shape, generator=generator) < density).to(torch.uint8)


def brute_dilate(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """The definition, pixel by pixel: 1 where any pixel within reach along each axis is 1."""
    out = torch.zeros_like(mask)
    for at in mask.nonzero().tolist():
        out[tuple(slice(max(0, c - radius), c + radius + 1) for c in at)] = 1
    return out


@pytest.mark.parametrize("shape", [(9, 14), (1, 1), (5, 1), (4, 6, 7)])
@pytest.mark.parametrize("radius", [0, 1, 2, 6, 20])
def test_reference_is_the_definition(shape, radius):
    mask = (torch.rand(shape, generator=torch.Generator().manual_seed(radius)) < 0.1).to(torch.uint8)
    assert torch.equal(reference.dilate(mask[None], radius)[0], brute_dilate(mask, radius))
    assert torch.equal(reference.erode(1 - mask[None], radius)[0], 1 - brute_dilate(mask, radius))


@native
@pytest.mark.parametrize("op", OPS)
@settings(max_examples=60)
@given(masks=batches(), radius=RADII)
def test_native_is_the_reference(op, masks, radius):
    got = getattr(morph, op)(masks, radius, backend="native")
    assert torch.equal(got, getattr(reference, op)(masks, radius))


@native
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("width", [1, 63, 64, 65, 127, 224])
def test_every_instruction_set(isa, op, width):
    for seed, (shape, radius) in enumerate([((3, 40, width), 3), ((1, 7, width), 64), ((2, 5, 9, width), 2)]):
        masks = (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.9).to(torch.uint8)
        got = getattr(morph, op)(masks, radius, backend="native")
        assert torch.equal(got, getattr(reference, op)(masks, radius))


@native
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("height", "width"), [(1, 8), (9, 8), (300, 24), (50, 64), (37, 136), (224, 224), (70, 1000), (3, 2040), (2, 16392)]
)
def test_lines_of_whole_bytes(isa, op, height, width):
    """Where passes follow each other through the string of all lines."""
    masks = (torch.rand(2, height, width, generator=torch.Generator().manual_seed(width)) < 0.7).to(torch.uint8)
    masks[1, height // 3 : height // 2] = 1
    for radius in (0, 1, 2, 3, 4, 5, 7, 8, 20, 63, 64, 65, 130, 700, 3000):
        got = getattr(morph, op)(masks, radius, backend="native")
        assert torch.equal(got, getattr(reference, op)(masks, radius)), radius


@native
@pytest.mark.parametrize("op", ["erode", "dilate"])
@pytest.mark.parametrize("width", range(32, 577, 32))
def test_small_windows_on_lines_of_whole_words(isa, op, width):
    """Where passes hand chunks of 512 pixels on in registers: images that end with a chunk, within one, before the last
    pass has begun; lines that repeat soon and late; more and fewer steps along y; and what is just too far for that."""
    generator = torch.Generator().manual_seed(width)
    for height in (1, 2, 16, 33, 48, 67):
        masks = (torch.rand(2, height, width, generator=generator) < (0.9 if op == "erode" else 0.1)).to(torch.uint8)
        masks[1, :, : width // 2], masks[1, : height // 2] = 1, 1
        for radius in range(1, 9):
            got = getattr(morph, op)(masks, radius, backend="native")
            assert torch.equal(got, getattr(reference, op)(masks, radius)), (height, radius)


@native
@pytest.mark.parametrize("offset", [0, 8])
def test_past_the_caches(isa, offset):
    """A batch that no cache is likely to hold, where lines of cache are written whole, and where they cannot be."""
    masks = (torch.rand(64, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.9).to(torch.uint8)
    many = masks.repeat(1024, 1, 1)
    out = torch.empty(many.numel() + 64, dtype=torch.uint8)[offset : offset + many.numel()].view_as(many)
    morph.erode(many, 3, out=out, backend="native")
    assert torch.equal(out.view(1024, 64, 64, 64), reference.erode(masks, 3).expand(1024, -1, -1, -1))


@native
@pytest.mark.parametrize("op", OPS)
def test_empty_full_and_one_pixel(isa, op):
    one = torch.zeros(1, 65, 129, dtype=torch.uint8)
    corner, middle = one.clone(), one.clone()
    corner[0, 64, 128] = middle[0, 32, 64] = 1
    for masks in (one, one + 1, corner, middle, 1 - corner, 1 - middle):
        for radius in (0, 1, 40, 200):
            got = getattr(morph, op)(masks, radius, backend="native")
            assert torch.equal(got, getattr(reference, op)(masks, radius))


def test_what_lies_outside_is_ignored():
    full = torch.ones(1, 20, 20, dtype=torch.uint8)
    assert torch.equal(morph.erode(full, 3), full)
    assert torch.equal(morph.dilate(full * 0, 3), full * 0)


@native
def test_neither_threads_nor_the_batch_change_a_byte():
    masks = (torch.rand(37, 50, 70, generator=torch.Generator().manual_seed(0)) < 0.5).to(torch.uint8)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(morph.closing(masks, 2, backend="native"))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])
    assert torch.equal(torch.cat([morph.closing(part, 2, backend="native") for part in masks.split(5)]), results[0])
    assert torch.equal(morph.closing(masks.flip(0), 2, backend="native").flip(0), results[0])


@pytest.mark.parametrize("name", ["auto", "reference", pytest.param("native", marks=native)])
@pytest.mark.parametrize("op", OPS)
class TestInput:
    def test_any_strides(self, op, name):
        masks = (torch.rand(3, 60, 80) < 0.7).to(torch.uint8)
        want = getattr(reference, op)(masks.transpose(1, 2)[:, ::2, 1::3].contiguous(), 1)
        got = getattr(morph, op)(masks.transpose(1, 2)[:, ::2, 1::3], 1, backend=name)
        assert torch.equal(got, want)
        assert got.is_contiguous()
        expanded = masks[:1].expand(4, -1, -1)
        assert torch.equal(getattr(morph, op)(expanded, 1, backend=name)[3], getattr(reference, op)(masks[:1], 1)[0])

    def test_input_is_left_alone(self, op, name):
        masks = (torch.rand(2, 30, 30) < 0.5).to(torch.uint8)
        before = masks.clone()
        out = getattr(morph, op)(masks, 0, backend=name)
        assert out.data_ptr() != masks.data_ptr()
        assert torch.equal(masks, before)

    @pytest.mark.parametrize("shape", [(3, 20, 24), (2, 20, 23), (2, 5, 9, 16)])
    def test_out(self, op, name, shape):
        masks = (torch.rand(shape) < 0.7).to(torch.uint8)
        want = getattr(reference, op)(masks, 2)
        out = torch.full_like(masks, 7)
        assert getattr(morph, op)(masks, 2, out=out, backend=name) is out
        assert torch.equal(out, want)
        assert getattr(morph, op)(masks, 2, out=masks, backend=name) is masks
        assert torch.equal(masks, want)

    def test_outs_that_do_not_fit(self, op, name):
        masks = torch.zeros(3, 8, 8, dtype=torch.uint8)
        large = torch.zeros(6, 8, 8, dtype=torch.uint8)
        for out, error, text in (
            ([], TypeError, "out must be a Tensor"),
            (masks.bool(), TypeError, "out must be torch.uint8 like masks"),
            (large, InputError, r"out must be \[3, 8, 8\] on cpu like masks, got \[6, 8, 8\]"),
            (large[::2], InputError, "out must be contiguous"),
        ):
            with pytest.raises(error, match=f"{op}: {text}"):
                getattr(morph, op)(masks, 1, out=out, backend=name)
        with pytest.raises(InputError, match="share no memory"):
            getattr(morph, op)(large[:3], 1, out=large[1:4], backend=name)

    def test_batch_of_none(self, op, name):
        out = getattr(morph, op)(torch.empty(0, 5, 6, dtype=torch.bool), 1, backend=name)
        assert out.shape == (0, 5, 6)
        assert out.dtype == torch.bool

    def test_nonzero_is_one(self, op, name):
        masks = (torch.rand(2, 30, 30) < 0.5).to(torch.uint8)
        want = getattr(reference, op)(masks, 1)
        for value in (2, 128, 255):
            assert torch.equal(getattr(morph, op)(masks * value, 1, backend=name), want)
        as_bool = getattr(morph, op)(masks.bool(), 1, backend=name)
        assert as_bool.dtype == torch.bool
        assert torch.equal(as_bool, want.bool())


@pytest.mark.parametrize("op", OPS)
class TestErrors:
    masks = torch.ones(1, 4, 4, dtype=torch.uint8)

    @pytest.mark.parametrize(
        ("masks", "radius", "error", "text"),
        [
            (masks, -1, InputError, "radius must be >= 0, got -1"),
            (masks, 2**31, InputError, "radius must be <= 2147483647"),
            (masks, 1.0, TypeError, "radius must be an int, got float"),
            (masks, True, TypeError, "radius must be an int, got bool"),
            (masks.float(), 1, TypeError, r"masks must be uint8 or bool \(threshold it first\), got torch.float32"),
            (masks.long(), 1, TypeError, "got torch.int64"),
            ([[1]], 1, TypeError, "masks must be a Tensor, got list"),
            (masks[0], 1, InputError, r"masks must be \[B, H, W\] or \[B, D, H, W\], got \[4, 4\]"),
            (masks[:, None, None], 1, InputError, r"got \[1, 1, 1, 4, 4\]"),
            (masks[:, :0], 1, InputError, r"at least one pixel each, got \[1, 0, 4\]"),
        ],
    )
    def test_wrong_input_is_named(self, op, masks, radius, error, text):
        with pytest.raises(error, match=f"^{op}: .*{text}"):
            getattr(morph, op)(masks, radius)

    def test_backend_that_cannot_serve(self, op, fresh_backends):
        with pytest.raises(InputError, match=f"^{op}: backend 'cuda' cannot serve on cpu: serves CUDA tensors.*can: "):
            getattr(morph, op)(self.masks, 1, backend="cuda")
        with pytest.raises(InputError, match=f"^{op}: backend must be one of .*got 'fast'"):
            getattr(morph, op)(self.masks, 1, backend="fast")


@pytest.mark.parametrize("op", OPS)
def test_operator_is_sound(op):
    operator = getattr(torch.ops.qgssl_fast, op).default
    for masks in (torch.ones(2, 5, 6, dtype=torch.uint8), torch.ones(1, 3, 4, 5, dtype=torch.bool)):
        torch.library.opcheck(operator, (masks, 1))


def test_compiles_whole():
    def program(masks):
        return morph.dilate(morph.erode(masks, 1), 2) & 1

    masks = (torch.rand(2, 20, 30) < 0.8).to(torch.uint8)
    compiled = torch.compile(program, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(masks), program(masks))


def test_opencv_agrees():
    cv2 = pytest.importorskip("cv2", reason="opencv is not installed")
    masks = (torch.rand(4, 50, 71, generator=torch.Generator().manual_seed(0)) < 0.5).to(torch.uint8)
    for radius in (1, 3):
        square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * radius + 1, 2 * radius + 1))
        for name, function in (("erode", cv2.erode), ("dilate", cv2.dilate)):
            want = torch.stack([torch.from_numpy(function(mask.numpy(), square)) for mask in masks])
            assert torch.equal(getattr(morph, name)(masks, radius), want)


def test_scipy_agrees_in_3d():
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed")
    volume = (torch.rand(1, 9, 20, 33, generator=torch.Generator().manual_seed(0)) < 0.9).to(torch.uint8)
    want = ndimage.binary_erosion(volume[0].numpy(), structure=[[[1] * 3] * 3] * 3, border_value=1)
    assert torch.equal(morph.erode(volume, 1)[0], torch.from_numpy(want).to(torch.uint8))
