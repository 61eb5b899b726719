"""Each contestant is a process of its own: ``python -m benchmarks.contestants.NAME SPEC RESULT``."""
