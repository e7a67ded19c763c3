"""``python -m caf_core.cli.postmortem call.json``: a task's call, ending in the debugger if it raises."""

import json
import pdb
import sys
import traceback
from pathlib import Path

from caf_core.jobs.call import execute_call


def main() -> int:
    """Execute the call that a file describes."""
    try:
        execute_call(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except Exception as error:
        traceback.print_exc()
        pdb.post_mortem(error.__traceback__)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
