"""The folder for failed leads, in whatever storage the user names."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import ObjectStoragePath

from airflow_reshape.delivery.failures.folder import Folder, LocalFolder, ObjectFolder
from airflow_reshape.delivery.failures.replay import ReplayedFailures, Wanted
from airflow_reshape.delivery.failures.run_folder import Names, RunFolder, run_folders
from airflow_reshape.delivery.failures.store import FailureStore
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.records import FailuresUnwritableError
from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeFailuresNotKeptError
from airflow_reshape.hooks.ledger import forgotten_leads
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.row_ids import mapped_ids
from airflow_reshape.hooks.settings import ReshapeSettings
from airflow_reshape.mapping.values import plain

LOCAL = ("", "file", "local")


def open_failures(
    plan: SendPlan, settings: ReshapeSettings, identity: SenderIdentity, failing: frozenset[str]
) -> FailureStore | None:
    """What keeps the failed leads of a send, or None if the plan names no folder. Nothing is written yet.

    :param identity: the task's try.
    :param failing: reasons for skipping that count as failures.
    :raises ReshapeConfigurationError: the folder's storage or connection is not known.
    """
    if not plan.failures_path:
        return None
    return FailureStore(
        destination_folder(plan.failures_path, settings),
        identity,
        failing=failing,
        now=_now,
        retention=plan.failures_retention,
        plain=plain,
        prepare=plan.builder(settings),
        ids_of=partial(mapped_ids, plan.field_map),
        forgotten=forgotten_leads(settings, plan),
    )


def open_replay(
    plan: SendPlan, settings: ReshapeSettings, identity: SenderIdentity, wanted: Wanted
) -> ReplayedFailures:
    """The kept leads to send again: a source of rows, and what notes that they were sent.

    :param identity: the replaying task's try.
    :param wanted: which leads.
    :raises ReshapeConfigurationError: the plan names no folder, or its storage or connection is not known.
    """
    if not plan.failures_path:
        raise ReshapeConfigurationError("failures_path is needed: the folder that holds what is to be sent again")
    folder = destination_folder(plan.failures_path, settings)
    return ReplayedFailures(folder, wanted, now=_now, try_number=identity.try_number)


def forget_failures(path: str, ids: Collection[str]) -> int:
    """Remove all that is kept of some leads, for every destination.

    :param path: the ``failures_path``.
    :param ids: lead ids, event ids or user ids.
    :returns: how many kept leads were removed.
    :raises ReshapeConfigurationError: the folder's storage or connection is not known.
    :raises ReshapeFailuresNotKeptError: the folder cannot be read or written; call it again.
    """
    names = Names(None, "f0", _now)
    return _sum_of_runs(path, lambda run: run.forget(_stripped(ids), names))


def kept_failures(path: str, ids: Collection[str]) -> int:
    """How many kept leads :func:`forget_failures` would remove; nothing is changed.

    :raises ReshapeConfigurationError: the folder's storage or connection is not known.
    :raises ReshapeFailuresNotKeptError: the folder cannot be read.
    """
    return _sum_of_runs(path, lambda run: len(run.leads_of(_stripped(ids))))


def _stripped(ids: Collection[str]) -> set[str]:
    return {str(one).strip() for one in ids} - {""}


def _sum_of_runs(path: str, counted: Callable[[RunFolder], int]) -> int:
    """A count over all runs of all destinations."""
    try:
        return sum(map(counted, run_folders(failures_folder(path))))
    except FailuresUnwritableError as error:
        raise ReshapeFailuresNotKeptError(str(error)) from None


def destination_folder(path: str, settings: ReshapeSettings) -> Folder:
    """The folder of one destination: what ``dev`` kept is not sent to ``prod``."""
    return failures_folder(path, f"{settings.destination.script_id}_{settings.environment}")


def failures_folder(path: str, below: str = "") -> Folder:
    """A folder, in the storage that its URL says.

    :param path: such as ``file:///var/lib/reshape``, ``s3://my_aws@bucket/reshape``.
    :param below: a folder in it.
    :raises ReshapeConfigurationError: the storage or the connection is not known, or the path is relative.
    """
    try:
        place = ObjectStoragePath(path)
        where, files = place.path, place.fs
    except AirflowNotFoundException:
        raise ReshapeConfigurationError("failures_path: its connection does not exist") from None
    except (ImportError, ValueError) as error:
        raise ReshapeConfigurationError(
            f"failures_path: {type(error).__name__}: is the provider of this storage installed, with its file system "
            "(for s3, apache-airflow-providers-amazon[s3fs])?"
        ) from None
    if place.protocol not in LOCAL:
        return ObjectFolder(files, "/".join(filter(None, (where.rstrip("/"), below))))
    if "://" not in path and not Path(path).is_absolute():  # the working directory of a worker is anybody's guess
        raise ReshapeConfigurationError("failures_path must be absolute, such as file:///var/lib/reshape")
    return LocalFolder(Path(where) / below)


def _now() -> datetime:
    return datetime.now(UTC)
