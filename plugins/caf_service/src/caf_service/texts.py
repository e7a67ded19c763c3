"""Texts that come from plans, schedulers and logs."""


def plain(text: object, most: int = 2000) -> str:
    """A text that every database keeps and every answer can carry: no NUL, and no halves of characters.

    Args:
        text: What was said.
        most: So many characters of it are kept.
    """
    return str(text)[:most].replace("\x00", "?").encode("utf-8", "replace").decode("utf-8")
