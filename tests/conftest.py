"""What holds for all tests."""

import os

# Whoever executes the tests may have a configuration of their own; the tests are to find none.
os.environ["CAF_CONFIG"] = ""
