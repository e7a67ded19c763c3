"""Starts the resident process; executed by its path, without site-packages, to be there soon.

It is this small because a file that is executed is compiled every time.
"""

# ruff: noqa: PTH100, PTH120
# pathlib takes longer to import than all else here together, and os serves as well.

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from caf_core.processes.resident import main

if __name__ == "__main__":
    main(sys.argv[1:])
