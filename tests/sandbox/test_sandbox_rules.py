"""Each rule of the API, in each generation: what breaks it, what keeps it, and how the breach is named."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from airflow_reshape.sandbox.judge import Judge
from airflow_reshape.sandbox.schemas import GENERATIONS, Generation, Strictness

STRICT = Judge()
GONE = object()
HASH = hashlib.sha256(b"ana.ionescu@example.com").hexdigest()
EMAIL, PHONE = "ana.ionescu@example.com", "+40722123456"

BOTH = GENERATIONS
STANDARD: tuple[Generation, ...] = ("standard",)
WEBHOOKS: tuple[Generation, ...] = ("webhooks",)

BASES: dict[str, dict[str, Any]] = {
    "lead_qualified": {"event": {"name": "lead_qualified", "currency": "EUR", "id": "q-1"}, "user": {"id": "c-1"}},
    "lead_disqualified": {
        "event": {
            "name": "lead_disqualified",
            "value": 0,
            "currency": "EUR",
            "id": "lead-1",
            "properties": {"disqualification_reason": "no_budget"},
        },
        "user": {"id": "c-1"},
    },
    "lead_created": {"event": {"name": "lead_created", "id": "lead-1"}},
    "lead_closed": {"event": {"name": "lead_closed", "value": 2500, "currency": "EUR", "id": "lead-1"}},
    "newsletter_joined": {"event": {"name": "newsletter_joined"}},
}
QUALIFIED, DISQUALIFIED, CREATED, CLOSED, GENERIC = BASES
LEADS = (QUALIFIED, DISQUALIFIED, CREATED, CLOSED)
ALL = tuple(BASES)


def changed(event: str, path: str, value: Any) -> dict[str, Any]:
    """The base body of an event with one field set or left out."""
    body = copy.deepcopy(BASES[event])
    *parents, last = path.split("/")
    here: dict[str, Any] = body
    for parent in parents:
        here = here.setdefault(parent, {})
    if value is GONE:
        del here[last]
    else:
        here[last] = value
    return body


def found(generation: Generation, body: Any, judge: Judge = STRICT) -> set[tuple[str, str]]:
    return {(violation.field, violation.rule) for violation in judge.violations(generation, body)}


@pytest.mark.parametrize("generation", BOTH)
@pytest.mark.parametrize("event", ALL)
def test_the_least_an_event_must_hold_is_enough(event: str, generation: Generation) -> None:
    assert found(generation, BASES[event]) == set()


REQUIRED = [
    *((event, "event/name") for event in (GENERIC,)),
    (QUALIFIED, "event/currency"),
    (QUALIFIED, "event/id"),
    (DISQUALIFIED, "event/value"),
    (DISQUALIFIED, "event/currency"),
    (DISQUALIFIED, "event/id"),
    (DISQUALIFIED, "event/properties"),
    (DISQUALIFIED, "event/properties/disqualification_reason"),
    (DISQUALIFIED, "user"),
    (CREATED, "event/id"),
    (CLOSED, "event/value"),
    (CLOSED, "event/currency"),
    (CLOSED, "event/id"),
    *((event, "event") for event in (GENERIC,)),
]


@pytest.mark.parametrize("generation", BOTH)
@pytest.mark.parametrize(("event", "path"), REQUIRED)
def test_a_required_field_is_missed(event: str, path: str, generation: Generation) -> None:
    assert found(generation, changed(event, path, GONE)) == {(path.replace("/", "."), "required")}


# event, generations, field, value, rule it breaks (None: it is right)
TABLE: list[tuple[tuple[str, ...], tuple[Generation, ...], str, Any, str | None]] = [
    # event.value, exchange_rate, currency, id
    (ALL, BOTH, "event/value", 750.25, None),
    (ALL, BOTH, "event/value", "750", "number"),
    (ALL, BOTH, "event/value", True, "number"),
    (ALL, BOTH, "event/value", None, "number"),
    ((QUALIFIED, CREATED, CLOSED, GENERIC), BOTH, "event/exchange_rate", 4.97, None),
    ((QUALIFIED, CREATED, CLOSED, GENERIC), BOTH, "event/exchange_rate", "1", "number"),
    ((DISQUALIFIED,), BOTH, "event/exchange_rate", 1, "unknown"),
    (ALL, BOTH, "event/currency", "USD", None),
    (ALL, BOTH, "event/currency", "usd", "currency"),
    (ALL, BOTH, "event/currency", "EURO", "currency"),
    (ALL, BOTH, "event/currency", "QQQ", "currency"),
    (ALL, BOTH, "event/currency", "EUR\n", "currency"),
    (ALL, BOTH, "event/currency", 978, "currency"),
    (ALL, BOTH, "event/id", 17, "text"),
    (ALL, BOTH, "event/id", "", "text"),
    (ALL, BOTH, "event/ID", "x", "unknown"),
    (ALL, BOTH, "event/occurred_at", "2026-01-01", "unknown"),
    # event.properties: a free map of texts, numbers, booleans and arrays of texts
    (ALL, BOTH, "event/properties/score", 12.5, None),
    (ALL, BOTH, "event/properties/met", True, None),
    (ALL, BOTH, "event/properties/note", "", None),
    (ALL, BOTH, "event/properties/sources", ["fair", "mail"], None),
    (ALL, BOTH, "event/properties/nothing", None, "property"),
    (ALL, BOTH, "event/properties/nested", {"a": 1}, "property"),
    ((QUALIFIED, GENERIC), BOTH, "event/properties", ["a"], "object"),
    # the reason: required, vocabulary open
    ((DISQUALIFIED,), BOTH, "event/properties/disqualification_reason", "moved_abroad", None),
    ((DISQUALIFIED,), BOTH, "event/properties/disqualification_reason", "", "text"),
    ((DISQUALIFIED,), BOTH, "event/properties/disqualification_reason", 3, "text"),
    # user: e-mail and phone
    (ALL, BOTH, "user/email", EMAIL, None),
    (ALL, BOTH, "user/phone", PHONE, None),
    ((QUALIFIED, CREATED, CLOSED, GENERIC), STANDARD, "user/email", HASH, None),
    ((QUALIFIED, CREATED, CLOSED, GENERIC), STANDARD, "user/email", [EMAIL, HASH, HASH.upper()], None),
    ((QUALIFIED, CREATED, CLOSED, GENERIC), STANDARD, "user/phone", HASH, None),
    ((QUALIFIED, CREATED, CLOSED, GENERIC), STANDARD, "user/phone", [PHONE, HASH], None),
    (ALL, WEBHOOKS, "user/email", HASH, "plaintext-email"),
    (ALL, WEBHOOKS, "user/email", [EMAIL], "plaintext-email"),
    (ALL, WEBHOOKS, "user/phone", HASH, "plaintext-phone"),
    (ALL, WEBHOOKS, "user/phone", [PHONE], "plaintext-phone"),
    ((DISQUALIFIED,), STANDARD, "user/email", HASH, "plaintext-email"),
    ((DISQUALIFIED,), STANDARD, "user/email", [EMAIL], "plaintext-email"),
    ((DISQUALIFIED,), STANDARD, "user/phone", HASH, "plaintext-phone"),
    ((DISQUALIFIED,), STANDARD, "user/phone", [PHONE], "plaintext-phone"),
    ((QUALIFIED, GENERIC), STANDARD, "user/email", HASH[:-1], "email"),
    ((QUALIFIED, GENERIC), STANDARD, "user/email", [], "email"),
    ((QUALIFIED, GENERIC), STANDARD, "user/phone", [], "phone"),
    ((DISQUALIFIED,), BOTH, "user/phone", "+10000000000", None),
    ((DISQUALIFIED,), BOTH, "user/phone", "+1555987654", "plaintext-phone"),
    ((DISQUALIFIED,), BOTH, "user/phone", "+4079876543", "plaintext-phone"),
    ((DISQUALIFIED,), BOTH, "user/phone", "0722123456", "plaintext-phone"),
    ((DISQUALIFIED,), BOTH, "user/phone", "+40 722 123 456", "plaintext-phone"),
    ((DISQUALIFIED,), BOTH, "user/phone", "0040722123456", "plaintext-phone"),
    ((DISQUALIFIED,), BOTH, "user/phone", "+99912345678", "plaintext-phone"),
    ((DISQUALIFIED,), BOTH, "user/phone", "+12530000", "plaintext-phone"),
    ((DISQUALIFIED,), BOTH, "user/phone", 40722123456, "plaintext-phone"),
    ((QUALIFIED,), STANDARD, "user/phone", "+1555987654", "phone"),
    # user: the rest
    (ALL, BOTH, "user/created_at", 1_754_926_521_690, None),
    (ALL, BOTH, "user/created_at", 1_754_926_521, "milliseconds"),
    (ALL, BOTH, "user/created_at", 1_754_926_521_690_000, "milliseconds"),
    (ALL, BOTH, "user/created_at", "2025-08-11", "milliseconds"),
    (ALL, BOTH, "user/new_customer", False, None),
    (ALL, BOTH, "user/new_customer", "true", "boolean"),
    (ALL, BOTH, "user/orders_total_number", 5, None),
    (ALL, BOTH, "user/orders_total_value", "12.50", "number"),
    (ALL, BOTH, "user/predicted_value", 100.99, None),
    (ALL, BOTH, "user/first_name", "Ştefan", None),
    (ALL, BOTH, "user/last_name", "", "text"),
    (ALL, BOTH, "user/postal_code", 700000, "text"),
    (ALL, BOTH, "user/country", "RO", None),
    (ALL, BOTH, "user/properties/tags", ["a", "b"], None),
    (ALL, BOTH, "user/properties/since", None, "property"),
    (ALL, BOTH, "user/e_mail", EMAIL, "unknown"),
    (ALL, BOTH, "user/order_total_number", 1, "unknown"),
    # context
    (ALL, BOTH, "context/environment", "prod", None),
    (ALL, BOTH, "context/environment", "dev", None),
    (ALL, BOTH, "context/environment", "production", "environment"),
    (ALL, BOTH, "context/data_source", "crm_system", None),
    (ALL, BOTH, "context/data_source", "", "text"),
    (ALL, BOTH, "context/user_agent", "Mozilla/5.0", None),
    (ALL, BOTH, "context/page_type", "product", None),
    (ALL, BOTH, "context/url", "https://example.com/a?utm_source=x", None),
    (ALL, BOTH, "context/url", "/a", "url"),
    (ALL, BOTH, "context/url", "https://example.com/a b", "url"),
    (ALL, BOTH, "context/landing_url", "www.example.com", "url"),
    (ALL, STANDARD, "context/overide_ip", "203.0.113.9", None),
    (ALL, STANDARD, "context/overide_ip", "2001:db8::9", None),
    (ALL, STANDARD, "context/overide_ip", "203.0.113.900", "ip"),
    (ALL, STANDARD, "context/override_ip", "203.0.113.9", "unknown"),
    (ALL, WEBHOOKS, "context/override_ip", "203.0.113.9", None),
    (ALL, WEBHOOKS, "context/override_ip", "2001:db8::9", None),
    (ALL, WEBHOOKS, "context/override_ip", "localhost", "ip"),
    (ALL, WEBHOOKS, "context/overide_ip", "203.0.113.9", "unknown"),
    (ALL, STANDARD, "context/referring_url", "https://example.com/", None),
    (ALL, STANDARD, "context/referrer_url", "https://example.com/", "unknown"),
    (ALL, WEBHOOKS, "context/referrer_url", "https://example.com/", None),
    (ALL, WEBHOOKS, "context/referring_url", "https://example.com/", "unknown"),
    (ALL, BOTH, "context/enviroment", "prod", "unknown"),
    # cookies
    (ALL, STANDARD, "cookies", [{"name": "_ga", "value": "GA1.1.5.6"}], None),
    (ALL, STANDARD, "cookies", {"_ga": "GA1.1.5.6"}, "cookies"),
    (ALL, WEBHOOKS, "cookies", {"_ga": "GA1.1.5.6", "_fbp": ""}, None),
    (ALL, WEBHOOKS, "cookies", [{"name": "_ga", "value": "GA1.1.5.6"}], "cookies"),
    # consent
    (ALL, STANDARD, "consent", {"analytics": True, "personalization": True, "marketing": True}, "unknown"),
    (ALL, WEBHOOKS, "consent", {"analytics": True, "personalization": False, "marketing": True}, None),
    (
        ALL,
        WEBHOOKS,
        "consent",
        {"analytics": False, "personalization": False, "marketing": True, "id": "cmp-7"},
        None,
    ),
    (ALL, WEBHOOKS, "consent", [], "object"),
    # shop lists belong to other events, which carry them through
    (LEADS, BOTH, "products", [], "unknown"),
    ((GENERIC,), BOTH, "products", [{"id": "p-1", "anything": {"goes": [1, None]}}], None),
    ((GENERIC,), BOTH, "shipping", [{"method": "courier"}], None),
    ((GENERIC,), BOTH, "payments", [{"amount": 3}], None),
    ((GENERIC,), BOTH, "coupons", [{"code": "X"}], None),
    ((GENERIC,), BOTH, "coupons", {"code": "X"}, "array"),
    # the whole
    (ALL, BOTH, "users", {}, "unknown"),
    (ALL, BOTH, "context", None, "object"),
]


@pytest.mark.parametrize(
    ("event", "generation", "path", "value", "rule"),
    [
        pytest.param(event, generation, path, value, rule, id=f"{number}-{generation}-{event}-{path}")
        for number, (events, generations, path, value, rule) in enumerate(TABLE)
        for event in events
        for generation in generations
    ],
)
def test_a_rule(event: str, generation: Generation, path: str, value: Any, rule: str | None) -> None:
    expected = set() if rule is None else {(path.replace("/", "."), rule)}
    assert found(generation, changed(event, path, value)) == expected


@pytest.mark.parametrize(
    ("generation", "event", "path", "value", "expected"),
    [
        ("standard", QUALIFIED, "user/email", [EMAIL, "nobody"], {("user.email[1]", "email")}),
        ("standard", QUALIFIED, "user/phone", ["+40722123456", "0722"], {("user.phone[1]", "phone")}),
        ("standard", GENERIC, "cookies", [{"name": "_ga"}], {("cookies[0].value", "required")}),
        ("standard", GENERIC, "cookies", [{"name": "_ga", "value": 1}], {("cookies[0].value", "text")}),
        (
            "standard",
            GENERIC,
            "cookies",
            [{"name": "_ga", "value": "", "path": "/"}],
            {("cookies[0].path", "unknown")},
        ),
        ("webhooks", GENERIC, "cookies", {"_ga": 1}, {("cookies._ga", "text")}),
        ("webhooks", GENERIC, "event/properties/list", [1], {("event.properties.list[0]", "property")}),
        (
            "webhooks",
            GENERIC,
            "consent",
            {"marketing": True},
            {("consent.analytics", "required"), ("consent.personalization", "required")},
        ),
        (
            "webhooks",
            GENERIC,
            "consent",
            {"analytics": 1, "personalization": "yes", "marketing": None},
            {
                ("consent.analytics", "boolean"),
                ("consent.personalization", "boolean"),
                ("consent.marketing", "boolean"),
            },
        ),
        (
            "webhooks",
            GENERIC,
            "consent",
            {"analytics": True, "personalization": True, "marketing": True, "ads": True},
            {("consent.ads", "unknown")},
        ),
        ("webhooks", GENERIC, "products", [{}, 1], {("products[1]", "object")}),
        ("standard", GENERIC, "event/name", 5, {("event.name", "text")}),
        ("standard", GENERIC, "event/name", "", {("event.name", "text")}),
    ],
)
def test_a_breach_inside_a_list_or_object_is_named_where_it_is(
    generation: Generation, event: str, path: str, value: Any, expected: set[tuple[str, str]]
) -> None:
    assert found(generation, changed(event, path, value)) == expected


@pytest.mark.parametrize("generation", BOTH)
@pytest.mark.parametrize("user", [{}, {"first_name": "Ana"}])
def test_a_disqualified_user_must_be_somebody(user: dict[str, str], generation: Generation) -> None:
    body = changed(DISQUALIFIED, "user", user)
    assert found(generation, body) == {("user", "identifier")}
    assert found(generation, body, Judge(Strictness(require_identifier=False))) == set()


@pytest.mark.parametrize("generation", BOTH)
@pytest.mark.parametrize("field", [{"id": "c-1"}, {"email": EMAIL}, {"phone": PHONE}])
def test_any_one_identifier_is_enough(field: dict[str, str], generation: Generation) -> None:
    assert found(generation, changed(DISQUALIFIED, "user", field)) == set()


@pytest.mark.parametrize("generation", BOTH)
@pytest.mark.parametrize("body", [[], "text", 7, None, True])
def test_a_body_that_is_no_object(body: Any, generation: Generation) -> None:
    assert found(generation, body) == {("body", "object")}


@pytest.mark.parametrize(
    "email",
    [
        "ana@example.com",
        "Ana.Ionescu+crm@mail.example.co.uk",
        "o'brien@example.com",
        "ștefan@example.com",
        "a@exämple.com",
        f"{'a' * 64}@example.com",
    ],
)
def test_an_email_that_is_one(email: str) -> None:
    assert found("webhooks", changed(GENERIC, "user/email", email)) == set()


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ana",
        "ana@",
        "@example.com",
        "ana@localhost",
        "ana@@example.com",
        "ana@example..com",
        "ana.@example.com",
        ".ana@example.com",
        "ana b@example.com",
        " ana@example.com",
        "ana@example.com ",
        "ana@example.com\n",
        "ana@-example.com",
        "ana@example_1.com",
        "ana@192.0.2.1",
        "ana@example.com,bob@example.com",
        "Ana <ana@example.com>",
        f"{'a' * 65}@example.com",
        f"ana@{'a' * 64}.com",
        f"ana@{'a.' * 125}com",
    ],
)
def test_an_email_that_is_none(email: str) -> None:
    assert found("webhooks", changed(GENERIC, "user/email", email)) == {("user.email", "plaintext-email")}


def test_the_other_generations_spelling_gets_a_hint() -> None:
    (violation,) = STRICT.violations("standard", changed(GENERIC, "context/override_ip", "203.0.113.9"))
    assert "overide_ip" in violation.says


def test_a_violation_never_quotes_a_value() -> None:
    secret = "b7Yq-secret"
    body = {
        "event": {
            "name": secret,
            "value": secret,
            "currency": secret,
            "id": [secret],
            "properties": {"p": {secret: 1}},
        },
        "context": {"environment": secret, "url": secret, "overide_ip": secret},
        "user": {"email": secret, "phone": [secret], "created_at": secret, "new_customer": secret, "city": [secret]},
        "cookies": {"_ga": secret},
        "products": secret,
    }
    violations = STRICT.violations("standard", body)
    assert len(violations) > 10
    assert not any(secret in str(violation) for violation in violations)
