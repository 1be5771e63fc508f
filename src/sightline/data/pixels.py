"""Images as bytes in the size that a model reads: opened from files, made upright, cut and scaled."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import ArrayLike

from sightline.errors import DataError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # those of the suffixes; others may start other programs
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
Fit = Literal["crop", "squash"]


def open_image(path: str | Path | BinaryIO, most_pixels: int | None = None) -> np.ndarray:
    """An image file, or an open one, as (Y, X, 3) bytes: upright as its camera was held, on white where transparent.

    Of 16 bits a pixel the upper 8 are kept. Raises DataError where it is missing, none, too large, or of 32 bits.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            if most_pixels is not None and image.width * image.height > most_pixels:
                raise DataError(f"{path}: more than {most_pixels:,} pixels")
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format == "PNG"):
                upright = Image.fromarray((np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8))
            elif upright.mode in ("I", "F"):
                raise DataError(f"{path}: pixels of 32 bits; save it with 8 or 16")
            if upright.has_transparency_data:
                seen = upright.convert("RGBA")
                upright = Image.new("RGBA", seen.size, "white")
                upright.alpha_composite(seen)
            return np.asarray(upright.convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from None


def fitted(image: ArrayLike, size: int, channels: int, fit: Fit = "crop") -> np.ndarray:
    """An image (Y, X) or (Y, X, C) in bytes as (size, size, channels): grey or in colours, scaled.

    Args:
        image: C is 1, 3, 4 (of which the last, transparency, is left out) or `channels`.
        fit: of an image that is not square, "crop" takes the middle, "squash" all of it.

    Raises DataError for another array.
    """
    array = np.asarray(image)
    if array.ndim not in (2, 3) or array.dtype != np.uint8 or not array.size:
        raise DataError(f"an image is (Y, X) or (Y, X, C) bytes of 0 to 255, not {array.shape} of {array.dtype}")
    array = array[:, :, None] if array.ndim == 2 else array
    if array.shape[2] == 4 != channels:
        array = array[:, :, :3]
    if array.shape[2] != channels and (array.shape[2] not in (1, 3) or channels not in (1, 3)):
        raise DataError(f"an image of {array.shape[2]} channels cannot become one of {channels}; (Y, X, C) is read")
    if array.shape == (size, size, channels):
        return array
    from PIL import Image

    if array.shape[2] == 3 != channels:
        array = np.asarray(Image.fromarray(array).convert("L"))[:, :, None]
    height, width, _ = array.shape
    if array.shape[:2] != (size, size):
        side = min(height, width)
        # cut before it is scaled: a long strip would become very long
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side) if fit == "crop" else None
        planes = (Image.fromarray(plane) for plane in np.moveaxis(array, 2, 0))
        scaled = [plane.resize((size, size), Image.Resampling.BILINEAR, box) for plane in planes]
        array = np.stack([np.asarray(plane) for plane in scaled], 2)
    return np.repeat(array, channels, 2) if array.shape[2] != channels else array
