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
from pydantic.fields import FieldInfo

from airflow_reshape.command_line.app import app
from airflow_reshape.decorators.reshape import ReshapeDecoratedOperator
from airflow_reshape.events import models
from airflow_reshape.events.rules import OnBadField
from airflow_reshape.events.wire import WIRE_FORMS
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.hooks.plan import ARGUMENT_RULES, SendPlan
from airflow_reshape.mapping.field_map import UnknownColumns
from airflow_reshape.operators.events import BaseReshapeOperator, ReshapeSendEventsOperator
from airflow_reshape.operators.replay import ReshapeReplayOperator
from airflow_reshape.sandbox.__main__ import cli as sandbox
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

PARAM = re.compile(r":param (\w+): (.*?)(?=\n\s*:(?:param|raises|returns)|\Z)", re.DOTALL)
ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
CHOICES = {"OnBadField": OnBadField, "UnknownColumns": UnknownColumns}
EVENTS = ("lead_qualified", "lead_disqualified", "lead_created", "lead_closed")

# Where a field stands: S1 the lead_qualified page, S2 the lead_disqualified page, KB other pages of the knowledge base.
# S1 and S2 name every field that is not listed here.
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
                _without_default(said[each.name], each.default),
                rule(each.name),
            )
            for each in dataclasses.fields(SendPlan)
            if each.init
        ),
    )


def templated() -> str:
    """Which arguments each operator renders."""
    shared = BaseReshapeOperator.template_fields
    own = {
        f"`{getattr(operator, 'custom_operator_name', operator.__name__)}`": operator.template_fields
        for operator in (
            ReshapeSendEventsOperator,
            SqlToReshapeOperator,
            ReshapeReplayOperator,
            ReshapeDecoratedOperator,
        )
    }
    rows = {"all": shared, **{who: [name for name in names if name not in shared] for who, names in own.items()}}
    return table(("Operator", "Templated"), ((who, ", ".join(f"`{n}`" for n in rows[who])) for who in rows))


def rule(argument: str) -> str:
    """What a send says of a wrong value of an argument."""
    if argument in ARGUMENT_RULES:
        return ARGUMENT_RULES[argument][1].removeprefix("must be ")
    try:
        SendPlan(event="lead_qualified", **{argument: "?"})  # type: ignore[arg-type]  # that is the point
    except ReshapeConfigurationError as error:
        return str(error).removeprefix(f"{argument} ").removeprefix("must be ")
    raise AssertionError(f"{argument} takes anything")


def event_fields() -> str:
    """Every field: which events need it, how each generation writes it, and where that stands."""
    return table(("Field", "Type", "Required by", "`standard`", "`webhooks`", "Source"), _field_rows())


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
            written = [_written(generation, part, name) for generation in ("standard", "webhooks")]
            yield f"`{path}`", _kind(field.annotation), _needs(part, name), *written, SOURCES.get(path, "S1, S2")
    for name in models.DisqualificationProperties.model_fields:
        need = "`lead_disqualified`" if name == "disqualification_reason" else ""
        yield f"`event.properties.{name}`", "text", need, "", "", "S2"
    cookies = ["list" if isinstance(form.cookies({}), list) else "object" for form in WIRE_FORMS.values()]
    yield "`cookies.*`", "text", "", *cookies, SOURCES["cookies.*"]


def _needs(part: str, name: str) -> str:
    """The events that need a field, and those that leave it out."""
    if part == "consent":
        return ""
    need = [event for event in EVENTS if (field := _field(event, part, name)) and field.is_required()]
    never = [f"left out of `{event}`" for event in EVENTS if _field(event, part, name) is None]
    if (part, name) == ("event", "name") or len(need) == len(EVENTS):
        return "all"
    return ", ".join([*(f"`{event}`" for event in need), *never])


def _field(event: str, part: str, name: str) -> FieldInfo | None:
    held = models.model_for(event).model_fields[part].annotation
    model = next((each for each in (held, *get_args(held)) if _is_model(each)), None)
    return model.model_fields.get(name) if model else None


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _written(generation: Any, part: str, name: str) -> str:
    form = WIRE_FORMS[generation]
    if part == "consent" and not form.sends_consent:
        return "not sent"
    other = form.context_names.get(name) if part == "context" else None
    return f"`{part}.{other}`" if other else ""


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
                f"`{_option(each)}`",
                "required" if each.required else ("" if each.default is None else f"`{each.default}`"),
                getattr(each, "help", None) or "",
            )
            for each in command.params
        ),
    )
    return f"**`{call}`**: {markdown((command.help or '').splitlines()[0])}\n\n{shown}"


def _option(each: Any) -> str:
    if each.param_type_name == "argument":
        return str(each.name).upper()
    return " / ".join([*each.opts, *each.secondary_opts])


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


def _without_default(text: str, default: Any) -> str:
    """A text without its last sentence, if that says no more than the column of defaults."""
    shown = "none" if default is None else _default(default).strip('"')
    return re.sub(rf" Default `?{re.escape(shown)}`?\.$", "", text)


TABLES: dict[str, Callable[[], str]] = {each.__name__: each for each in (arguments, templated, event_fields, commands)}
