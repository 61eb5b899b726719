"""The ledger of a send, in the database that the user names."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from airflow_reshape.delivery.failures.store import IsForgotten, nobody
from airflow_reshape.delivery.ledger.databases import CLOCKS
from airflow_reshape.delivery.ledger.digests import Digests
from airflow_reshape.delivery.ledger.ledger import Ledger
from airflow_reshape.delivery.ledger.lookup import forgotten_marks
from airflow_reshape.delivery.ledger.store import LedgerStore, SenderIdentity
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.hooks.connections import connection
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.row_ids import likely_ids
from airflow_reshape.hooks.settings import ReshapeSettings


def ledger_engine(conn_id: str, stored: Any) -> Engine:
    """The engine of a ledger's database.

    :param stored: Airflow's connection of that id.
    :raises ReshapeConfigurationError: it is no database that can keep a ledger.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    hook = stored.get_hook(hook_params={"connection": stored})
    if not isinstance(hook, DbApiHook):
        raise ReshapeConfigurationError(f"ledger_conn_id {conn_id!r} is no SQL database")
    engine = hook.get_sqlalchemy_engine()
    if engine.dialect.name not in CLOCKS:
        raise ReshapeConfigurationError(
            f"ledger_conn_id {conn_id!r} is {engine.dialect.name}; a ledger needs {', '.join(CLOCKS)}"
        )
    return engine


def ledger_digests(settings: ReshapeSettings) -> Digests:
    """The digests of a connection, keyed with its ``ledger_key``, else with its access token.

    They tell whether something changed, and nobody without the key can try values against them.
    """
    from airflow.sdk.log import mask_secret

    if settings.ledger_key:
        mask_secret(settings.ledger_key)  # by its name Airflow would not take it for a secret
    return Digests(settings.ledger_key or settings.destination.token)


def open_ledger(settings: ReshapeSettings, plan: SendPlan, identity: SenderIdentity) -> Ledger | None:
    """The ledger that a plan names, or None. Nothing is connected yet."""
    if not plan.ledger_conn_id:
        return None
    engine = ledger_engine(plan.ledger_conn_id, connection(plan.ledger_conn_id))
    destination = f"{settings.destination.script_id}:{settings.environment}"
    digests = ledger_digests(settings)
    store = LedgerStore(
        engine,
        destination,
        identity,
        digests.version,
        retention=plan.ledger_retention,
        retry_rejected=plan.retry_rejected,
    )
    return Ledger(store, destination, digests, baseline=plan.baseline, ids_of=partial(likely_ids, plan.field_map))


def forgotten_leads(settings: ReshapeSettings, plan: SendPlan) -> Callable[[], IsForgotten]:
    """What asks a plan's ledger for its forgotten leads, and gives what tells whether a row is of one of them.

    A ledger that does not answer, or is not there yet, has none: a send over it ends by itself.
    """
    if not plan.ledger_conn_id:
        return lambda: nobody
    engine = ledger_engine(plan.ledger_conn_id, connection(plan.ledger_conn_id))
    script_id, digests = settings.destination.script_id, ledger_digests(settings)

    def ask() -> IsForgotten:
        try:
            with engine.connect() as opened:
                marks = forgotten_marks(opened, script_id)
        except SQLAlchemyError:
            return nobody
        finally:
            engine.dispose()

        def is_forgotten(row: object, ids: Collection[str]) -> bool:
            told = {*ids, *likely_ids(plan.field_map, row)} if marks else ()
            return any(digests.of_forgotten(script_id, each) in marks for each in told)

        return is_forgotten

    return ask
