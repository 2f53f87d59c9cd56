"""Reading and writing pictures, with Pillow (extra `pictures`). Content decides what a file is, not its suffix.

What is read is one still picture of 8 bits, without transparency: 16 bits become 8, transparent parts white, CMYK and
palettes RGB (without color profiles), and it is turned as its camera says. Its largest square in the middle is resized.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2s.durable import write_whole
from s2s.errors import InputError
from s2s.packages import load

Pixels = NDArray[np.float32]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Formats that are read; others need programs or have no pixels."""
MAX_PIXELS = 1 << 26
"""Pixels of the largest picture that is read, of 8192 a side: a file of kilobytes may say that it holds gigabytes."""

_EXTRA = "pictures"
_WIDE_GRAY = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_LONGEST = 100


def read_image(path: str | Path, size: int, channels: int) -> Pixels:
    """The pixels `(channels, size, size)` of a picture.

    Raises:
        InputError: the file is missing, no picture, too large, truncated or damaged, holds several pictures, or has
            pixels that are no numbers from 0 to 65,535; or Pillow is not installed.
    """
    modes = {1: "L", 3: "RGB"}
    fit = load("PIL.ImageOps", _EXTRA).fit
    square = fit(read_still(path).convert(modes[channels]), (size, size), load("PIL.Image", _EXTRA).Resampling.LANCZOS)
    pixels = np.asarray(square, np.float32).reshape(size, size, channels) / 127.5 - 1
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_still(path: str | Path) -> Any:
    """The whole picture of a file as an image of Pillow, in RGB or gray, of 8 bits; raises what `read_image` does."""
    path = Path(path)
    image = _opened(path)
    if (pixels := image.width * image.height) > MAX_PIXELS:
        sides = f"{image.width:,} x {image.height:,}"
        raise InputError(f"{path}: must have at most {MAX_PIXELS:,} pixels, found {sides} = {pixels:,}")
    try:
        if getattr(image, "is_animated", False):
            raise InputError(f"{path}: must hold one still picture, found {image.n_frames} (an animation or pages)")
        image.load()
        image = load("PIL.ImageOps", _EXTRA).exif_transpose(image)
        if image.mode in _WIDE_GRAY:
            return _of_16_bits(image, path)
        if image.mode == "F":
            raise InputError(f"{path}: must have whole numbers as pixels, found floating point")
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = load("PIL.Image", _EXTRA).new("RGBA", image.size, "white")
            image = load("PIL.Image", _EXTRA).alpha_composite(white, image)
        return image.convert("RGB")
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for damaged data
        reason = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        raise InputError(f"{path}: truncated or damaged: {reason}") from error


def _opened(path: Path) -> Any:
    """A picture whose header alone has been read."""
    pillow = load("PIL.Image", _EXTRA)
    warnings.filterwarnings("ignore", category=pillow.DecompressionBombWarning)  # our limit is lower, and an error
    try:
        return pillow.open(path, formats=FORMATS)
    except pillow.DecompressionBombError as error:
        raise InputError(f"{path}: must have at most {MAX_PIXELS:,} pixels, found far more") from error
    except pillow.UnidentifiedImageError as error:
        raise InputError(
            f"{path}: not a picture in a format that is read ({', '.join(FORMATS)}), or damaged"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # of damaged headers
        reason = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        raise InputError(f"{path}: truncated or damaged: {reason}") from error


def _of_16_bits(image: Any, path: Path) -> Any:
    wide = np.asarray(image, np.int64)
    if wide.min() < 0 or wide.max() > 0xFFFF:
        raise InputError(f"{path}: must have pixels from 0 to 65,535, found {wide.min()} to {wide.max()}")
    return load("PIL.Image", _EXTRA).fromarray((wide // 257).astype(np.uint8))


def png(pixels: Pixels, tags: Mapping[str, str] | None = None) -> bytes:
    """A PNG file of pixels `(C, H, W)`; what lies beyond -1 and 1 is clipped. `tags` are its texts.

    Raises:
        InputError: Pillow is not installed, or a pixel is not a finite number.
    """
    if not np.isfinite(pixels).all():
        raise InputError("the picture diverged: pixels must be finite numbers")
    bytes_ = ((np.clip(pixels, -1, 1) + 1) * 127.5).round().astype(np.uint8).transpose(1, 2, 0)
    info = load("PIL.PngImagePlugin", _EXTRA).PngInfo()
    for name, value in (tags or {}).items():
        info.add_text(name.capitalize(), value)
    file = io.BytesIO()
    gray = bytes_.shape[2] == 1
    load("PIL.Image", _EXTRA).fromarray(bytes_[..., 0] if gray else bytes_).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def write_image(path: Path, pixels: Pixels, tags: Mapping[str, str] | None = None) -> None:
    """Write a .png file, which appears whole or not at all; see `png`. InputError if it cannot be written."""
    write_whole(path, png(pixels, tags))


def contact_sheet(pictures: list[Pixels], columns: int, gap: int = 2) -> Pixels:
    """Pictures `(C, S, S)` beside and below each other, in raster order, on white: `(C, H, W)`."""
    channels, side = pictures[0].shape[:2]
    rows, step = -(-len(pictures) // columns), side + gap
    sheet = np.ones((channels, rows * step + gap, columns * step + gap), np.float32)
    for index, picture in enumerate(pictures):
        top, left = gap + index // columns * step, gap + index % columns * step
        sheet[:, top : top + side, left : left + side] = picture
    return sheet
