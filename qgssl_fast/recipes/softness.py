"""How a recipe turns corrupted masks into probabilities."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .operations import MOST_SMOOTHING, Parameter, to_fixed

PARAMETERS = (
    Parameter("probability", 0, 1, "of the masks", 1 << 32, 1.0),
    Parameter("min_radius", 1, MOST_SMOOTHING, "px"),
    Parameter("max_radius", 1, MOST_SMOOTHING, "px"),
    Parameter("min_sharpness", 1, 64, "1", 1 << 8, 1.0),
    Parameter("max_sharpness", 1, 64, "1", 1 << 8, 1.0),
)


@dataclass(frozen=True)
class Softness:
    """A share `probability` of the masks is blurred and sharpened again, the others become 0 and 1.

    A mask is blurred by a Gaussian of a radius in px, whole and uniform in [min_radius, max_radius] (sigma = 0.3 radius
    + 0.5), then p = 1/2 + s (p - 1/2), cut to [0, 1], with the sharpness s uniform in [min_sharpness, max_sharpness].
    Of several classes the probabilities then sum to at most 1, the background's being what is left.
    """

    probability: float
    min_radius: float
    max_radius: float
    min_sharpness: float = 1.0
    max_sharpness: float = 1.0

    def faults(self) -> list[tuple[str, str]]:
        """What is wrong: (the field, text)."""
        found = []
        for parameter in PARAMETERS:
            value = getattr(self, parameter.name)
            if not parameter.low <= value <= parameter.high or (parameter.one == 1 and value != int(value)):
                whole = "a whole number " if parameter.one == 1 else ""
                bounds = f"{whole}in [{parameter.low:g}, {parameter.high:g}] {parameter.unit}"
                found.append((parameter.name, f"softness: {parameter.name} must be {bounds}, got {value}"))
        for name in ("radius", "sharpness"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low > high:
                found.append((f"min_{name}", f"softness: min_{name} {low:g} is above max_{name} {high:g}"))
        return found

    @property
    def words(self) -> tuple[int, ...]:
        """Integers in the order of the fields, as the table of a recipe holds them."""
        return tuple(to_fixed(getattr(self, field.name), p.one) for field, p in zip(fields(self), PARAMETERS))
