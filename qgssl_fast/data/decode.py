"""One image file (PNG, JPEG, TIFF, BMP) to pixels; whatever Pillow meets in a file comes back as InputError."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from qgssl_fast.errors import InputError

MAX_PIXELS = 64_000_000  # 192 MB decoded as RGB: more than any camera that fits the field, less than a zip bomb
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
ORIENTATION = 0x0112  # EXIF tag

Pixels = np.ndarray  # [H, W] or [H, W, 3], uint8 or uint16


def decode_image(path: Path) -> tuple[Pixels, tuple[str, ...]]:
    """Pixels uint8 or uint16, [H, W] where all channels agree and [H, W, 3] else, and what was changed on the way.

    Palettes become colours, alpha is dropped, a JPEG's EXIF rotation is applied (as viewers and OpenCV do). CMYK and
    YCbCr become RGB. 16-bit pixels stay 16-bit. Raises InputError: unreadable, truncated, too large, float pixels.
    """
    return _decode(path, _image_pixels)


def decode_mask(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values [H, W] as they stand in the file, uint8, uint16 or int32, and what was changed on the way.

    Booleans are 0 and 1, a palette image gives its indices, colours have to agree in all channels, alpha is dropped.
    Raises InputError as `decode_image` does, and for a coloured mask.
    """
    return _decode(path, _mask_values)


def _decode(
    path: Path, convert: Callable[[Image.Image], tuple[np.ndarray, list[str]]]
) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(f"{image.width}x{image.height} pixels are over the limit of {MAX_PIXELS:,}")
            if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
                raise InputError(f"holds {image.n_frames} pages, a 2D image has one")  # type: ignore[attr-defined]
            image.load()
            turned = image.getexif().get(ORIENTATION, 1) not in (0, 1)
            pixels, notes = convert(ImageOps.exif_transpose(image) if turned else image)
            return pixels, (*notes, *(["EXIF rotation applied"] if turned else []))
    except Image.DecompressionBombError:
        raise InputError(f"more pixels than the limit of {MAX_PIXELS:,}") from None
    except Image.UnidentifiedImageError:
        raise InputError(f"unreadable, not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image") from None
    except InputError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, EOFError ... on damaged files
        raise InputError(f"unreadable ({error or type(error).__name__})") from None


def _grey(image: Image.Image) -> np.ndarray | None:
    """The values of a mode with one integer channel, else None."""
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode == "L":
        return np.asarray(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int32)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise InputError(f"values {values.min()} to {values.max()}, wanted 0 to 65535")
        return values.astype(np.uint16)
    if image.mode == "F":
        raise InputError("float pixels, wanted 8 or 16 bit integers")
    return None


def _image_pixels(image: Image.Image) -> tuple[Pixels, list[str]]:
    grey = _grey(image)
    if grey is not None:
        return (grey * np.uint8(255) if image.mode == "1" else grey), []
    notes = ["alpha dropped"] if "A" in image.getbands() or "transparency" in image.info else []
    pixels = np.asarray(image.convert("L" if image.mode in ("LA", "La") else "RGB"))
    return (pixels[..., 0] if pixels.ndim == 3 and _channels_agree(pixels) else pixels), notes


def _mask_values(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    grey = _grey(image)
    if grey is not None:
        return grey, []
    if image.mode in ("P", "PA"):
        return np.asarray(image.getchannel("P") if image.mode == "PA" else image), ["palette indices are the values"]
    bands, values = image.getbands(), np.asarray(image)
    notes = ["alpha dropped"] if bands[-1] == "A" else []
    if notes and values[..., -1].min() != values[..., -1].max() and values[..., :-1].min() == values[..., :-1].max():
        raise InputError("the mask lies in the alpha channel alone; save it as a grey image")
    if not _channels_agree(values[..., : len(bands) - len(notes)]):
        raise InputError("a coloured mask (its channels differ); save it as a grey image with two values")
    return np.ascontiguousarray(values[..., 0]), notes


def _channels_agree(pixels: np.ndarray) -> bool:
    # A strided sample settles it for nearly every coloured photograph without reading all of it.
    for part in (pixels[::17, ::17], pixels):
        if not all(np.array_equal(part[..., 0], part[..., channel]) for channel in range(1, pixels.shape[-1])):
            return False
    return True
