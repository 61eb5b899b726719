"""What the browser is told: where everything is, and what must not be seen."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Scene:
    """Everything that the pictures are taken of, running.

    :param browser: path of a Chromium.
    :param airflow_url: of Airflow's UI, without a slash at the end.
    :param sandbox_url: of the sandbox's page, as above.
    :param dag_id: of the DAG that has sent.
    :param run_id: of its run.
    :param task_id: of the run's task.
    :param folder: for the pictures; it must exist.
    :param never_shown: texts that no page may show, such as the access token.
    """

    browser: str
    airflow_url: str
    sandbox_url: str
    dag_id: str
    run_id: str
    task_id: str
    folder: str
    never_shown: tuple[str, ...]

    def to_json(self) -> str:
        """The scene as text, for :meth:`from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """The scene that :meth:`to_json` made a text of."""
        values = json.loads(text)
        return cls(**{**values, "never_shown": tuple(values["never_shown"])})
