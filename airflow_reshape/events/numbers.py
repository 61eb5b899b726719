"""Numbers as JSON writes them, from whatever databases and clients give."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation

from airflow_reshape.events.cleaning import clean_code
from airflow_reshape.events.rules import broken

LARGEST_INTEGER = 2**53  # JSON numbers beyond it change on the way (IEEE 754 doubles)
LONGEST_NUMBER = 40  # digits; databases hold 38
LONGEST_WRITTEN = 1000
# 3.000 is three to a program and three thousand to a German: one group of three digits behind one to three others.
_THREE_OR_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")


def number(value: object) -> int | float:
    """A finite JSON number. Whole floats and decimals become integers."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if isinstance(value, str):
        value = _of_text(clean_code(value))
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise broken("number_type", "must be a number")
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise broken("number_finite", "must be a finite number")
        if value.adjusted() > 300:
            raise broken("number_range", "is too large a number")
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise broken("number_finite", "must be a finite number")
        if value.is_integer() and abs(value) <= LARGEST_INTEGER:
            return int(value)
        return value
    if abs(value) > LARGEST_INTEGER:
        raise broken("number_range", "is too large a number: its last digits would change")
    return int(value)


def _of_text(written: str) -> Decimal:
    if len(written) > LONGEST_WRITTEN:
        raise broken("number_type", "must be a number")
    if _THREE_OR_THOUSANDS.fullmatch(written):
        raise broken("number_ambiguous", "may be decimals or thousands: give a number, not text such as 3.000")
    try:
        return Decimal(written)
    except InvalidOperation:
        raise broken("number_type", "must be a number, with a dot for decimals") from None


def positive(value: object) -> int | float:
    """A number above 0."""
    read = number(value)
    if read <= 0:
        raise broken("number_positive", "must be above 0")
    return read


def digits_of(value: float | Decimal) -> str:
    """All digits of a number: ids of 64 bits do not fit into a JSON number, but into text they do."""
    if isinstance(value, float):
        value = number(value)
        if isinstance(value, float) and value.is_integer():
            raise broken("number_range", "is too large a number")  # and has lost its last digits already
        return str(value)
    exact = Decimal(value)
    if not exact.is_finite():
        raise broken("number_finite", "must be a finite number")
    if exact and abs(exact.adjusted()) > LONGEST_NUMBER:
        raise broken("number_range", "is too large a number")
    written = f"{exact:f}" if exact else "0"
    return written.rstrip("0").rstrip(".") if "." in written else written
