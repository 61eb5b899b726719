"""Airflow's own providers manager and its UI service show the connection type as it is described."""

from __future__ import annotations

import pytest
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.sdk import Connection

from airflow_reshape.get_provider_info import get_provider_info
from airflow_reshape.hooks.reshape import ReshapeHook


@pytest.fixture(scope="module")
def hook_meta() -> dict[str, object]:
    """What ``/ui/connections/hook_meta`` answers for our connection type."""
    (ours,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "reshape"]
    return ours.model_dump(by_alias=True)


@pytest.fixture
def drawn(hook_meta: dict[str, object]) -> dict[str, object]:
    """The same, where Airflow draws anybody's form."""
    others = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type != "reshape"]
    if not any(meta.standard_fields for meta in others):
        pytest.skip("Airflow before 3.1.3 labels the fields of no provider unless the FAB provider is installed")
    return hook_meta


def test_the_connection_type_is_listed_by_its_name(hook_meta: dict[str, object]) -> None:
    assert hook_meta["hook_name"] == "DATA Reshape"
    assert hook_meta["hook_class_name"] == "airflow_reshape.hooks.reshape.ReshapeHook"


def test_standard_fields_are_labelled_and_the_login_hidden(drawn: dict[str, object]) -> None:
    standard = drawn["standard_fields"]
    assert isinstance(standard, dict)
    assert standard["host"] == {
        "hidden": False,
        "title": "Subdomain (host)",
        "placeholder": "dre2.yourdomain.com",
    }
    assert standard["password"]["title"] == "Access token"
    assert standard["url_schema"]["title"] == "Scheme (https)"
    assert standard["login"]["hidden"] is True


def test_extra_fields_carry_label_description_and_default(drawn: dict[str, object]) -> None:
    (described,) = get_provider_info()["connection-types"]
    extra = drawn["extra_fields"]
    assert isinstance(extra, dict)
    # The order is the form's order.
    assert list(extra) == list(described["conn-fields"])
    for name, field in described["conn-fields"].items():
        assert extra[name]["schema"]["title"] == field["label"]
        assert extra[name]["description"] == field["description"]
        assert extra[name]["value"] == field["schema"].get("default")
    assert extra["environment"]["schema"]["enum"] == ["prod", "dev"]


def test_a_connection_of_the_type_gives_the_hook() -> None:
    connection = Connection(conn_id="reshape_default", conn_type="reshape", host="dre2.example.com")
    hook = connection.get_hook()
    assert isinstance(hook, ReshapeHook)
