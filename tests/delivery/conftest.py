"""Property tests here start threads and servers: how long one example takes says nothing."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("threads", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("threads")
