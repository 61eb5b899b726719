"""The web page of the sandbox: one file, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources


@cache
def page() -> str:
    """The HTML of the page."""
    return resources.files(__package__).joinpath("page.html").read_text("utf-8")


@cache
def page_headers() -> dict[str, str]:
    """Headers that let the browser run the page's own script and style, and nothing that came in a lead."""
    script, style = (_digests(page(), tag) for tag in ("script", "style"))
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; script-src {script}; style-src {style}; img-src data:; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _digests(html: str, tag: str) -> str:
    inline = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline)
