"""How the sandbox is asked to misbehave: the model behind ``--faults`` and ``/control/faults``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=3600)]
ErrorStatus = Annotated[int, Field(ge=400, le=599)]
Garbage = Literal[
    "text",
    "html",
    "error_json",
    "empty",
    "echo",
    "big_detail",
    "big_error",
    "mark",
    "mark_error",
    "utf16_error",
    "php_error",
    "deep_error",
]


class Faults(BaseModel):
    """One layer of misbehaviour. Of several layers the first that strikes answers; delays add up.

    Shares are parts of 1 and exclude each other, so together they may not exceed 1. Whether a share strikes
    is drawn from ``seed``, event name, event id and attempt: the same event has the same fate in every run,
    in any order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: list[str] | None = Field(None, description="Strike only events of these names.")
    ids: list[str] | None = Field(None, description="Strike only events with these ids.")
    seed: int = Field(0, description="Another seed, other victims.")

    outage: ErrorStatus | None = Field(None, description="Refuse everything with this status until cleared.")
    outage_for: Seconds | None = Field(None, description="The outage ends by itself after so many seconds.")
    max_concurrent: int | None = Field(None, ge=1, description="Refuse what comes while so many are in work.")
    max_concurrent_status: Literal[429, 503] = 503
    rate_limit: float | None = Field(None, gt=0, description="Events per second.")
    rate_burst: int | None = Field(None, ge=1, description="Events at once; default one second's worth.")
    rate_status: Literal[429, 503] = 429
    retry_after: Literal["seconds", "http-date"] | None = Field(
        None, description="Form of the Retry-After header on 408, 425, 429 and 5xx answers; none by default."
    )
    retry_after_wait: Seconds = Field(1, description="Its seconds, where the fault itself knows none.")

    fail_first: int = Field(0, ge=0, description="Refuse the first attempts of every (name, id).")
    fail_first_status: ErrorStatus = 503

    statuses: dict[ErrorStatus, Share] = Field(default_factory=dict, description='Shares, {"500": 0.1}.')
    reset_before: Share = Field(0, description="TCP reset, event not taken.")
    reset_after: Share = Field(0, description="TCP reset, event taken.")
    half_close_before: Share = Field(0, description="End of stream without an answer, event not taken.")
    half_close_after: Share = Field(0, description="End of stream without an answer, event taken.")
    babble_before: Share = Field(0, description="Bytes that are no HTTP, then the end of the stream, event not taken.")
    babble_after: Share = Field(0, description="Bytes that are no HTTP, then the end of the stream, event taken.")
    break_off_before: Share = Field(0, description="The stream ends in the middle of an answer, event not taken.")
    break_off_after: Share = Field(0, description="The stream ends in the middle of an answer, event taken.")
    hang_before: Share = Field(0, description="Never answer, event not taken.")
    hang_after: Share = Field(0, description="Never answer, event taken.")
    hang_seconds: Seconds = Field(60, description="A hanging or half-closed connection is reset after this.")
    garbage: dict[Garbage, Share] = Field(
        default_factory=dict,
        description="Shares of odd answers with status 200. text, empty and mark (ok behind a byte order mark): the "
        "event was taken; html (a login page) and error_json (result is not ok): it was not. Nor in other refusals: "
        "echo (quotes the user, with SHA-256), big_detail (60 kB in one word), big_error (longer than 64 KiB), "
        "mark_error, utf16_error, php_error (behind a warning of PHP) and deep_error (nested deeply).",
    )
    redirect: Share = Field(0, description="Redirect, event not taken.")
    redirect_to: str | None = Field(None, pattern=r"^[\x21-\x7e]+$", description="The Location of a redirect.")
    redirect_status: Literal[301, 302, 303, 307, 308] = 302

    latency: Seconds = Field(0, description="Seconds before every answer.")
    jitter: Seconds = Field(0, description="Up to so many seconds more.")
    latency_above: int | None = Field(None, ge=0, description="Beyond so many requests in work, answers get slower …")
    latency_per_extra: Seconds = Field(0, description="… by so many seconds for each one beyond.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        shares = (
            *self.statuses.values(),
            *self.garbage.values(),
            self.reset_before,
            self.reset_after,
            self.half_close_before,
            self.half_close_after,
            self.babble_before,
            self.babble_after,
            self.break_off_before,
            self.break_off_after,
            self.hang_before,
            self.hang_after,
            self.redirect,
        )
        if sum(shares) > 1 + 1e-9:
            raise ValueError("the shares add up to more than 1")
        if self.redirect and not self.redirect_to:
            raise ValueError("redirect needs redirect_to")
        return self


def _layers(given: Any) -> Any:
    return given if isinstance(given, list) else [given]


_PLAN: TypeAdapter[list[Faults]] = TypeAdapter(Annotated[list[Faults], BeforeValidator(_layers)])
RULES = {"extra_forbidden": "there is no such fault", "model_type": "must be a JSON object"}
"""What is wrong, by pydantic's type of error, where its own words would name a class."""


def read_plan(json_text: str | bytes) -> tuple[Faults, ...]:
    """Layers of faults from JSON: one object, or an array of them.

    :param json_text: the JSON.
    :raises ValueError: it is not JSON or asks for something unknown; the text tells field and rule.
    """
    try:
        return tuple(_PLAN.validate_json(json_text))
    except ValidationError as error:
        # Only from here: what pydantic writes of the whole names its classes.
        raise ValueError("; ".join(_told(each["loc"], each["type"], each["msg"]) for each in error.errors())) from None


def _told(location: tuple[int | str, ...], kind: str, text: str) -> str:
    """Field and rule of one error; of several layers, the first need not be named."""
    number, *path = location or (0,)
    layer = f"layer {number + 1}" if isinstance(number, int) and number else ""
    field = ".".join(str(part) for part in path if part != "[key]")
    rule = RULES.get(kind) or text.removeprefix("Value error, ").replace("Input should be", "must be")
    return ": ".join(part for part in (layer, field, rule) if part)
