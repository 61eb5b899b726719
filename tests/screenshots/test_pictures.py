"""The script, the folder of pictures and the pages of the documentation agree on which pictures there are."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from screenshots.pictures import FOLDER, LARGEST_BYTES, PICTURES, Picture
from screenshots.scene import Scene
from tests.docs.pages import ROOT, pages


def images(page: str) -> list[Token]:
    tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8"))
    return [child for token in tokens for child in token.children or () if child.type == "image"]


def shown_on(page: str) -> list[Path]:
    """The files of a page's images, but for those from elsewhere."""
    sources = [str(image.attrs["src"]) for image in images(page)]
    return [((ROOT / page).parent / source).resolve() for source in sources if "://" not in source]


def size_of(path: Path) -> tuple[int, int]:
    start = path.read_bytes()[:24]
    assert start[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", start[16:24])
    return width, height


def test_every_image_that_a_page_shows_is_there() -> None:
    assert [(page, file.name) for page in pages() for file in shown_on(page) if not file.is_file()] == []


def test_the_folder_holds_what_the_script_takes() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {picture.file for picture in PICTURES}


def test_every_picture_is_shown_in_the_documentation() -> None:
    shown = {file for page in pages() if page.startswith("docs/") for file in shown_on(page)}
    assert [picture.file for picture in PICTURES if FOLDER / picture.file not in shown] == []


def test_every_image_is_described_in_words() -> None:
    assert [(page, image.attrs["src"]) for page in pages() for image in images(page) if len(image.content) < 10] == []


def test_readme_shows_a_picture() -> None:
    assert set(shown_on("README.md")) & {FOLDER / picture.file for picture in PICTURES}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.file)
def test_a_picture_is_small_and_fits_its_window(picture: Picture) -> None:
    path = FOLDER / picture.file
    width, height = size_of(path)
    assert 640 <= width <= picture.width
    assert 480 <= height <= picture.height
    assert path.stat().st_size <= LARGEST_BYTES


def test_a_scene_survives_the_way_to_the_browser() -> None:
    scene = Scene(
        "/usr/bin/chromium", "http://127.0.0.1:1", "http://127.0.0.1:2", "dag", "run", "task", "here", ("a", "b")
    )
    assert Scene.from_json(scene.to_json()) == scene
