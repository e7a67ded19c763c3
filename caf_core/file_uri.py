"""What a ``file:`` URI stands for."""

from urllib.parse import unquote

from caf_core.errors import ConfigurationError


def is_file_uri(name: str) -> bool:
    """Whether it begins with ``file:``."""
    return name[:5].lower() == "file:"


def path_of_uri(uri: str) -> str:
    """The path of ``file:path``, ``file:///path`` or ``file://localhost/path``, percent-encoded.

    Raises:
        ConfigurationError: If the URI names another host.
    """
    path = uri[len("file:") :]
    if path.startswith("//"):
        host, _, rest = path[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise ConfigurationError(
                f"{uri!r} is on the host {host!r}, and only paths of this machine can be opened; write the "
                f"path alone, or file:///path."
            )
        path = f"/{rest}"
    # As pathlib writes a name that is not UTF-8.
    return unquote(path, errors="surrogateescape")
