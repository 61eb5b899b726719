"""The log of a task that has sent leads, in Airflow's UI."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from screenshots.scene import Scene

PROGRESS = re.compile(r"leads · \d+/s · ")
BALANCE = re.compile(r"Reshape \(prod\): .* leads read = ")


def run_log(page: Page, scene: Scene) -> Locator:
    """The task's page with the end of its log: progress, then the balance."""
    page.add_init_script("localStorage.setItem('log_wrap', 'true')")  # as the key W does
    page.goto(f"{scene.airflow_url}/dags/{scene.dag_id}/runs/{scene.run_id}/tasks/{scene.task_id}")
    # Airflow scrolls to the end by itself. The groups above, which tell of this machine, stay closed.
    for text in (PROGRESS, BALANCE, re.compile("leads failed; see above")):
        expect(page.get_by_text(text).first).to_be_in_viewport()
    return page.locator("#details-panel")
