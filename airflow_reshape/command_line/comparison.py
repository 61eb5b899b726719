"""What the CRM says happened against what the ledger knows of it, row by row, without sending anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airflow_reshape.delivery.guards import Guards, stopped_by
from airflow_reshape.delivery.ledger.digests import Digests, former_key_of, key_of
from airflow_reshape.delivery.privacy import label
from airflow_reshape.events.prepared import InvalidLead, Prepared, PreparedEvent, SkippedLead

NO_OUTCOMES = ("released",)
"""States of events that the ledger knows, and that nobody delivered or refused."""
LOST = ("too_old",)
"""Reasons of guards that are none for an event that should have been sent in time."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A change in the CRM without an outcome.

    :param row: its number in the query's result, from 1.
    :param why: what stands against it now: its state in the ledger, a guard, what is wrong with the row; or None.
    """

    row: int
    lead_id: str | None
    event_name: str | None
    event_id: str | None
    occurred_at: datetime | None
    why: str | None


@dataclass
class Comparison:
    """Compares; its counts grow while :meth:`missing` is read.

    :param destination: script id and environment of the connection.
    :param digests: keyed as the connection says.
    :param states: the states that the ledger knows, by key.
    :param forgotten: which marks are those of forgotten leads.
    :param now: aware time that the guards go by.
    :ivar read: rows read.
    :ivar by_state: rows that have an outcome, by the ledger's state.
    :ivar not_to_be_sent: rows that are not to be sent, by reason.
    :ivar without_id: events without an id, which no ledger can tell apart.
    """

    destination: str
    digests: Digests
    guards: Guards
    states: Callable[[Collection[str]], Mapping[str, str]]
    forgotten: Callable[[Collection[str]], Collection[str]]
    now: datetime
    read: int = 0
    without_id: int = 0
    by_state: Counter[str] = field(default_factory=Counter)
    not_to_be_sent: Counter[str] = field(default_factory=Counter)

    def missing(self, chunks: Iterable[Sequence[object]], prepare: Callable[[object], Prepared]) -> Iterator[Missing]:
        """The changes without an outcome, in the order of the rows.

        :param chunks: the rows, in lists of some hundred.
        :param prepare: makes an event of a row.
        """
        for chunk in chunks:
            leads = [(self.read + n, row, prepare(row)) for n, row in enumerate(chunk, 1)]
            self.read += len(chunk)
            keys = {number: key for number, row, lead in leads if (key := self._key(row, lead))}
            states = self._states(keys, leads)
            open_leads = [
                (number, lead, states.get(keys.get(number, "")))
                for number, row, lead in leads
                if not self._has_outcome(lead, keys.get(number), states)
            ]
            marks = {number: self._marks(lead) for number, lead, _ in open_leads}
            forgotten = set(self.forgotten({mark for each in marks.values() for mark in each}))
            for number, lead, state in open_leads:
                if marks[number] & forgotten:
                    self.not_to_be_sent["forgotten"] += 1
                elif found := self._found(number, lead, state):
                    yield found

    def _key(self, row: object, lead: Prepared) -> str | None:
        if isinstance(lead, InvalidLead):
            return self.digests.of_invalid(self.destination, row, lead)
        return None if isinstance(lead, SkippedLead) else key_of(self.destination.partition(":")[0], lead)

    def _states(self, keys: Mapping[int, str], leads: Sequence[tuple[int, object, Prepared]]) -> Mapping[str, str]:
        """The states of leads by key, also of those that the ledger knows by a former spelling of their id."""
        script_id = self.destination.partition(":")[0]
        former = {
            keys[number]: key
            for number, _, lead in leads
            if isinstance(lead, PreparedEvent) and (key := former_key_of(script_id, lead)) and number in keys
        }
        found = self.states({*keys.values(), *former.values()})
        return {**{key: found[before] for key, before in former.items() if before in found}, **found}

    def _has_outcome(self, lead: Prepared, key: str | None, states: Mapping[str, str]) -> bool:
        """Whether there is nothing to look for; counted then."""
        if isinstance(lead, SkippedLead):
            self.not_to_be_sent[lead.why] += 1
        elif key is None:
            self.without_id += 1
        elif states.get(key, NO_OUTCOMES[0]) not in NO_OUTCOMES:
            self.by_state[states[key]] += 1
        else:
            return False
        return True

    def _marks(self, lead: Prepared) -> set[str]:
        user = lead.event.user if isinstance(lead, PreparedEvent) else None
        own = (lead.id, *lead.former_ids) if isinstance(lead, PreparedEvent) else ()
        ids = (lead.lead_id, user.id if user else None, *own)
        script_id = self.destination.partition(":")[0]
        return {self.digests.of_forgotten(script_id, each) for each in ids if each}

    def _found(self, number: int, lead: Prepared, state: str | None) -> Missing | None:
        if isinstance(lead, InvalidLead):
            wrong = "; ".join(f"{label(problem.field)}: {problem.rule}" for problem in lead.problems)
            return Missing(number, lead.lead_id, lead.name, None, None, f"invalid: {wrong}")
        assert isinstance(lead, PreparedEvent)
        why = stopped_by(lead, self.guards, self.now)
        if why is not None and why not in LOST and state is None:
            self.not_to_be_sent[why] += 1
            return None
        told = ", ".join(each for each in (state, why) if each) or None
        return Missing(number, lead.lead_id, lead.name, lead.id, lead.occurred_at, told)
