"""What a connection says, however it was written down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeCredentialsError, ReshapeError
from airflow_reshape.hooks.settings import ReshapeSettings, is_loopback, read_settings

pytestmark = pytest.mark.timeout(30)

TOKEN = "secret-token-of-the-tests"
GOOD: dict[str, Any] = {
    "conn_type": "reshape",
    "host": "dre2.example.com",
    "password": TOKEN,
    "extra": {"script_id": "AB12CD34"},
}
NO_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def _no_proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NO_PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def from_uri(uri: str) -> ReshapeSettings:
    return read_settings(Connection.from_uri(uri, conn_id="c"))


def from_json(**fields: Any) -> ReshapeSettings:
    return read_settings(Connection.from_json(json.dumps({**GOOD, **fields}), conn_id="c"))


def from_extra(**extra: Any) -> ReshapeSettings:
    return from_json(extra={"script_id": "AB12CD34", **extra})


def problem(**fields: Any) -> str:
    with pytest.raises(ReshapeConfigurationError) as caught:
        from_json(**fields)
    assert caught.value.__cause__ is None
    text = str(caught.value)
    assert text.startswith("connection 'c'")
    assert TOKEN not in text
    return text


def test_the_least_that_is_needed() -> None:
    settings = from_json()
    destination = settings.destination
    assert destination.url == "https://dre2.example.com/reshape/standard/event?id=AB12CD34"
    assert destination.token == TOKEN
    assert (destination.timeout, destination.verify, destination.ca_path, destination.proxy) == (30.0, True, None, None)
    assert (settings.generation, settings.environment, settings.data_source) == ("standard", "prod", None)
    assert TOKEN not in repr(settings)


def test_another_services_connection_is_told() -> None:
    assert problem(conn_type="http") == "connection 'c': its type is 'http', and must be 'reshape'"
    assert "type is 'https'" in problem(conn_type="https", extra={})
    untyped = Connection.from_json(json.dumps(GOOD), conn_id="c")
    untyped.conn_type = None  # as a secrets backend may leave it
    assert read_settings(untyped).destination.token == TOKEN


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("reshape://:TOKEN@dre2.example.com/?script_id=AB12CD34", "https://dre2.example.com"),
        ("reshape://:TOKEN@dre2.example.com?script_id=AB12CD34", "https://dre2.example.com"),
        ("reshape://:TOKEN@dre2.example.com:8443/https?script_id=AB12CD34", "https://dre2.example.com:8443"),
        ("reshape://:TOKEN@127.0.0.1:8800/http?script_id=AB12CD34", "http://127.0.0.1:8800"),
        ("reshape://:TOKEN@[::1]:8800/http?script_id=AB12CD34", "http://[::1]:8800"),
        ("reshape://:a%2Fb%40c@dre2.example.com/?script_id=AB12CD34", "https://dre2.example.com"),
    ],
)
def test_a_uri(uri: str, url: str) -> None:
    settings = from_uri(uri)
    assert settings.destination.base_url == url
    assert settings.destination.token in ("TOKEN", "a/b@c")


def test_a_uri_carries_texts_only() -> None:
    settings = from_uri(
        "reshape://:TOKEN@dre2.example.com/?script_id=AB12CD34&api=webhooks&environment=DEV&verify=false&timeout=2.5"
        "&data_source=crm&test_route=true&proxies=http%3A%2F%2Fproxy%3A3128&allow_http=0&ca_path=%2Fetc%2Fca.pem"
    )
    destination = settings.destination
    assert destination.path == "/webhooks/reshape/event/test"
    assert (destination.verify, destination.timeout, destination.proxy) == (False, 2.5, "http://proxy:3128")
    assert destination.ca_path == "/etc/ca.pem"
    assert (settings.generation, settings.environment, settings.data_source) == ("webhooks", "dev", "crm")


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "https://dre2.example.com"}, "https://dre2.example.com"),
        ({"host": " https://dre2.example.com/ "}, "https://dre2.example.com"),
        ({"host": "HTTPS://dre2.example.com:8443/"}, "https://dre2.example.com:8443"),
        ({"host": "dre2.example.com:8443"}, "https://dre2.example.com:8443"),
        ({"host": "dre2.example.com:8443", "port": 9443}, "https://dre2.example.com:9443"),
        ({"host": "dre2.example.com", "port": 443}, "https://dre2.example.com:443"),
        ({"host": "http://dre2.example.com", "schema": "https"}, "https://dre2.example.com"),
        ({"host": "dre2.example.com", "schema": "HTTPS "}, "https://dre2.example.com"),
        ({"host": "xn--mnchen-3ya.example"}, "https://xn--mnchen-3ya.example"),
        ({"host": "127.0.0.1:8080", "schema": "http"}, "http://127.0.0.1:8080"),
        ({"host": "http://localhost:8080"}, "http://localhost:8080"),
        ({"host": "::1", "schema": "http"}, "http://[::1]"),
        ({"host": "[::1]", "schema": "http", "port": 8080}, "http://[::1]:8080"),
        ({"host": "[::1]:8080", "schema": "http"}, "http://[::1]:8080"),
        ({"host": "http://[::1]:8080"}, "http://[::1]:8080"),
        ({"host": "2001:db8::7"}, "https://[2001:db8::7]"),
    ],
)
def test_the_host_as_people_paste_it(fields: dict[str, Any], url: str) -> None:
    assert from_json(**fields).destination.base_url == url


@pytest.mark.parametrize(
    "host",
    [
        None, "", "  ", "https://", "a b", "dre2..example.com", ".example.com", "-x.example.com", "dre2.example.com\\x",
        "user@dre2.example.com", "https://user:secret@dre2.example.com", "dre2.example.com?id=AB12CD34",
        "https://dre2.example.com#top", "dre2.example.com:", "dre2.example.com:https", "dre2.example.com:1:2", "[::1",
        "::1]:80", "[dre2.example.com]", "a" * 64 + ".example.com", ".".join(["a" * 60] * 5), "dre2.example.com\nX: y",
        "dre2.éxample\u0000.com",
    ],
)  # fmt: skip
def test_a_host_that_cannot_be_one(host: str | None) -> None:
    if host == "dre2.example.com:":  # an empty port is none
        assert from_json(host=host).destination.base_url == "https://dre2.example.com"
    else:
        assert "host" in problem(host=host)


@pytest.mark.parametrize(
    "host", ["dre2.example.com/reshape", "https://dre2.example.com/reshape/standard/event?id=AB12CD34"]
)
def test_a_host_with_a_path(host: str) -> None:
    assert "without a path" in problem(host=host)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_cannot_be_one(port: int) -> None:
    if port == 0:  # Airflow's form gives 0 for an empty field
        assert from_json(port=port).destination.base_url == "https://dre2.example.com"
    else:
        assert "port" in problem(port=port)


def test_plain_http_goes_to_this_machine_only() -> None:
    for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"):
        assert is_loopback(host)
        assert from_json(host=host, schema="http").destination.base_url.startswith("http://")
    for host in ("dre2.example.com", "localhost.example.com", "10.0.0.1", "0.0.0.0", "128.0.0.1", "::2"):
        assert not is_loopback(host)
        assert "in clear" in problem(host=host, schema="http")
        assert "in clear" in problem(host=f"http://{f'[{host}]' if ':' in host else host}")


@pytest.mark.parametrize("allowed", [True, "true", 1, "1"])
def test_plain_http_can_be_allowed(allowed: object) -> None:
    extra = {"script_id": "AB12CD34", "allow_http": allowed}
    assert from_json(schema="http", extra=extra).destination.base_url == "http://dre2.example.com"


def test_another_schema() -> None:
    assert "schema" in problem(schema="ftp")
    assert "schema" in problem(host="ftp://dre2.example.com")
    assert "schema" in problem(schema="reshape")


EMPTY = {
    "script_id": "AB12CD34",
    **dict.fromkeys(("api", "environment", "test_route", "data_source", "timeout", "verify", "ca_path", "proxies")),
}


@pytest.mark.parametrize("nothing", [None, ""])
def test_fields_of_the_form_that_were_left_empty(nothing: str | None) -> None:
    empty = {name: value or nothing for name, value in EMPTY.items()}
    assert from_json(extra=empty, schema=nothing, login=nothing) == from_json()


def test_the_names_that_older_forms_store() -> None:
    extra = {"extra__reshape__script_id": "AB12CD34", "extra__reshape__environment": "dev"}
    assert from_json(extra=extra).environment == "dev"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("enviroment", "did you mean environment?"),
        ("scriptid", "did you mean script_id?"),
        ("verify_ssl", "did you mean verify?"),
        ("X-Dre-Access-Token", "there are script_id"),
    ],
)
def test_an_unknown_extra_is_an_error_with_the_nearest_name(name: str, hint: str) -> None:
    text = problem(extra={"script_id": "AB12CD34", name: TOKEN})
    assert repr(name) in text
    assert hint in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("script_id", "ab12cd34"), ("script_id", "AB12CD3"), ("script_id", "AB12CD345"), ("script_id", "AB12CD3!"),
        ("api", "v2"), ("api", True), ("environment", "test"), ("environment", ["prod"]),
        ("test_route", "perhaps"), ("test_route", []), ("verify", "/etc/ca.pem"), ("allow_http", 2),
        ("timeout", 0), ("timeout", -1), ("timeout", "soon"), ("timeout", 3601), ("timeout", "nan"), ("timeout", [5]),
        ("proxies", "socks5://proxy:1080"), ("proxies", "http://"), ("proxies", 3128), ("proxies", ["http://proxy"]),
        ("proxies", '{"https": '), ("proxies", {"https://": "http://proxy"}), ("proxies", {"https": 5}),
        ("proxies", "http://proxy:port"), ("proxies", "http://user:pass word@pro xy"), ("proxies", "proxy:99999"),
    ],
)  # fmt: skip
def test_an_extra_with_a_bad_value(name: str, value: object) -> None:
    text = problem(extra={"script_id": "AB12CD34", name: value})
    assert f"extra {name!r} must be" in text
    assert "pass word" not in text


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = problem(host="", schema="ftp", extra={"timeout": 0, "enviroment": "dev"})
    for part in ("host", "schema", "timeout", "enviroment", "script_id"):
        assert part in text


def test_a_script_id_given_as_a_number() -> None:
    assert from_json(extra={"script_id": 12345678}).destination.script_id == "12345678"


def test_the_test_route() -> None:
    settings = from_extra(api="webhooks", test_route=True)
    assert settings.destination.path == "/webhooks/reshape/event/test"
    assert settings.environment == "dev"
    assert "test_route" in problem(extra={"script_id": "AB12CD34", "test_route": True})


@pytest.mark.parametrize("token", [None, "", "   "])
def test_no_token(token: str | None) -> None:
    with pytest.raises(ReshapeCredentialsError, match="password"):
        from_json(password=token)


@pytest.mark.parametrize("character", ["\n", "\r\nX-Other: 1", "\x00", "é", "\u200b", "\t"])
def test_a_token_that_no_header_can_carry(character: str) -> None:
    text = problem(password=f"{TOKEN}{character}end")
    assert "password" in text
    assert "end" not in text.replace("send", "")


def test_blanks_around_a_pasted_token_are_no_part_of_it() -> None:
    assert from_json(password=f" {TOKEN}\n").destination.token == TOKEN


@pytest.mark.parametrize(
    ("proxies", "proxy"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        (" http://proxy:3128 ", "http://proxy:3128"),
        ("proxy.example.com:3128", "http://proxy.example.com:3128"),
        ("http://user:secret@proxy:3128", "http://user:secret@proxy:3128"),
        ({"https": "http://proxy:3128", "http": "http://other:3128"}, "http://proxy:3128"),
        ('{"https": "http://proxy:3128"}', "http://proxy:3128"),
        ({"http": "http://other:3128"}, None),
        ({"https": ""}, None),
        ({}, None),
    ],
)
def test_proxies(proxies: object, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://of-the-environment:3128")
    settings = from_extra(proxies=proxies)
    assert settings.destination.proxy == proxy
    assert "secret" not in repr(settings)


def test_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_json().destination.proxy is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    assert from_json().destination.proxy == "http://proxy:3128"
    assert from_json(host="127.0.0.1").destination.proxy is None
    assert from_json(host="localhost").destination.proxy is None
    assert from_json(schema="http", extra={"script_id": "AB12CD34", "allow_http": True}).destination.proxy is None
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert from_json().destination.proxy is None


def test_a_proxy_of_the_environment_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:pass@proxy:1080")
    with pytest.raises(ReshapeConfigurationError, match="HTTPS_PROXY") as caught:
        from_json()
    assert "pass" not in str(caught.value)
    assert from_extra(proxies={}).destination.proxy is None


extras = st.dictionaries(
    st.sampled_from(sorted([*EMPTY, "allow_http", "other"])),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.lists(st.text(max_size=3))
    | st.dictionaries(st.text(max_size=5), st.text(max_size=9)),
)


@given(st.text(max_size=30), st.text(max_size=8), extras)
def test_any_connection_is_read_or_told_to_be_wrong(host: str, schema: str, extra: dict[str, Any]) -> None:
    connection = Connection(conn_id="c", conn_type="reshape", host=host, schema=schema, password=TOKEN)
    connection.extra = json.dumps(extra)
    told = ""
    try:
        settings = read_settings(connection)
    except ReshapeError as error:
        told = str(error)
    else:
        assert settings.destination.base_url.startswith(("https://", "http://"))
    assert TOKEN not in told
