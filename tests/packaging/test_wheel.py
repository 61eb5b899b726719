"""The wheel holds what it should, and works in an environment that has nothing else of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from pathlib import Path, PurePosixPath

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
# Downloads are kept between runs.
CACHE = ROOT / "build" / "uv"


def run(*command: str | Path, folder: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a program.

    :param folder: to run it in.
    :returns: what it printed.
    """
    done = tried(*command, folder=folder, env=env)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def tried(
    *command: str | Path, folder: Path = ROOT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=280, check=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Iterator[zipfile.ZipFile]:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_string(wheel.read(name).decode())


def test_the_wheel_holds_every_module_and_dag_of_the_repository(wheel: zipfile.ZipFile) -> None:
    package = {path.relative_to(ROOT).as_posix() for path in tracked(ROOT / "airflow_reshape")}
    dags = {f"airflow_reshape/example_dags/{path.relative_to(ROOT / 'dags')}" for path in tracked(ROOT / "dags")}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == package | dags
    assert not [name for name in wheel.namelist() if "test" in PurePosixPath(name).parts[-1] and "testing" not in name]
    assert "airflow_reshape/py.typed" in package
    assert "airflow_reshape/example_dags/crm_sql_lead_sync.py" in dags
    assert "airflow_reshape/example_dags/sql/crm_lead_events.sql" in dags


def tracked(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_the_wheel_carries_the_licence(wheel: zipfile.ZipFile, metadata: Message) -> None:
    licences = {PurePosixPath(name).name: name for name in wheel.namelist() if "/licenses/" in name}
    assert set(licences) == {"LICENSE", "NOTICE"}
    assert wheel.read(licences["LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_wheel_says_what_it_is(metadata: Message) -> None:
    assert metadata["Name"] == "airflow-reshape"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Framework :: Apache Airflow :: Provider" in metadata.get_all("Classifier", [])
    assert "apache-airflow>=3.1" in metadata.get_all("Requires-Dist", [])
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL", []))
    assert urls["DATA Reshape"] == "https://kb.datareshape.ro"
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_no_link_of_the_description_leads_into_the_repository(metadata: Message) -> None:
    text = metadata.get_payload()
    assert isinstance(text, str)
    tokens = [part for token in MarkdownIt("commonmark").parse(text) for part in token.children or ()]
    targets = [
        part.attrs.get("href") or part.attrs.get("src") for part in tokens if part.type in ("link_open", "image")
    ]
    assert [target for target in targets if not str(target).startswith("https://")] == []
    assert "docs/tutorial.md" in text
    assert "airflow.sdk import DAG" in text


def test_the_source_distribution_has_no_leftovers(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        tops = {PurePosixPath(name).parts[1] for name in archive.getnames()}
    assert tops == {
        "airflow_reshape", "dags", "docs",
        "CHANGELOG.md", "LICENSE", "NOTICE", "README.md", "SECURITY.md",
        "pyproject.toml", "PKG-INFO", ".gitignore",
    }  # fmt: skip


def test_the_source_distribution_has_the_pictures_of_its_pages(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()}
    pictures = {PurePosixPath(picture.relative_to(ROOT)) for picture in (ROOT / "docs" / "images").iterdir()}
    assert pictures
    assert pictures <= names


@dataclass(frozen=True)
class Clean:
    """A virtual environment with the demo's pinned packages and the wheel, nothing else of this project.

    :param home: folder of the environment; programs run in it, so that no module of the repository is found.
    """

    home: Path
    env: dict[str, str]

    def run(self, program: str, *arguments: str) -> str:
        return run(self.home / "bin" / program, *arguments, folder=self.home, env=self.env)


@pytest.fixture(scope="module")
def clean(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Clean:
    home = tmp_path_factory.mktemp("clean")
    (path,) = built.glob("*.whl")
    run(sys.executable, "-m", "venv", home)
    python = home / "bin" / "python"
    packages = ("--require-hashes", "--requirement", ROOT / "requirements" / "demo.txt")
    uv = (sys.executable, "-m", "uv", "--quiet", "--cache-dir", CACHE, "pip", "install", "--python", python)
    if tried(*uv, *packages).returncode:
        # uv reads neither pip's configuration nor its certificates, and some machines need them; pip is slower.
        run(python, "-m", "pip", "install", "--quiet", *packages)
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    return Clean(home, {**kept, "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow_home"))})


def test_airflow_starts_with_the_wheel_installed(clean: Clean) -> None:
    assert clean.run("airflow", "version").strip().splitlines()[-1] == pinned("apache-airflow")


def pinned(name: str) -> str:
    lines = (ROOT / "requirements" / "demo.txt").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}==")]
    return line.removeprefix(f"{name}==").split()[0]


def test_airflow_lists_the_provider(clean: Clean, metadata: Message) -> None:
    listed = clean.run("airflow", "providers", "get", "airflow-reshape", "--output", "json")
    assert json.loads(listed.strip().splitlines()[-1]) == [
        {"Provider": "airflow-reshape", "Version": metadata["Version"]}
    ]
    full = clean.run("airflow", "providers", "get", "airflow-reshape", "--full", "-o", "json")
    assert "airflow_reshape.hooks.reshape.ReshapeHook" in full


def test_airflow_knows_the_connection_type(clean: Clean) -> None:
    hooks = clean.run("airflow", "providers", "hooks", "--output", "json")
    (ours,) = [hook for hook in json.loads(hooks[hooks.index("[{") :]) if hook["connection_type"] == "reshape"]
    assert ours["class"] == "airflow_reshape.hooks.reshape.ReshapeHook"
    assert ours["package_name"] == "airflow-reshape"


def test_the_decorator_and_the_operators_come_from_the_wheel(clean: Clean) -> None:
    code = """
import json, airflow_reshape
from airflow.sdk import task
from airflow_reshape.operators.events import ReshapeLeadQualifiedOperator
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator
print(json.dumps([airflow_reshape.__file__, str(task.reshape)]))
"""
    where, decorator = json.loads(clean.run("python", "-c", code).strip().splitlines()[-1])
    assert Path(where).is_relative_to(clean.home)
    assert "reshape" in decorator
