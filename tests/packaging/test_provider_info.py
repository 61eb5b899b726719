"""The provider's self-description is what Airflow's own schemas and its connection form want."""

from __future__ import annotations

import ast
import importlib
import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from airflow_reshape import get_provider_info as module
from airflow_reshape.get_provider_info import get_provider_info

CONN_FIELDS = {
    "script_id",
    "environment",
    "api",
    "test_route",
    "data_source",
    "timeout",
    "verify",
    "ca_path",
    "proxies",
    "allow_http",
    "ledger_key",
}


def airflow_schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((files("airflow") / name).read_text())
    return schema


def connection_type() -> dict[str, Any]:
    (only,) = get_provider_info()["connection-types"]
    assert isinstance(only, dict)
    return only


def conn_fields() -> dict[str, dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = connection_type()["conn-fields"]
    return fields


def test_it_follows_airflows_schema() -> None:
    jsonschema.validate(get_provider_info(), airflow_schema("provider_info.schema.json"))


def test_the_form_behaviour_follows_airflows_schema() -> None:
    # Airflow turns the keys' dashes into underscores before it checks.
    behaviour = {key.replace("-", "_"): value for key, value in connection_type()["ui-field-behaviour"].items()}
    jsonschema.validate(behaviour, airflow_schema("customized_form_field_behaviours.schema.json"))


def test_it_is_plain_json_and_new_at_every_call() -> None:
    assert json.loads(json.dumps(get_provider_info())) == get_provider_info()
    assert None not in list(leaves(get_provider_info()))


def leaves(value: Any) -> Any:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def test_its_module_imports_nothing_that_could_fail() -> None:
    source = (files("airflow_reshape") / "get_provider_info.py").read_text()
    imported = {
        name
        for node in ast.walk(ast.parse(source))
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        )
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported == {"__future__", "typing"}
    assert module.__doc__


def test_every_class_and_module_that_it_names_exists() -> None:
    info = get_provider_info()
    modules = [name for key in ("operators", "hooks") for each in info[key] for name in each["python-modules"]]
    modules += [each["python-module"] for each in info["transfers"]]
    for name in modules:
        importlib.import_module(name)
    classes = [each["class-name"] for each in info["task-decorators"]] + [connection_type()["hook-class-name"]]
    classes += [each[key] for each in info["asset-uris"] for key in ("handler", "factory", "to_openlineage_converter")]
    for dotted in classes:
        where, _, name = dotted.rpartition(".")
        assert callable(getattr(importlib.import_module(where), name))


def test_integrations_are_named_consistently() -> None:
    info = get_provider_info()
    known = {each["integration-name"] for each in info["integrations"]}
    named = {each["integration-name"] for key in ("operators", "hooks") for each in info[key]}
    named |= {each["target-integration-name"] for each in info["transfers"]}
    assert named == known


def test_the_form_has_the_fields_of_the_connection() -> None:
    assert set(conn_fields()) == CONN_FIELDS
    behaviour = connection_type()["ui-field-behaviour"]
    assert behaviour["hidden-fields"] == ["login"]
    assert behaviour["relabeling"] == {
        "host": "Subdomain (host)",
        "password": "Access token",
        "schema": "Scheme (https)",
    }
    assert behaviour["placeholders"]["host"] == "dre2.yourdomain.com"


@pytest.mark.parametrize("name", sorted(CONN_FIELDS))
def test_every_field_is_labelled_explained_and_may_stay_empty(name: str) -> None:
    field = conn_fields()[name]
    assert field["label"]
    assert field["description"].endswith(".")
    assert "null" in field["schema"]["type"]
    jsonschema.Draft202012Validator.check_schema(field["schema"])
    if "default" in field["schema"]:
        jsonschema.validate(field["schema"]["default"], field["schema"])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("script_id", "AB12CD34", "ab12cd34"),
        ("script_id", "00000000", "AB12CD345"),
        ("api", "webhooks", "legacy"),
        ("environment", "dev", "staging"),
        ("timeout", 0.5, 0),
        ("verify", False, "false"),
        ("allow_http", True, 1),
        ("test_route", True, "yes"),
        ("proxies", {"https": "http://proxy.example.com:3128"}, 3128),
        ("proxies", "http://proxy.example.com:3128", ["http://proxy.example.com:3128"]),
    ],
)
def test_a_field_takes_what_it_should(name: str, good: object, bad: object) -> None:
    schema = conn_fields()[name]["schema"]
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)


def test_the_form_says_that_an_empty_environment_is_real() -> None:
    field = conn_fields()["environment"]
    assert field["schema"]["default"] == "prod"
    assert re.search(r"empty field means prod, so events are real", field["description"])


def test_no_field_of_the_extra_holds_the_token() -> None:
    # The token belongs into the password: there Airflow masks and encrypts it whatever its name.
    # ledger_key keys digests, and may be the token of former times; it is masked when it is read.
    assert [name for name in CONN_FIELDS if re.search(r"token|secret|password|key", name)] == ["ledger_key"]
