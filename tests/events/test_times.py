"""Times in every form that databases and CRMs know; naive ones in the zone of the send."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from airflow_reshape.events import times
from tests.events.reading import Read, base

FIXED = settings(derandomize=True, database=None, deadline=None, print_blob=True)
AT = datetime(2024, 5, 1, 10, 0, tzinfo=UTC)
MS = 1_714_557_600_000
BUCHAREST = "Europe/Bucharest"

# the same moment, whatever the zone of the send
COMPLETE = [
    AT,
    AT.astimezone(ZoneInfo("Asia/Tokyo")),
    AT.astimezone(timezone(timedelta(hours=-3, minutes=-30))),
    pendulum.instance(AT),
    "2024-05-01T10:00:00Z",
    "2024-05-01 10:00:00+00",
    "2024-05-01 10:00:00.000000+00:00",
    " 2024-05-01T13:00:00+03:00 ",
    "2024-05-01T13:00+0300",
    "20240501T100000Z",
    b"2024-05-01T10:00:00Z",
    1_714_557_600,
    1_714_557_600.0,
    Decimal(1714557600),
    "1714557600",
    "1714557600.0",
    MS,
    float(MS),
    Decimal(MS),
    str(MS),
    b"1714557600000",
]
# ten o'clock on the first of May, wherever the send says
NAIVE = [
    datetime(2024, 5, 1, 10),
    "2024-05-01T10:00:00",
    "2024-05-01 10:00",
    "2024/05/01 10:00:00",
    "20240501T100000",
]
DAYS = [date(2024, 5, 1), "2024-05-01", "20240501", "2024-W18-3", "2024/05/01", "2024-05", "2024-122"]


@pytest.mark.parametrize("given", COMPLETE)
@pytest.mark.parametrize("zone", ["UTC", BUCHAREST, "America/St_Johns"])
def test_a_complete_time(given: Any, zone: str) -> None:
    assert times.epoch_ms(given, zone) == MS
    assert times.moment(given, zone) == AT


@pytest.mark.parametrize("given", NAIVE)
@pytest.mark.parametrize(("zone", "hours"), [("UTC", 0), (BUCHAREST, 3), ("America/New_York", -4)])
def test_a_time_without_a_zone(given: Any, zone: str, hours: int) -> None:
    assert times.moment(given, zone) == AT - timedelta(hours=hours)


@pytest.mark.parametrize("given", DAYS)
def test_a_day_begins_at_midnight_of_the_zone(given: Any) -> None:
    assert times.moment(given, BUCHAREST) == datetime(2024, 5, 1, tzinfo=ZoneInfo(BUCHAREST))


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2024-03-31 02:59", "2024-03-31T00:59"),
        ("2024-03-31 03:30", "2024-03-31T01:30"),  # did not happen: the clock jumped
        ("2024-03-31 04:00", "2024-03-31T01:00"),
        ("2024-10-27 03:30", "2024-10-27T00:30"),  # happened twice: the first
        ("2024-10-27 04:30", "2024-10-27T02:30"),
        ("2024-12-01 00:00", "2024-11-30T22:00"),
    ],
)
def test_daylight_saving_time(local: str, utc: str) -> None:
    wanted = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert times.moment(local, BUCHAREST).astimezone(UTC) == wanted
    assert times.moment(datetime.fromisoformat(local), BUCHAREST).astimezone(UTC) == wanted


class NoOffset(tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, _: datetime | None) -> str:
        return "nowhere"


class Unfinished(NoOffset):
    def utcoffset(self, _: datetime | None) -> None:
        raise NotImplementedError


def test_a_zone_without_an_offset_is_none() -> None:
    assert times.moment(datetime(2024, 5, 1, 10, tzinfo=NoOffset()), BUCHAREST) == AT - timedelta(hours=3)


NO_TIMES = [
    "now",
    "today",
    "12:30",
    "6:",
    "2024-050/PT",
    "P1D",
    "2024-05-01/2024-06-01",
    "2024-13-01",
    "2024-02-30",
    "01.05.2024",
    "5",
    "",
    "yesterday",
    "\ud800",
    True,
    None,
    [],
    {},
    time(10),
    timedelta(1),
    object(),
    float("nan"),
    Decimal("sNaN"),
    b"\xff",
    datetime(2024, 5, 1, tzinfo=Unfinished()),
]
OUT_OF_RANGE = [
    0,
    45_413,  # a day of Excel's
    20_240_501,  # a date key
    "19991231235959",
    -5,
    1_714_557_600_000_000,
    date(1970, 1, 1),
    datetime(1, 1, 1),
    datetime(9999, 12, 31, 23, 59, 59, 999_999),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    "0001-01-01",
    "9999-12-31",
    "1900-01-01",
    "2100-01-01T00:00:00Z",
]


@pytest.mark.parametrize("given", NO_TIMES)
def test_no_time(given: Any) -> None:
    with pytest.raises(PydanticCustomError):
        times.moment(given, "UTC")


@pytest.mark.parametrize("given", OUT_OF_RANGE)
@pytest.mark.parametrize("zone", ["UTC", BUCHAREST, "Pacific/Kiritimati"])
def test_a_time_that_no_crm_recorded(given: Any, zone: str) -> None:
    with pytest.raises(PydanticCustomError, match="must be a time"):
        times.moment(given, zone)


def test_created_at_is_written_in_milliseconds() -> None:
    for value in (AT, "2024-05-01T10:00:00Z", 1_714_557_600, MS):
        outcome = Read(base("lead_qualified", user={"created_at": value}))
        assert outcome.body is not None
        assert outcome.body["user"] == {"created_at": MS}
    assert Read(base("lead_qualified", user={"created_at": "soon"})).fields == ["user.created_at"]


@settings(FIXED, max_examples=300)
@given(
    st.integers(100_000_000_000, 4_102_444_799_999).filter(
        lambda ms: ms not in times.END_OF_TIME_SECONDS and not times._DATE_AS_NUMBER.fullmatch(str(ms))
    ),
    st.timezones().map(str),
)
def test_milliseconds_read_as_themselves(milliseconds: int, zone: str) -> None:
    assert times.epoch_ms(milliseconds, zone) == milliseconds
    assert times.epoch_ms(times.moment(milliseconds, zone), zone) == milliseconds
    assert times.epoch_ms(times.moment(milliseconds, zone).isoformat(), zone) == milliseconds


@settings(FIXED, max_examples=600)
@given(st.text("0123456789-:TWZP+., /é٣nowPTMS", max_size=20) | st.text(max_size=8))
def test_any_text_is_a_time_or_refused_and_always_the_same(text: str) -> None:
    def read() -> datetime | str:
        try:
            return times.moment(text, BUCHAREST)
        except PydanticCustomError as refusal:
            return refusal.type

    assert read() == read()
