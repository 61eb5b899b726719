"""How a stream of leads becomes outcomes: guards, one POST an event, verdicts, retries, counts. No Airflow."""
