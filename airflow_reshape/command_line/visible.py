"""Texts of rows and arguments on a terminal: none of them moves the cursor, colours, hides or turns anything."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""A text in which every character that shows nothing is written as Python writes it, such as ``\x1b``.

    So control characters, marks that turn the direction of writing, what has no width, and every blank but the usual
    one.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def visible_json(text: str) -> str:
    """JSON of the same value, with escapes of JSON for what shows nothing; its line breaks stay."""
    return "\n".join(
        line if line.isprintable() else "".join(each if each.isprintable() else _escape(each) for each in line)
        for line in text.split("\n")
    )


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(rf"\u{units[start : start + 4]}" for start in range(0, len(units), 4))
