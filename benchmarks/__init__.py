"""How fast a send is, beside what else could send it: ``python -m benchmarks``."""
