"""JSON, INI, YAML, Dockerfiles, SQL and connection URIs of the pages are read by what would read them."""

from __future__ import annotations

import configparser
import importlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.docs.exceptions import exception_for
from tests.docs.pages import ROOT, Block, blocks, pages
from tests.docs.reshape_connections import settings_of
from tests.docs.test_commands import send_the_crm

URI = re.compile(r"reshape://[^\s'\"`]+\?[^\s'\"`]+")
INSTRUCTIONS = {"FROM", "RUN", "COPY", "USER", "ENV", "ARG", "WORKDIR"}
OF_OTHERS = "airflow.providers."  # backends of providers that are not installed here


def each(language: str) -> pytest.MarkDecorator:
    found = [block for block in blocks(language) if not exception_for(block)]
    assert found
    return pytest.mark.parametrize("block", found, ids=str)


def texts_in(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for value in data.values():
            yield from texts_in(value)
    elif isinstance(data, list):
        for value in data:
            yield from texts_in(value)
    elif isinstance(data, str):
        yield data


@each("json")
def test_json(block: Block) -> None:
    if json.loads(block.text).get("conn_type") == "reshape":
        settings_of(block.text)


@each("ini")
def test_ini(block: Block) -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(block.text)
    values = {name: value for section in config.sections() for name, value in config[section].items()}
    assert values
    read: dict[str, Any] = {
        name: json.loads(value) if value.startswith("{") else value for name, value in values.items()
    }
    backend = read.get("backend")
    if backend and not backend.startswith(OF_OTHERS):
        module, _, name = backend.rpartition(".")
        getattr(importlib.import_module(module), name)(**read["backend_kwargs"])


@each("yaml")
def test_yaml(block: Block) -> None:
    for document in yaml.safe_load_all(block.text):
        assert isinstance(document, dict)
        for text in texts_in(document):
            if '"conn_type": "reshape"' in text:
                settings_of(text)


@each("dockerfile")
def test_dockerfile(block: Block) -> None:
    assert {line.split()[0] for line in block.text.splitlines() if line} <= INSTRUCTIONS


@each("sql")
def test_sql(block: Block, world: RunningSandbox) -> None:
    send_the_crm()  # makes the ledger's views
    with closing(sqlite3.connect("crm.sqlite")) as crm:
        columns = [column[0] for column in crm.execute(block.text).description]
    if "lead_id" in columns:
        SendPlan(stage_map={"SQL": "lead_qualified"}).check_columns(columns)


@pytest.mark.parametrize("page", pages())
def test_connection_uris(page: str) -> None:
    for uri in URI.findall((ROOT / page).read_text(encoding="utf-8")):
        settings_of(uri)


def test_a_wrong_connection_is_found() -> None:
    with pytest.raises(ReshapeConfigurationError, match="enviroment"):
        test_json(Block("page.md", 1, "json", '{"conn_type": "reshape", "extra": {"enviroment": "dev"}}'))
