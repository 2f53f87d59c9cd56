"""Pictures of every kind are read as documented, or refused in one line."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from latent.images.files import FORMATS, contact_sheet, png, read_image, write_image
from s2s.errors import InputError


def saved(folder: Path, image: Image.Image, name: str = "a.png", **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


def gradient(mode: str = "RGB", size: tuple[int, int] = (12, 12)) -> Image.Image:
    ramp = np.linspace(0, 255, size[0] * size[1]).astype(np.uint8).reshape(size[1], size[0])
    return Image.fromarray(ramp).convert(mode)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_has_the_channels_that_are_asked_for_between_minus_one_and_one(
    tmp_path: Path, mode: str, channels: int
) -> None:
    pixels = read_image(saved(tmp_path, gradient(mode)), 6, channels)
    assert pixels.shape == (channels, 6, 6)
    assert pixels.dtype == np.float32
    assert -1 <= pixels.min() < -0.5 < 0.5 < pixels.max() <= 1


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.gif", "a.tiff", "a.ppm"])
def test_every_format_is_read_whatever_its_suffix_says(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, gradient(), name)
    expected = read_image(path, 6, 3)
    np.testing.assert_array_equal(read_image(path.rename(tmp_path / "a.dat"), 6, 3), expected)
    assert np.abs(expected - read_image(saved(tmp_path, gradient()), 6, 3)).max() < 0.15


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (read_image(saved(tmp_path, clear), 4, 3) == 1).all()
    palette = Image.new("P", (4, 4), 0)
    assert (read_image(saved(tmp_path, palette, transparency=0), 4, 3) == 1).all()


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    red, green, blue = read_image(saved(tmp_path, cyan, "a.jpg"), 8, 3).mean((1, 2))
    assert red < -0.9 < 0.9 < min(green, blue)


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm"])
def test_sixteen_bits_become_eight(tmp_path: Path, name: str) -> None:
    wide = Image.fromarray(np.array([[0, 257], [32_896, 65_535]], np.uint16))
    pixels = read_image(saved(tmp_path, wide, name), 2, 1)
    np.testing.assert_allclose((pixels[0] + 1) * 127.5, [[0, 1], [128, 255]], atol=1e-4)


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 3  # turned by half
    upright = read_image(saved(tmp_path, gradient("L")), 12, 1)
    turned = read_image(saved(tmp_path, gradient("L"), "b.png", exif=exif), 12, 1)
    np.testing.assert_array_equal(turned, upright[:, ::-1, ::-1])


def test_the_square_in_the_middle_is_read(tmp_path: Path) -> None:
    wide = Image.new("L", (30, 10), 0)
    wide.paste(255, (10, 0, 20, 10))
    assert (read_image(saved(tmp_path, wide), 10, 1) == 1).all()


def test_an_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (0, 100, 200)]
    for name in ("a.gif", "a.webp", "a.tiff", "a.png"):
        path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
        with pytest.raises(InputError, match=r"must hold one still picture, found 3"):
            read_image(path, 4, 1)


def bomb(width: int, height: int) -> bytes:
    """A PNG file that says it has these sides."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"\0" * 100), b"IEND"]
    written = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


@pytest.mark.parametrize("sides", [(8193, 8192), (10_000, 10_000), (100_000, 100_000)])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, sides: tuple[int, int]) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(*sides))
    with pytest.raises(InputError, match=r"must have at most 67,108,864 pixels, found"):
        read_image(path, 8, 3)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_image(path, 8, 3)
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_image(tmp_path, 8, 3)
    for content in (b"", b"{}", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a picture in a format that is read") as refused:
            read_image(path, 8, 3)
        assert all(name in str(refused.value) for name in FORMATS)


def test_floating_point_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.full((4, 4), 0.5, np.float32)), "a.tiff")
    with pytest.raises(InputError, match="must have whole numbers as pixels, found floating point"):
        read_image(path, 4, 1)


@settings(max_examples=60, deadline=None)
@given(
    format=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]),
    cut=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
)
def test_damage_anywhere_gives_a_picture_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, format: str, cut: float, damage: list[tuple[float, int]]
) -> None:
    file = io.BytesIO()
    gradient(size=(24, 24)).save(file, format)
    content = bytearray(file.getvalue())
    for place, value in damage:
        content[int(place * len(content))] = value
    path = tmp_path_factory.mktemp("damaged") / "a.png"
    path.write_bytes(content[: round(cut * len(content))])
    try:
        outcome = read_image(path, 8, 3).shape
    except InputError as error:
        outcome = str(error)
    assert outcome == (3, 8, 8) or (outcome.startswith(f"{path}: ") and "\n" not in outcome)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_written_picture_is_read_again_with_its_tags(tmp_path: Path, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (channels, 5, 5)).astype(np.float32) / 127.5 - 1
    write_image(tmp_path / "a.png", pixels, {"comment": "made"})
    np.testing.assert_allclose(read_image(tmp_path / "a.png", 5, channels), pixels, atol=1e-6)
    assert Image.open(tmp_path / "a.png").text == {"Comment": "made"}


def test_pixels_beyond_white_are_white_and_those_that_are_no_numbers_are_refused() -> None:
    assert Image.open(io.BytesIO(png(np.full((1, 2, 2), 7, np.float32)))).getpixel((0, 0)) == 255
    with pytest.raises(InputError, match="must be finite numbers"):
        png(np.full((1, 2, 2), np.nan, np.float32))


def test_a_contact_sheet_has_the_pictures_in_raster_order_on_white() -> None:
    pictures = [np.full((1, 3, 3), value, np.float32) for value in (-1, -0.5, 0)]
    sheet = contact_sheet(pictures, columns=2, gap=1)
    assert sheet.shape == (1, 9, 9)
    assert [sheet[0, 1, 1], sheet[0, 1, 5], sheet[0, 5, 1], sheet[0, 5, 5], sheet[0, 0, 0]] == [-1, -0.5, 0, 1, 1]
