"""What holds for all tests."""

import os

from hypothesis import HealthCheck, settings

# Whoever executes the tests may have a configuration of their own; the tests are to find none.
os.environ["CAF_CONFIG"] = ""

# No test is timed: how long an example takes says more about the machine than about the code.
settings.register_profile("caf", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("caf")
