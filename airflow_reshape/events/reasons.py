"""The vocabulary of disqualification reasons."""

from __future__ import annotations

from enum import StrEnum


class DisqualificationReason(StrEnum):
    """Reasons that the lead_disqualified page names; its list is open ("etc."), to be used consistently.

    Source: lead_disqualified page, "Best Practices".
    """

    OUT_OF_ICP = "out_of_icp"
    NO_BUDGET = "no_budget"
    NO_AUTHORITY = "no_authority"
    NO_TIMING = "no_timing"
    DUPLICATE = "duplicate"
    INVALID_CONTACT = "invalid_contact"
    COMPETITOR = "competitor"


REASONS = frozenset(reason.value for reason in DisqualificationReason)
