"""The tables of the reference, made from the code, so that they cannot differ from it. Each is Markdown."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from pydantic import BaseModel

from airflow_reshape.command_line.app import app
from airflow_reshape.events import models
from airflow_reshape.events.rules import OnBadField
from airflow_reshape.events.wire import WIRE_FORMS
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.get_provider_info import get_provider_info
from airflow_reshape.hooks.plan import ARGUMENT_RULES, SendPlan
from airflow_reshape.hooks.settings import EXTRAS
from airflow_reshape.mapping.field_map import UnknownColumns
from airflow_reshape.operators.events import BaseReshapeOperator
from airflow_reshape.sandbox.__main__ import cli as sandbox

PARAM = re.compile(r":param (\w+): (.*?)(?=\n\s*:(?:param|raises|returns)|\Z)", re.DOTALL)
ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
CHOICES = {"OnBadField": OnBadField, "UnknownColumns": UnknownColumns}
EVENTS = ("lead_qualified", "lead_disqualified", "lead_created", "lead_closed")

# Where a field stands: S1 the lead_qualified page, S2 the lead_disqualified page, KB the knowledge base. Both pages
# name every field that is not listed here.
SOURCES = {
    "event.exchange_rate": "S1",
    "user.new_customer": "S1's code samples",
    "context.data_source": "S1's examples, KB",
    "context.user_agent": "S1's examples, KB",
    "context.override_ip": "S1's examples, KB",
    "context.landing_url": "S1's examples, KB",
    "context.referrer_url": "S1's examples, KB",
    "cookies.*": "KB",
    "consent.analytics": "KB",
    "consent.personalization": "KB",
    "consent.marketing": "KB",
    "consent.id": "KB",
}


def documented(docstring: str | None) -> dict[str, str]:
    """What a docstring says of each parameter, as Markdown."""
    return {name: markdown(text) for name, text in PARAM.findall(docstring or "")}


def markdown(text: str) -> str:
    """A docstring's text as one line of Markdown."""
    return ROLE.sub(r"`\1`", " ".join(text.split())).replace("``", "`")


def arguments() -> str:
    """Every argument that all senders share."""
    said = documented(SendPlan.__doc__)
    templated = set(BaseReshapeOperator.template_fields)
    return table(
        ("Argument", "Type", "Default", "What it is", "Must be"),
        (
            (
                f"`{each.name}`" + (" (templated)" if each.name in templated else ""),
                f"`{_type(str(each.type))}`",
                f"`{_default(each.default)}`",
                said[each.name],
                rule(each.name),
            )
            for each in dataclasses.fields(SendPlan)
            if each.init
        ),
    )


def rule(argument: str) -> str:
    """What a send says of a wrong value of an argument."""
    if argument in ARGUMENT_RULES:
        return ARGUMENT_RULES[argument][1].removeprefix("must be ")
    try:
        SendPlan(event="lead_qualified", **{argument: "?"})  # type: ignore[arg-type]  # that is the point
    except ReshapeConfigurationError as error:
        return str(error).removeprefix(f"{argument} ").removeprefix("must be ")
    raise AssertionError(f"{argument} takes anything")


def extras() -> str:
    """Every extra of the connection."""
    form = get_provider_info()["connection-types"][0]["conn-fields"]
    return table(
        ("Extra", "Default", "What it is", "Must be"),
        (
            (
                f"`{name}`",
                "" if extra.default is None else f"`{_default(extra.default)}`",
                form[name]["description"],
                extra.rule.removeprefix("must be "),
            )
            for name, extra in EXTRAS.items()
        ),
    )


def event_fields() -> str:
    """Every field: in which event it is required, how each generation writes it, and where that stands."""
    return table(
        ("Field", "Type", *(f"`{name}`" for name in EVENTS), "`standard`", "`webhooks`", "Source"),
        _field_rows(),
    )


def _field_rows() -> Iterable[Sequence[str]]:
    parts: tuple[tuple[str, type[BaseModel]], ...] = (
        ("event", models.EventDetails),
        ("user", models.User),
        ("context", models.Context),
        ("consent", models.Consent),
    )
    for part, model in parts:
        for name, field in model.model_fields.items():
            path = f"{part}.{name}"
            needs = [_need(event, part, name) for event in EVENTS]
            written = [_written(generation, part, name) for generation in ("standard", "webhooks")]
            yield f"`{path}`", _kind(field.annotation), *needs, *written, SOURCES.get(path, "S1, S2")
    for name in models.DisqualificationProperties.model_fields:
        path = f"`event.properties.{name}`"
        need = "required" if name == "disqualification_reason" else "optional"
        yield path, "text", "optional", need, "optional", "optional", "as named", "as named", "S2"
    cookies = ["list" if isinstance(form.cookies({}), list) else "object" for form in WIRE_FORMS.values()]
    yield "`cookies.*`", "text", *["optional"] * len(EVENTS), *cookies, SOURCES["cookies.*"]


def _need(event: str, part: str, name: str) -> str:
    held = models.model_for(event).model_fields[part].annotation
    model = next((each for each in (held, *get_args(held)) if _is_model(each)), None)
    field = model.model_fields.get(name) if model else None
    if field is None:
        return "left out"
    if part == "event" and name == "name":
        return "fixed"
    if part == "consent":
        return "optional"
    return "required" if field.is_required() else "optional"


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _written(generation: Any, part: str, name: str) -> str:
    form = WIRE_FORMS[generation]
    if part == "consent" and not form.sends_consent:
        return "not sent"
    other = form.context_names.get(name) if part == "context" else None
    return f"`{part}.{other}`" if other else "as named"


def _kind(annotation: Any) -> str:
    kinds = set(_plain(annotation))
    if list in kinds:
        return "text, or a list of texts"
    if {int, float} <= kinds:
        return "number"
    names = {str: "text", bool: "boolean", int: "milliseconds", dict: "map"}
    return next((names[kind] for kind in names if kind in kinds), "text")


def _plain(annotation: Any) -> Iterable[Any]:
    """The classes that an annotation is made of, outermost only."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _plain(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from _plain(each)
    else:
        yield origin or annotation


def commands() -> str:
    """Every command with its options."""
    group: Any = typer.main.get_command(app)
    told = [_command(f"python -m airflow_reshape {name}", command) for name, command in group.commands.items()]
    return "\n\n".join([*told, _command("python -m airflow_reshape.sandbox", typer.main.get_command(sandbox))])


def _command(call: str, command: Any) -> str:
    shown = table(
        ("Option", "Default", "What it is"),
        (
            (
                f"`{' / '.join([*each.opts, *each.secondary_opts])}`",
                "required" if each.required else ("" if each.default is None else f"`{each.default}`"),
                getattr(each, "help", None) or "",
            )
            for each in command.params
        ),
    )
    return f"**`{call}`**: {markdown((command.help or '').splitlines()[0])}\n\n{shown}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar inside of a cell stays one."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _type(written: str) -> str:
    for name, choice in CHOICES.items():
        written = written.replace(name, " | ".join(json.dumps(each) for each in get_args(choice)))
    return written


def _default(value: Any) -> str:
    if isinstance(value, timedelta):
        days, seconds = value.days, value.seconds
        return f"{days} days" if days else f"{seconds // 60} minutes"
    return json.dumps(value) if isinstance(value, str) else str(value)


TABLES: dict[str, Callable[[], str]] = {each.__name__: each for each in (arguments, extras, event_fields, commands)}
