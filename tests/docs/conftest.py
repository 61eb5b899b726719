"""The world of the pages: a sandbox, a CRM and a ledger under the names that the pages use."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.connections import reshape_connection

# L-00028 has no currency, which is invalid.
CRM = """
    CREATE TABLE leads (id, email, phone, country, currency);
    CREATE TABLE consents (lead_id, granted_at, withdrawn_at);
    CREATE TABLE stage_history (lead_id, stage, changed_at, lost_reason);
    CREATE TABLE form_submissions (lead_id, page_url, landing_url, referrer, user_agent, ip, ga, fbp, consent_ads);
    INSERT INTO leads VALUES
        ('L-00000', 'ana@example.com', NULL, 'RO', 'EUR'),
        ('L-00004', 'dan@example.com', NULL, 'RO', 'EUR'),
        ('L-00026', 'ioana@example.com', NULL, 'RO', 'EUR'),
        ('L-00028', 'radu@example.com', NULL, 'RO', NULL);
    INSERT INTO stage_history SELECT id, 'SQL', datetime('now', '-1 hour'), NULL FROM leads;
"""
CHANGES = """
    SELECT h.lead_id, h.stage, h.changed_at AS occurred_at, l.email, l.currency
    FROM stage_history AS h JOIN leads AS l ON l.id = h.lead_id ORDER BY l.id
"""


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def world(running: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    """Connections ``reshape_default``, ``crm_db`` and ``reshape_ledger``, and the CRM's query as ``leads.sql``."""
    running.clear()
    with sqlite3.connect(tmp_path / "crm.sqlite") as crm:
        crm.executescript(CRM)
    crm.close()
    (tmp_path / "leads.sql").write_text(CHANGES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", reshape_connection(running))
    for name in ("CRM_DB", "RESHAPE_LEDGER"):
        monkeypatch.setenv(
            f"AIRFLOW_CONN_{name}", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "crm.sqlite")})
        )
    return running
