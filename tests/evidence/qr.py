"""Reads QR codes: from the SVG of a page, and from a picture of one."""

from __future__ import annotations

import io
import re

import zxingcpp
from PIL import Image

_PIXELS = 4  # a module's side


def text_of_svg(page: str) -> str:
    """Return what the one QR code of a page says: drawn as its path says, module by module."""
    found = re.search(r'<path class="qrline" stroke="#000" d="([^"]+)"', page)
    size = re.search(r'<path fill="#fff" d="M0 0h(\d+)v', page)
    assert found is not None and size is not None
    side = int(size[1])
    picture = Image.new("L", (side, side), 255)
    x, y = 0.0, 0.0
    for step, amounts in re.findall(r"([Mmh])([-\d. ]+)", found[1]):
        numbers = [float(number) for number in re.findall(r"-?\d*\.?\d+", amounts)]
        if step == "h":
            for module in range(int(x), int(x + numbers[0])):
                picture.putpixel((module, int(y)), 0)
            x += numbers[0]
        elif step == "M":
            x, y = numbers
        else:
            x, y = x + numbers[0], y + numbers[1]
    return _read(picture.resize((side * _PIXELS, side * _PIXELS), Image.Resampling.NEAREST))


def text_of_picture(png: bytes) -> str:
    """Return what the one QR code in a picture says."""
    return _read(Image.open(io.BytesIO(png)).convert("L"))


def _read(picture: Image.Image) -> str:
    (code,) = zxingcpp.read_barcodes(picture)
    text: str = code.text
    return text
