"""A task that does what none should: it prints the token. Airflow masks it."""

from __future__ import annotations

from airflow.sdk import DAG, task

with DAG("talkative", schedule=None, catchup=False):

    @task
    def tells_the_token() -> None:
        from airflow_reshape.hooks.reshape import ReshapeHook

        print(f"The token is {ReshapeHook().settings.destination.token}")  # noqa: T201

    tells_the_token()
