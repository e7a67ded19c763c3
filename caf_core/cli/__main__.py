"""``python -m caf_core.cli`` is ``caf``."""

import sys

from caf_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
