"""What holds for all tests."""

import os
import signal

from hypothesis import HealthCheck, settings

# Whoever executes the tests may have a configuration of their own; the tests are to find none.
os.environ["CAF_CONFIG"] = ""

# What a shell starts in the background ignores Ctrl-C, and so would all that is started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: how long an example takes says more about the machine than about the code.
settings.register_profile("caf", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("caf")
