"""Points in time out of whatever databases and clients give."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

import pendulum

from airflow_reshape.events.cleaning import clean_code
from airflow_reshape.events.numbers import number
from airflow_reshape.events.rules import broken
from airflow_reshape.events.text import decoded

# Epoch numbers below this are seconds: as milliseconds they would all lie before March 1973. What is earlier is no
# time that a CRM recorded, but a placeholder, an Excel day or a date written as one number.
SMALLEST_EPOCH_MS = 100_000_000_000
LAST_EPOCH_MS = 4_102_444_800_000  # 2100-01-01: whatever lies beyond is not a time
# The seconds of 9999-12-31 in any zone, which databases write for "never ends". As milliseconds: January 1978.
END_OF_TIME_SECONDS = range(253_402_128_000, 253_402_387_200)
EARLIEST = datetime.fromtimestamp(SMALLEST_EPOCH_MS / 1000, UTC)
LATEST = datetime.fromtimestamp(LAST_EPOCH_MS / 1000, UTC)
# 202508111200: as milliseconds it would be a day of 1976.
_DATE_AS_NUMBER = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])[0-5]\d")
LONGEST_TIME = 100
_NUMERIC = re.compile(r"[+-]?\d{9,}(\.\d+)?")  # shorter ones are a year or a date without dashes
# BigQuery writes "12:00:00 UTC", Snowflake "05:00:00.000 -0700".
_ZONE = re.compile(r"(?<=\d) +(?:(?:UTC|GMT|Z)(?P<offset>[+-]\d{2}:?\d{2})?|(?P<bare>[+-]\d{2}(?::?\d{2})?))$")


def moment(value: object, timezone: str) -> datetime:
    """An aware point in time, between March 1973 and 2100.

    :param value: datetime, date, ISO 8601 text (also as BigQuery and Snowflake write it), or epoch seconds or
        milliseconds (numbers below 100,000,000,000 are seconds).
    :param timezone: IANA name of the zone of values that carry none.
    """
    if isinstance(value, bytes):
        value = decoded(value)
    if isinstance(value, str):
        value = clean_code(value)
    try:
        if isinstance(value, str) and len(value) > LONGEST_TIME:
            raise ValueError("no time")
        at = _moment(value, pendulum.timezone(timezone))
        in_range = EARLIEST <= at < LATEST
    except (ValueError, TypeError, OverflowError, OSError, NotImplementedError):  # the last: a zone without offset
        raise broken("time", "must be a time: ISO 8601 text, or epoch seconds or milliseconds") from None
    if not in_range:
        raise broken("time_range", "must be a time between March 1973 and 2100")
    return at


def _moment(value: object, zone: pendulum.Timezone | pendulum.FixedTimezone) -> datetime:
    if isinstance(value, str) and not _NUMERIC.fullmatch(value):
        value = _parsed(value)
    if isinstance(value, datetime):
        return value if value.utcoffset() is not None else value.replace(tzinfo=zone)
    if isinstance(value, date):
        return datetime.combine(value, time.min, tzinfo=zone)
    epoch = number(value)
    if int(epoch) in END_OF_TIME_SECONDS or _DATE_AS_NUMBER.fullmatch(str(int(epoch))):
        return datetime.max.replace(tzinfo=UTC)
    return datetime.fromtimestamp(epoch if abs(epoch) < SMALLEST_EPOCH_MS else epoch / 1000, UTC)


def _parsed(value: str) -> datetime | date:
    value = _ZONE.sub(lambda zone: zone["offset"] or zone["bare"] or "+00:00", value)
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        pass
    # pendulum reads more forms, among them "now" and times without a day, which mean another moment at each try.
    parsed: object = None if value == "now" else pendulum.parse(value, exact=True, tz=None)
    if not isinstance(parsed, date):
        raise TypeError("no point in time")
    return parsed


def epoch_ms(value: object, timezone: str) -> int:
    """Milliseconds since the Unix epoch, from all that :func:`moment` takes."""
    return round(moment(value, timezone).timestamp() * 1000)
