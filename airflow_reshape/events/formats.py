"""Flags and currencies. A value goes in, the value that Reshape wants comes out, or an error that names the rule."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError
from pydantic_extra_types.currency_code import Currency

from airflow_reshape.events.cleaning import clean_code
from airflow_reshape.events.rules import broken
from airflow_reshape.events.text import code, decoded

FLAGS: dict[object, bool] = {
    **dict.fromkeys((1, "1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys((0, "0", "false", "f", "no", "n", "off"), False),
}


def flag(value: object) -> bool:
    """A boolean, also from 0/1 in any numeric type and from true/false, yes/no, t/f, y/n, on/off."""
    if isinstance(value, bool):
        return value
    key: object = value
    if isinstance(value, bytes):
        key = int.from_bytes(value, "big") if len(value) == 1 and value in b"\x00\x01" else decoded(value)
    if isinstance(key, str):
        key = clean_code(key).lower()
    elif not isinstance(key, (int, float, Decimal)) or (isinstance(key, Decimal) and not key.is_finite()):
        raise broken("flag_type", "must be true or false")
    if key not in FLAGS:
        raise broken("flag_type", "must be true or false")
    return FLAGS[key]


_ISO4217: TypeAdapter[Currency] = TypeAdapter(Currency)


@lru_cache(maxsize=512)
def _is_currency(code: str) -> bool:
    try:
        _ISO4217.validate_python(code)
    except ValidationError:
        return False
    return True


def currency(value: object) -> str:
    """A currency, ISO 4217, three letters, upper-cased. Codes for tests, bonds and metals are none."""
    letters = code(value).upper()
    if len(letters) != 3 or not _is_currency(letters):
        raise broken("currency", "must be a currency of ISO 4217, three letters, for example EUR")
    return letters
