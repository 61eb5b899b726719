"""Airflow's form of a connection of our type, filled with values for examples and never saved."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from screenshots.scene import Scene


def standard_fields(page: Page, scene: Scene) -> Locator:
    """The form as it opens: subdomain, access token, port, scheme."""
    form = _new_connection(page, scene)
    form.get_by_label("Description").fill("Leads of www.example.com")
    form.get_by_label("Subdomain (host)").fill("dre2.example.com")
    form.get_by_label("Access token").fill("made-up token")
    return form


def extra_fields(page: Page, scene: Scene) -> Locator:
    """The form with its second part open: all that goes into the connection's extra."""
    form = _new_connection(page, scene)
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    # Airflow gives these inputs no accessible name, only this one.
    form.locator("[name=element_script_id]").fill("AB12CD34")
    form.locator("[name=element_data_source]").fill("crm")
    form.get_by_role("combobox", name="Environment").click()
    page.get_by_role("option", name="dev", exact=True).click()
    return form


def _new_connection(page: Page, scene: Scene) -> Locator:
    page.goto(f"{scene.airflow_url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection ID").fill("reshape_default")
    form.get_by_role("combobox", name="Connection Type").fill("DATA Reshape")
    page.get_by_role("option", name="DATA Reshape", exact=True).click()
    return form
