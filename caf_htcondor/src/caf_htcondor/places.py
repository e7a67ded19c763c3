"""Names of directories that HTCondor accepts: it takes no line break in one, and reads ``$$(`` as its own."""

import hashlib
import os
import re
from pathlib import Path

from caf_core.errors import ConfigurationError

_REFUSED = re.compile(r"[\x00-\x1f\x7f]|\$\$")
_ODD = re.compile(r"[^\w .,:@%+=~-]|^\s|\s$")
"""What the text of a submit file might take for its own."""


def accepted_name(directory: Path) -> str | None:
    """Another name for a directory whose own HTCondor does not accept; ``None`` if its own will do.

    The other name goes over a link beside the first folder with such a name, so that whoever sees the folder
    sees the link. One link serves all that lies in the folder.

    Raises:
        ConfigurationError: If there is no place for the link.
    """
    if not _REFUSED.search(str(directory)):
        return None
    parts = directory.parts
    odd = [number for number, part in enumerate(parts) if number and _ODD.search(part)]
    folder = Path(*parts[: odd[0]])
    target = Path(*parts[odd[0] : odd[-1] + 1])
    name = ".caf-" + hashlib.sha256(os.fsencode(target)).hexdigest()[:12]
    try:
        (folder / name).symlink_to(target)
    except FileExistsError as error:
        # An earlier submission made it; whatever else has this name would lead the job astray.
        if not (folder / name).is_symlink() or (folder / name).readlink() != target:
            raise ConfigurationError(
                f"HTCondor does not accept the name of {str(directory)!r}, and {str(folder / name)!r}, which "
                f"would lead there, is something else; remove that, or choose another directory."
            ) from error
    except OSError as error:
        raise ConfigurationError(
            f"HTCondor does not accept the name of {str(directory)!r}, and no link to it could be made in "
            f"{folder} ({error.strerror}); choose a directory without line breaks and '$$' in its name."
        ) from error
    return str(folder.joinpath(name, *parts[odd[-1] + 1 :]))
