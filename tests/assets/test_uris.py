"""The URI of an asset has one spelling, and Airflow asks this package for it."""

from __future__ import annotations

import pytest
from airflow.sdk import Asset

from airflow_reshape.assets import reshape_asset

URI = "reshape://dre2.example.com/AB12CD34/lead_qualified"


@pytest.mark.parametrize(
    "host",
    ["dre2.example.com", "DRE2.Example.com", "https://dre2.example.com", "dre2.example.com:443", " dre2.example.com/"],
)
def test_one_host_is_one_asset(host: str) -> None:
    asset = reshape_asset(host, "AB12CD34", "lead_qualified")
    assert (asset.name, asset.uri) == (URI, URI)


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("[::1]:8443", "[::1]:8443"),
        ("münchen.example", "xn--mnchen-3ya.example"),
    ],
)
def test_ports_and_names_of_every_kind(host: str, authority: str) -> None:
    assert reshape_asset(host, "AB12CD34", "lead_closed").uri == f"reshape://{authority}/AB12CD34/lead_closed"


@pytest.mark.parametrize("uri", [URI, URI + "/", "RESHAPE://Dre2.Example.com:443/AB12CD34/lead_qualified"])
def test_airflow_normalises_what_is_written_by_hand(uri: str) -> None:
    asset = Asset(name="qualified leads", uri=uri)
    assert asset.uri == URI
    assert asset.normalized_uri == URI


@pytest.mark.parametrize(
    "uri",
    [
        "reshape://dre2.example.com",
        "reshape://dre2.example.com/AB12CD34",
        "reshape://dre2.example.com/ab12cd34/lead_qualified",
        "reshape://dre2.example.com/AB12CD34/lead_qualified/more",
        "reshape://dre2.example.com/AB12CD34/ana@example.com",
        "reshape://dre2.example.com/AB12CD34/lead_qualified?id=7",
        "reshape:///AB12CD34/lead_qualified",
        f"reshape://{'x' * 64}.com/AB12CD34/lead_qualified",
    ],
)
def test_airflow_refuses_another_shape(uri: str) -> None:
    with pytest.raises(ValueError, match="must be reshape://<host>/<script id>/<event>"):
        Asset(uri=uri)
