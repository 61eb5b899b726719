"""A local stand-in of the DATA Reshape event API, for development, demo and tests.

What may live here: a small web application that states the API a second time, from its documentation and
as JSON Schemas, so that it catches the mistakes of the package that talks to it. Nothing here imports Airflow
or any other folder of this package. It is not the real service: it knows only what the documentation says.

Start it with ``python -m airflow_reshape.sandbox``; in tests use
:func:`airflow_reshape.sandbox.testing.running_sandbox`.
"""
