"""The code blocks of README and docs/, and the commands in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PROMPT = "$ "


@dataclass(frozen=True)
class Block:
    """A fenced block.

    :param page: its file, from the root of the repository.
    :param line: where it begins, counted from 1.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command at a prompt, its lines joined, and what the page says it prints."""

    block: Block
    text: str
    prints: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block}: {self.text[:60]}"


def pages() -> list[str]:
    """README and the others beside it, and all pages of docs/."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def blocks(*languages: str) -> list[Block]:
    """All blocks of these languages, or of any."""
    return [block for page in pages() for block in blocks_of(page) if not languages or block.language in languages]


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page; directives of the page's own are none."""
    tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8"))
    return [
        Block(page, token.map[0] + 1, token.info.strip(), token.content)
        for token in tokens
        if token.type == "fence" and token.map and not token.info.startswith("{")
    ]


def commands_of(block: Block) -> list[Command]:
    """The commands of a console block. A line that ends in a backslash goes on in the next."""
    found: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in block.text.splitlines():
        if line.startswith(PROMPT):
            found.append((line.removeprefix(PROMPT), []))
        elif goes_on:
            text, prints = found[-1]
            found[-1] = (text.removesuffix("\\").rstrip() + " " + line.strip(), prints)
        else:
            found[-1][1].append(line)
            continue
        goes_on = found[-1][0].endswith("\\")
    return [Command(block, text, tuple(prints)) for text, prints in found]


def commands() -> list[Command]:
    """All commands of all pages."""
    return [command for block in blocks("console", "bash", "sh") for command in commands_of(block)]
