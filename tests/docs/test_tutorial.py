"""The tutorial, typed to the letter into one shell, prints what it says.

Then the DAG of the page on alerts is run in it, and Airflow's commands of all other pages.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.exceptions import exception_for
from tests.docs.mailbox import Mailbox, mailbox
from tests.docs.pages import ROOT, Block, Command, blocks_of, commands, commands_of

PAGE = "docs/tutorial.md"
ALERTS = "docs/howto/alerts.md"
PORT = "8800"
ANY = "…"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
END = re.compile(r"^@@(\d+) (\d+)$", re.MULTILINE)
LONGEST = 540.0  # seconds; a minute is usual
pytestmark = pytest.mark.timeout(LONGEST + 60)
# One lead that goes and one without a currency.
QUALIFIED_LEADS = """
import sqlite3
with sqlite3.connect("crm.sqlite") as crm:
    crm.execute("CREATE TABLE qualified_leads (lead_id, email, currency)")
    crm.execute("INSERT INTO qualified_leads VALUES ('A-1', 'ana@example.com', 'EUR'), ('A-2', 'd@example.com', NULL)")
"""


@dataclass(frozen=True)
class Session:
    """What was typed, and what came of it.

    :param ended: output and exit code of each command.
    :param others: Airflow's commands of other pages, and what came of them.
    """

    typed: list[Command]
    ended: list[tuple[str, int]]
    alerts: tuple[str, int]
    others: list[tuple[Command, tuple[str, int]]]
    box: Mailbox


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One shell for both pages: what the tutorial sets up is what the other page begins with."""
    typed = saved_files_and_commands()
    with mailbox() as box:
        mails = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": box.port,
            "extra": {"disable_ssl": True, "disable_tls": True},
        }
        (page,) = (block for block in blocks_of(ALERTS) if block.language == "python")
        more = [
            f"python -c {shlex.quote(QUALIFIED_LEADS)}",
            saving("dags/alerts.py", page),
            f"export AIRFLOW_CONN_SMTP_DEFAULT={shlex.quote(json.dumps(mails))}",
            "airflow dags test leads_with_alerts",
        ]
        others = airflows_commands_of_other_pages()
        text = " ".join(command.text for command in others)
        dags = [path for path in sorted((ROOT / "dags").glob("*.py")) if path.stem in text.split()]
        then = [
            f"cp -r {shlex.join(map(str, [*dags, ROOT / 'dags' / 'sql']))} dags",
            "airflow dags reserialize > reserialized.log 2>&1",
            *(f"{anew(command)}{command.text}" for command in others),
        ]
        home = tmp_path_factory.mktemp("typed")
        ended = typed_into_a_shell([*(command.text for command in typed), *more, *then], home)
    alerts = len(typed) + len(more) - 1
    came_of_others = zip(others, ended[-len(others) :], strict=True)
    return Session(typed, ended[: len(typed)], ended[alerts], list(came_of_others), box)


def test_the_tutorial_does_what_it_says(session: Session) -> None:
    for command, (output, code) in zip(session.typed, session.ended, strict=True):
        fails = any("failed" in line for line in command.prints)
        assert (code != 0) is fails, f"{command} ended with {code}:\n{output}"
        missing = first_missing(command.prints, output)
        assert missing is None, f"{command} does not print {missing!r} there:\n{output}"


def test_the_alert_tells_the_summary_and_the_tasks_after_it_run(session: Session) -> None:
    output, code = session.alerts
    assert code == 0, output  # the run's state is that of its last tasks
    (mail,) = session.box.mails
    assert mail["subject"] == "leads_with_alerts: leads were lost"
    body = mail.get_body()
    assert body is not None
    text = " ".join(body.get_content().split())
    assert "1 invalid, 0 rejected, 0 unsent of 2 leads" in text
    assert "event.currency: is required" in text
    assert "example.com" not in text
    assert output.count("new_state=success") == 3, output
    for task in ("compare", "something_was_sent", "refresh_the_report"):
        assert f"end task task_id={task} " in output


def test_airflows_commands_of_other_pages_succeed(session: Session) -> None:
    assert session.others
    for command, (output, code) in session.others:
        assert code == 0, f"{command} ended with {code}:\n{output}"


def airflows_commands_of_other_pages() -> list[Command]:
    """All but the runs of the recipes' DAGs, which tests/in_airflow does with servers for them to read."""
    found = {each.text: each for each in commands() if each.block.page != PAGE and each.text.startswith("airflow ")}
    runs = ("airflow dags test ",)
    return [each for text, each in found.items() if not text.startswith(runs) and not exception_for(each)]


def anew(command: Command) -> str:
    """Two pages may add one connection, each for itself."""
    words = shlex.split(command.text)
    if words[:3] != ["airflow", "connections", "add"]:
        return ""
    return f"airflow connections delete {words[3]} > deleted.log 2>&1; "


def saved_files_and_commands() -> list[Command]:
    """Python blocks are saved under the name in their first line."""
    typed: list[Command] = []
    for block in blocks_of(PAGE):
        if block.language == "python":
            typed.append(Command(block, saving(block.text.splitlines()[0].removeprefix("# "), block), ()))
        elif block.language == "console":
            typed += [command for command in commands_of(block) if not exception_for(command)]
    return typed


def saving(name: str, block: Block) -> str:
    """What saves a block as a file."""
    return f"mkdir -p {Path(name).parent} && cat > {name} <<'END_OF_FILE'\n{block.text}END_OF_FILE"


def typed_into_a_shell(texts: list[str], home: Path) -> list[tuple[str, int]]:
    """Output and exit code of each command, run one after the other in one shell."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    lines = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    for number, text in enumerate(texts):
        lines += [text.replace(PORT, port), f"printf '\\n@@{number} %d\\n' $?"]
    script = home / "typed.sh"
    script.write_text("\n".join(lines) + "\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = subprocess.Popen(
        ["bash", str(script)],
        cwd=home,
        env={"PATH": path, "HOME": str(home), "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        printed, _ = shell.communicate(timeout=LONGEST)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    parts = END.split(COLOURS.sub("", printed).replace(port, PORT))
    ended = [(output, int(code)) for output, code in zip(parts[0:-1:3], parts[2::3], strict=True)]
    assert len(ended) == len(texts), printed
    return ended


def first_missing(expected: tuple[str, ...], output: str) -> str | None:
    """The first line that is not printed after those before it; three dots stand for anything."""
    lines = iter(output.splitlines())
    for line in expected:
        if line.strip() in ("", ANY):
            continue
        pattern = ".*".join(re.escape(part) for part in line.strip().split(ANY))
        if not any(re.fullmatch(pattern, printed.strip()) for printed in lines):
            return line
    return None


def test_what_is_not_printed_is_missed() -> None:
    assert first_missing(("a…", "…c"), "x\nabc\nbc\n") is None
    assert first_missing(("…c", "a…"), "x\nabc\nbc\n") == "a…"
