"""The application: which commands there are."""

from __future__ import annotations

import typer

from airflow_reshape.command_line import check, forget, lead, problems, reconcile, try_row, unforget, week

app = typer.Typer(
    help="DATA Reshape for Airflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("check")(check.check)
app.command("try")(try_row.try_row)
app.command("lead")(lead.lead)
app.command("week")(week.week)
app.command("problems")(problems.problems)
app.command("reconcile")(reconcile.reconcile)
app.command("forget")(forget.forget)
app.command("unforget")(unforget.unforget)
