"""Which pictures there are, and how large the browser's window is for each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
LARGEST_BYTES = 200_000


class Picture(NamedTuple):
    """A picture of the documentation.

    :param file: its name in :data:`FOLDER`.
    :param width: of the window, in CSS pixels.
    :param height: as above.
    """

    file: str
    width: int
    height: int


CONNECTION_FORM = Picture("connection-form.png", 900, 900)
CONNECTION_EXTRAS = Picture("connection-extras.png", 900, 2000)
RUN_LOG = Picture("run-log.png", 1280, 1580)
SANDBOX_PAGE = Picture("sandbox-page.png", 1280, 1180)
PICTURES = (CONNECTION_FORM, CONNECTION_EXTRAS, RUN_LOG, SANDBOX_PAGE)
