"""The operations that a recipe row can name, their parameters, and how those become int32 words."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache

ONE = 1 << 16  # Q16.16
SPACING_ONE = 1 << 12  # of a voxel's sides along z and y over that along x
ROUNDINGS = ("nearest", "truncate")
MOST_SMOOTHING = 31  # px
LONGEST_SIDE = 4096  # px; Q16.16 coordinates and the sums of squares stay in range up to here


def to_fixed(value: float, one: int = ONE) -> int:
    """The nearest multiple of 1 / `one` of the decimal number that was written, as an integer."""
    return int((Decimal(str(value)) * one).to_integral_value(ROUND_HALF_EVEN))


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation: unit is what the file gives, `one` what the table's integer counts (1 = whole)."""

    name: str
    low: float
    high: float
    unit: str
    one: int = 1
    default: float | None = None


@dataclass(frozen=True)
class Operation:
    """A family's function: `bank` ones need a MaskBank; `labels` ones label maps."""

    name: str
    code: int
    family: str
    parameters: tuple[Parameter, ...] = ()
    bank: bool = False
    rounding: bool = False
    labels: bool = False


def _radius(high: int = LONGEST_SIDE) -> Parameter:
    return Parameter("radius", 0, high, "px")


_PROBABILITY = Parameter("probability", 0, 1, "1", 1 << 15, 0.5)
_DISCS = (
    Parameter("count", 1, 64, "discs"),
    Parameter("min_radius", 0, LONGEST_SIDE, "px"),
    Parameter("max_radius", 0, LONGEST_SIDE, "px"),
)

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("erode", 0, "morph", (_radius(),)),
        Operation("dilate", 1, "morph", (_radius(),)),
        Operation("opening", 2, "morph", (_radius(),)),
        Operation("closing", 3, "morph", (_radius(),)),
        Operation("jagged", 8, "edge", (_radius(), _PROBABILITY)),
        Operation("smooth", 9, "edge", (Parameter("radius", 1, MOST_SMOOTHING, "px"),)),
        Operation("shift", 16, "warp", (Parameter("reach", 0, 1, "of the side", ONE),)),
        Operation(
            "affine",
            17,
            "warp",
            (
                Parameter("min_scale", 0.125, 8, "1", ONE, 1.0),
                Parameter("max_scale", 0.125, 8, "1", ONE, 1.0),
                Parameter("degrees", 0, 180, "degrees", ONE, 0.0),
                Parameter("reach", 0, 1, "of the side", ONE, 0.0),
                Parameter("image_centre", 0, 1, "0 = the mask's centroid", 1, 0),
            ),
            rounding=True,
        ),
        Operation(
            "grid",
            18,
            "warp",
            (Parameter("cells", 1, 64, "an axis"), Parameter("stretch", 0, 1, "1", ONE)),
        ),
        Operation(
            "elastic",
            19,
            "warp",
            (Parameter("amplitude", 0, 64, "px, standard deviation", ONE), Parameter("smoothness", 0.5, 64, "px", ONE)),
        ),
        Operation("holes", 24, "spots", _DISCS),
        Operation("islands", 25, "spots", _DISCS),
        Operation("holes_and_islands", 26, "spots", _DISCS),
        Operation(
            "rect_dropout",
            27,
            "spots",
            (Parameter("min_side", 0, 1, "of the side", ONE), Parameter("max_side", 0, 1, "of the side", ONE)),
        ),
        Operation("ellipse", 32, "shape"),
        Operation("polygon", 33, "shape", (Parameter("vertices", 3, 64, "vertices"),)),
        Operation("convex_hull", 34, "shape"),
        Operation("bounding_box", 35, "shape"),
        Operation("circular_blob", 36, "shape", rounding=True),
        Operation("gaussian_blob", 37, "shape", (Parameter("area", 0.0625, 16, "of the mask's", ONE, 1.0),)),
        Operation("largest_only", 40, "parts"),
        Operation("drop_component", 41, "parts"),
        Operation("invert", 48, "fill"),
        Operation("empty", 49, "fill"),
        Operation("full", 50, "fill"),
        Operation("random", 51, "fill", (_PROBABILITY,)),
        Operation("identity", 52, "fill"),
        Operation("cross_image", 56, "bank", bank=True),
        Operation("weak", 57, "bank", bank=True),
        Operation("swap_labels", 64, "labels", labels=True),
        Operation("leak", 65, "labels", (_radius(),), labels=True),
    )
}
BY_CODE = {operation.code: operation for operation in OPERATIONS.values()}


def pack(operation: Operation, values: dict[str, float], rounding: str) -> tuple[int, ...]:
    """The row's words in the table: its parameters in order, then 1 for truncating rounding where that matters."""
    words = [to_fixed(values[parameter.name], parameter.one) for parameter in operation.parameters]
    if operation.rounding:
        words.append(ROUNDINGS.index(rounding))
    return tuple(words)


@cache
def smoothing_weights(radius: int) -> tuple[int, ...]:
    """Gaussian weights at distance 0 .. radius px, 512 in the middle; sigma = 0.3 radius + 0.5, as OpenCV takes it.

    The kernel's side is 2 radius + 1. Decimal's exp is correctly rounded, so that no machine's libm matters.
    """
    twice_variance = 2 * (Decimal("0.3") * radius + Decimal("0.5")) ** 2
    weights = (512 * (Decimal(-i * i) / twice_variance).exp() for i in range(radius + 1))
    return tuple(int(weight.to_integral_value(ROUND_HALF_EVEN)) for weight in weights)
