"""The commands of ``python -m airflow_reshape``, one a file. They ask and print; what is asked is elsewhere."""
