"""Text that comes from users, files and programs."""


def storable(text: object) -> str:
    """A text that databases, JSON files and terminals take.

    Python stands lone surrogates in for bytes of file names that are no UTF-8, and UTF-8 has no form for
    them: they are written as escapes (``\\udce9``).
    """
    return str(text).encode("utf-8", "backslashreplace").decode()


def clause(text: object) -> str:
    """A sentence of somebody else's, such as an error's, as a part of another one: without the full stop."""
    words = str(text).rstrip()
    return words if words.endswith("..") else words.removesuffix(".")
