"""What the pages tell to type and is not run, each with its reason. Reviewed: what can run does not belong here."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tests.docs.pages import Block, Command

# Page, start of the block or command, why.
EXCEPTIONS: tuple[tuple[str, str, str], ...] = (
    ("docs/tutorial.md", "python3 -m venv", "makes an environment; this one takes its place"),
    ("docs/tutorial.md", "pip install", "asks an index; tests/packaging installs the wheel"),
    ("SECURITY.md", "gh attestation verify", "needs a published release, and GitHub's own program"),
    ("docs/ledger.md", "GRANT", "run on real databases by tests/ledger/test_grants.py"),
)


def exception_for(what: Block | Command) -> str | None:
    """Why a block or a command is not run, or None."""
    page = what.page if isinstance(what, Block) else what.block.page
    return next(
        (why for where, start, why in EXCEPTIONS if fnmatchcase(page, where) and what.text.startswith(start)), None
    )
