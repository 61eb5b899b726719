"""The sandbox's own page, with one of the events that it received laid open."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from screenshots.scene import Scene

# The CRM's names are odd on purpose, to be a trial. The picture shows a plain one.
LAST_NAMES = frozenset({"Popescu", "Müller", "Smith", "Lefèvre"})


def sandbox_page(page: Page, scene: Scene) -> Page:
    """The page with the newest events."""
    page.goto(scene.sandbox_url)
    latest = page.request.get(f"{scene.sandbox_url}/received", params={"order": "desc", "limit": 100}).json()["events"]
    shown = next((event for event in latest if is_typical(event)), latest[0])
    # As an event, not by the mouse, for which the page would be scrolled.
    page.locator(f"tr[data-seq='{shown['seq']}']").dispatch_event("click")
    expect(page.get_by_role("complementary", name="One request")).to_contain_text('"email"')
    return page


def is_typical(event: dict[str, Any]) -> bool:
    """Whether an event says that a lead is qualified, plainly named, with an e-mail address and a phone."""
    user = event["body"]["user"]
    known = {"email", "phone", "country"} <= user.keys()
    return event["name"] == "lead_qualified" and user.get("last_name") in LAST_NAMES and known
