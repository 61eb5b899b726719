"""Makes a picture small without making it worse to look at."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

COLOURS = 256


def shrink(path: Path) -> None:
    """Write a PNG again, with a palette and packed as tightly as can be.

    :param path: of a PNG; it is replaced.
    """
    with Image.open(path) as picture:
        # Keeps the few dots of red and green too, and moves the palette to what large areas have.
        small = picture.convert("RGB").quantize(
            COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=8, dither=Image.Dither.NONE
        )
    small.save(path, optimize=True)
