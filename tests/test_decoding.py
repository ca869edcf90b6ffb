"""Bytes of pictures become squares, of any mode, or a reason why not."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_data import BLUE, GREEN, RED, encode, solid

from ngan.decoding import decode_square


def decode(picture, kind="PNG", size=16, **options):
    return decode_square({"bytes": encode(picture, kind, **options), "path": None}, size)


def test_centre_square_is_cut():
    picture = solid(RED, (60, 20))
    picture.paste(GREEN, (20, 0, 40, 20))
    square = decode(picture, size=20)
    assert torch.equal(square, torch.tensor(GREEN, dtype=torch.uint8).view(3, 1, 1).expand(3, 20, 20))


def test_exif_orientation_is_applied():
    picture = solid(RED, (32, 32))
    picture.paste(BLUE, (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: turn it a quarter to the right
    turned = decode(picture, exif=exif)
    assert turned[:, 8, 0].tolist() == list(RED) and turned[:, 8, -1].tolist() == list(BLUE)


def test_grey_alpha_palette_and_cmyk_become_rgb():
    assert decode(Image.new("L", (20, 20), 77))[:, 3, 3].tolist() == [77, 77, 77]
    assert decode(Image.new("1", (20, 20), 1))[:, 3, 3].tolist() == [255, 255, 255]
    assert decode(solid(GREEN).quantize())[:, 3, 3].tolist() == list(GREEN)
    assert decode(Image.new("RGBA", (20, 20), (*RED, 0)))[:, 3, 3].tolist() == [255, 255, 255]
    half = decode(Image.new("LA", (20, 20), (0, 128)))[:, 3, 3].tolist()
    assert half == [127, 127, 127]  # 255 * (1 - 128 / 255)
    cmyk = decode(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", quality=95)[:, 3, 3].tolist()
    assert cmyk[0] > 245 and cmyk[1] < 10 and cmyk[2] < 10


def test_16_bit_grey_is_scaled_not_clipped():
    values = np.full((20, 20), 128 * 257, np.uint16)
    assert decode(Image.fromarray(values))[:, 3, 3].tolist() == [128, 128, 128]
    assert decode(Image.fromarray(values), "TIFF")[:, 3, 3].tolist() == [128, 128, 128]


def test_floating_point_picture_and_missing_bytes_give_a_reason():
    assert "no fixed range" in decode(Image.new("F", (20, 20), 0.5), "TIFF")
    assert decode_square(None, 16) == "the row holds no picture"
    assert "neither bytes nor a path" in decode_square({"bytes": None, "path": None}, 16)
    assert "FileNotFoundError" in decode_square({"bytes": None, "path": "gone.png"}, 16)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of some of the damage
def test_no_damaged_bytes_raise():
    Image.init()  # so that SAVE names all formats of this Pillow
    generator = np.random.default_rng(0)
    pixels = Image.fromarray(generator.integers(0, 256, (40, 40, 3), np.uint8))
    reasons = 0
    for kind in sorted({"PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"} & Image.SAVE.keys()):
        whole = encode(pixels, kind)
        for _ in range(40):
            damaged = bytearray(whole[: generator.integers(1, len(whole) + 1)])
            for at in generator.integers(0, len(damaged), 8):
                damaged[at] = generator.integers(0, 256)
            reasons += isinstance(decode_square({"bytes": bytes(damaged), "path": None}, 16), str)
    assert reasons > 100
