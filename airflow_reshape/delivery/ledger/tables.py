"""The ledger's tables. Ids, codes, field names, counts and times; never a payload.

Marks of forgotten leads are keyed digests: whose they are, only somebody with the key and the id can tell.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, String, Table, Text, UnicodeText
from sqlalchemy.dialects import mysql

SCHEMA_VERSION = 1
KEY_LENGTH = 64  # SHA-256 in hexadecimal: no collation makes two of them one
LEAD_ID_LENGTH = 250
REASON_LENGTH = 250

Time = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")  # theirs is to the second, and rounds up

metadata = MetaData()

schema = Table(
    "reshape_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("purged_at", Time),
)

senders = Table(
    "reshape_sender",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("dag_id", String(250)),
    Column("run_id", String(250)),
    Column("task_id", String(250)),
    Column("map_index", Integer),
    Column("try_number", Integer),
    Column("package_version", String(32)),
    Column("started_at", Time, nullable=False),
    Column("lease_until", Time, nullable=False),
    Column("ended_at", Time),
    Column("retention_seconds", BigInteger),
    Column("summary", Text),
)

events = Table(
    "reshape_event",
    metadata,
    Column("key", String(KEY_LENGTH), primary_key=True),
    Column("destination", String(80), nullable=False),
    Column("event_name", String(200)),
    Column("event_id", UnicodeText),
    Column("lead_id", String(LEAD_ID_LENGTH)),
    Column("state", String(12), nullable=False),
    Column("owner", String(36), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("http_status", Integer),
    Column("reason", String(REASON_LENGTH)),
    Column("digest", String(KEY_LENGTH)),
    Column("body_digest", String(KEY_LENGTH)),
    Column("digest_version", String(16)),
    Column("fields", Text),
    Column("occurred_at", Time),
    Column("claimed_at", Time, nullable=False),
    Column("settled_at", Time),
    Index("reshape_event_lead", "lead_id"),
    Index("reshape_event_owner", "owner", "state"),
)

forgotten = Table(
    "reshape_forgotten",
    metadata,
    Column("digest", String(KEY_LENGTH), primary_key=True),
    Column("script_id", String(16), nullable=False),
    Column("digest_version", String(16), nullable=False),
    Column("forgotten_at", Time, nullable=False),
)
