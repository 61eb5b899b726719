"""The ledger's tables. Ids, codes, field names, counts and times; never a payload."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Index, Integer, MetaData, String, Table, Text, UnicodeText

SCHEMA_VERSION = 1
KEY_LENGTH = 64  # SHA-256 in hexadecimal: no collation makes two of them one

metadata = MetaData()

schema = Table(
    "reshape_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
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
    Column("started_at", DateTime, nullable=False),
    Column("lease_until", DateTime, nullable=False),
    Column("ended_at", DateTime),
    Column("summary", Text),
)

events = Table(
    "reshape_event",
    metadata,
    Column("key", String(KEY_LENGTH), primary_key=True),
    Column("destination", String(80), nullable=False),
    Column("event_name", String(200)),
    Column("event_id", UnicodeText),
    Column("lead_id", String(250)),
    Column("state", String(12), nullable=False),
    Column("owner", String(36), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("http_status", Integer),
    Column("reason", String(250)),
    Column("digest", String(KEY_LENGTH)),
    Column("body_digest", String(KEY_LENGTH)),
    Column("digest_version", String(16)),
    Column("fields", Text),
    Column("occurred_at", DateTime),
    Column("claimed_at", DateTime, nullable=False),
    Column("settled_at", DateTime),
    Index("reshape_event_lead", "lead_id"),
    Index("reshape_event_owner", "owner", "state"),
)
