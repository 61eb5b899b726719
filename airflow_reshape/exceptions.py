"""The errors that a send can end in, each with its cure in the text and never with a lead's value."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class ReshapeError(AirflowException):
    """A send went wrong.

    :param message: what happened and what to do.
    :param summary: the counts up to then, or None.
    """

    def __init__(self, message: str, summary: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.summary = summary


class ReshapeConfigurationError(ReshapeError, AirflowFailException):
    """The connection or the arguments are wrong: trying again does not help."""


class ReshapeCredentialsError(ReshapeConfigurationError):
    """The access token is missing or refused."""


class ReshapeFailedLeadsError(ReshapeError, AirflowFailException):
    """More leads than allowed were invalid or rejected. The others were sent; a retry would change nothing."""


class ReshapeUnavailableError(ReshapeError):
    """Reshape does not take events. Leads are unsent; a retry sends them."""


class ReshapeLedgerError(ReshapeError):
    """The ledger does not answer, or another send holds the same events. Leads are unsent; a retry sends them."""


class ReshapeFailuresNotKeptError(ReshapeError):
    """The rows of failed leads cannot be kept at ``failures_path``. A retry sends what is left."""


class ReshapeTooManyEventsError(ReshapeError, AirflowFailException):
    """More events than ``max_events`` would be sent."""


class ReshapeStoppedError(ReshapeError):
    """The task was asked to stop. Leads are unsent; a retry sends them."""
