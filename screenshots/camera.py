"""Takes all pictures with a headless Chromium. Runs in an environment of its own, told what to do on its input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from screenshots.connection_form import extra_fields, standard_fields
from screenshots.pictures import (
    CONNECTION_EXTRAS,
    CONNECTION_FORM,
    LARGEST_BYTES,
    PICTURES,
    RUN_LOG,
    SANDBOX_PAGE,
    Picture,
)
from screenshots.run_log import run_log
from screenshots.sandbox_page import sandbox_page
from screenshots.scene import Scene
from screenshots.shrink import shrink

# What each picture shows: brings a page there, and answers the part of it to take.
SHOWN: dict[Picture, Callable[[Page, Scene], Page | Locator]] = {
    CONNECTION_FORM: standard_fields,
    CONNECTION_EXTRAS: extra_fields,
    RUN_LOG: run_log,
    SANDBOX_PAGE: sandbox_page,
}
PATIENCE = 30_000.0  # milliseconds for anything on a page to appear
HIDDEN = "[aria-label='Collapse Details Panel'] { visibility: hidden }"  # would lie half inside the picture
TROUBLE = ".chakra-alert__root, [data-scope=toast][data-part=root]"  # Airflow's banners and pop-ups


class UnfitError(Exception):
    """A picture that must not be published. The text says which, and why."""


def main() -> None:
    """Take all pictures of the scene that stands on the standard input."""
    scene = Scene.from_json(sys.stdin.read())
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        # The path is always given: without it, Playwright looks for a browser that it downloaded.
        browser = playwright.chromium.launch(executable_path=scene.browser)
        for picture in PICTURES:
            take(browser, picture, scene)
        browser.close()


def take(browser: Browser, picture: Picture, scene: Scene) -> None:
    """Take one picture.

    :raises UnfitError: the page broke, shows an error or what must not be seen, or the file is too large.
    """
    path = Path(scene.folder) / picture.file
    context = browser.new_context(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme="light",
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    shown = SHOWN[picture](page, scene)
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    shown.screenshot(path=path, animations="disabled", caret="hide", style=HIDDEN)
    text = (shown.locator("body") if isinstance(shown, Page) else shown).inner_text()
    troubles = page.locator(TROUBLE).all_inner_texts()
    context.close()
    if broken or troubles:
        raise UnfitError(f"{picture.file}: the page is not well: {[*broken, *troubles]}")
    if any(secret in text for secret in scene.never_shown):
        raise UnfitError(f"{picture.file}: it shows a path of this machine or the access token")
    shrink(path)
    if path.stat().st_size > LARGEST_BYTES:
        raise UnfitError(f"{picture.file}: {path.stat().st_size:,} bytes, more than {LARGEST_BYTES:,}")


if __name__ == "__main__":
    main()
