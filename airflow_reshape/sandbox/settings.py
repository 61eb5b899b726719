"""How one sandbox is set up."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from airflow_reshape.sandbox.faults import Faults
from airflow_reshape.sandbox.schemas import Strictness

DEFAULT_TOKEN: Final = "sandbox-token"  # noqa: S105 – it opens nothing but a sandbox
DEFAULT_SCRIPT_ID: Final = "SANDBOX1"
SCRIPT_ID: Final = re.compile(r"[A-Z0-9]{8}")


@dataclass(frozen=True)
class Settings:
    """The account the sandbox plays, where it keeps events, and how strict and how unkind it is.

    :param token: the access token it accepts.
    :param script_id: the script id it knows, eight capital letters or digits.
    :param database: a SQLite file that outlives the process; memory if None.
    :param strictness: what the schemas ask for beyond well-formed fields.
    :param faults: how it misbehaves from the start.
    :param any_host_name: show received leads under any ``Host`` name. By default only names of this machine
        are answered, so that a web page elsewhere cannot read them through a name that it points here.
    :raises ValueError: if token or script id cannot be right.
    """

    token: str = DEFAULT_TOKEN
    script_id: str = DEFAULT_SCRIPT_ID
    database: Path | None = None
    strictness: Strictness = field(default_factory=Strictness)
    faults: tuple[Faults, ...] = ()
    any_host_name: bool = False

    def __post_init__(self) -> None:
        if not self.token or not self.token.isascii() or not self.token.isprintable():
            raise ValueError("the token must be printable ASCII and not empty")
        if not SCRIPT_ID.fullmatch(self.script_id):
            raise ValueError("the script id must be eight capital letters or digits")
