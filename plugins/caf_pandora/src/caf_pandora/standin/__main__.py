"""``python -m caf_pandora.standin STEERING``: reconstruct like Marlin would."""

import argparse
import sys
from pathlib import Path

from caf_core.errors import CafError
from caf_pandora.standin.detector import DETECTORS
from caf_pandora.standin.program import reconstruct


def main() -> int:
    """Reconstruct the events that a steering file names, in a simulated detector."""
    parser = argparse.ArgumentParser(prog="python -m caf_pandora.standin", description=main.__doc__)
    parser.add_argument("steering", type=Path, help="Marlin's steering file")
    parser.add_argument("--detector", choices=sorted(DETECTORS), default="CLIC")
    parser.add_argument("--digi", default="MyDDCaloDigi", help="name of the digitiser (default: %(default)s)")
    parser.add_argument(
        "--pandora", default="MyDDMarlinPandora", help="name of Pandora (default: %(default)s)"
    )
    given = parser.parse_args()
    try:
        reconstruct(given.steering, DETECTORS[given.detector], digi=given.digi, pandora=given.pandora)
    except CafError as problem:
        sys.stderr.write(f"the stand-in cannot reconstruct: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
