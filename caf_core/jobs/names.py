"""Names that become folders."""

from caf_core.errors import ConfigurationError


def check_folder_name(name: object, what: str) -> None:
    """Refuse a name that cannot be the name of a folder.

    Args:
        name: The name.
        what: What bears it, for messages: ``a job``.
    Raises:
        ConfigurationError: Naming what is wrong with it.
    """
    fits = (
        isinstance(name, str)
        and name.isprintable()
        and name == name.strip()
        and not name.startswith(".")
        and not set("/\\").intersection(name)
        and 0 < len(name.encode()) <= 100
    )
    if not fits:
        raise ConfigurationError(
            f"{name!r} cannot be the name of {what}: it names a folder, so it is a text that is not empty, "
            f"has no slash, line break, outer blanks or leading dot, and at most 100 bytes."
        )
