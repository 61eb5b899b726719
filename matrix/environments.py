"""Makes the virtual environment of a cell, and keeps it until its requirements change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from matrix.cells import REQUIREMENTS, ROOT, Cell

TOOLS = REQUIREMENTS / "matrix" / "tools.in"
EXTRAS = "sandbox,postgres"
# Where version managers keep the Pythons that they do not put on the PATH.
MANAGED = (".pyenv/versions/{version}.*/bin", ".local/share/uv/python/cpython-{version}.*/bin")


class NotInstalledError(RuntimeError):
    """A cell's environment cannot be made; the text says why."""


def find_python(version: str) -> Path | None:
    """A Python of this machine that starts and can make environments.

    :param version: such as ``3.12``.
    """
    name = f"python{version}"
    on_path = shutil.which(name)
    managed = (path for place in MANAGED for path in Path.home().glob(place.format(version=version) + f"/{name}"))
    for candidate in (*([Path(on_path)] if on_path else []), *sorted(managed, reverse=True)):
        # Asked by running it: version managers put names on the PATH that do not start.
        code = "import sys, venv, ssl, sqlite3; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def prepare(cell: Cell, base: Path) -> Path:
    """The Python of a cell's environment, which is made if it is not there or its requirements changed.

    :param base: the Python to make it with.
    :raises NotInstalledError: an installation fails, or what is installed does not fit together.
    """
    venv = cell.home / "venv"
    python = venv / "bin" / "python"
    stamp = venv / "made-for"
    wanted = _digest(cell, base)
    # What is newest changes from day to day, so that environment is always made anew.
    if cell.pins and stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(venv, ignore_errors=True)
    cell.home.mkdir(parents=True, exist_ok=True)
    _run([base, "-m", "venv", venv])
    if cell.pins:
        _install(python, "--require-hashes", "--requirement", cell.pins)
        _install(python, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    else:
        _install(python, "--requirement", TOOLS)
        _install(python, "--upgrade", "--no-build-isolation", "--editable", f"{ROOT}[{EXTRAS}]")
    _run([python, "-m", "pip", "check"])
    stamp.write_text(wanted)
    return python


def versions(python: Path) -> str:
    """The Airflow and the Python of an environment, in words."""
    code = (
        "import platform; from importlib.metadata import version; "
        "print('Airflow', version('apache-airflow'), 'on Python', platform.python_version())"
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _digest(cell: Cell, base: Path) -> str:
    pins = cell.pins.read_bytes() if cell.pins else b""
    parts = (str(base).encode(), pins, (ROOT / "pyproject.toml").read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _install(python: Path, *arguments: str | Path) -> None:
    """Install by uv where it starts, which takes seconds; else by pip, which takes minutes."""
    uv = next((uv for uv in (ROOT / ".venv/bin/uv", shutil.which("uv")) if uv and _starts(uv)), None)
    if uv:
        try:
            _run([uv, "--quiet", "pip", "install", "--python", python, *arguments])
        except NotInstalledError:
            # uv reads neither pip's configuration nor its certificates, and some machines need them.
            print("uv could not install it; trying pip", flush=True)
        else:
            return
    _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])


def _starts(program: str | Path) -> bool:
    try:
        return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str | Path]) -> None:
    words = [str(word) for word in command]
    # Beside what `make test` keeps, unless somebody has a cache already.
    env = {"UV_CACHE_DIR": str(ROOT / "build" / "uv"), **os.environ}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalledError(f"{' '.join(words)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
