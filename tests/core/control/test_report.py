"""A listener that fails does not end what it listens to."""

from caf_core.control.report import Careful, Silence


class Broken(Silence):
    """Its output is on a full disk."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def said(self, text: str) -> None:
        self.asked.append(text)
        raise OSError(28, "No space left on device")


def test_a_listener_that_fails_is_left_alone() -> None:
    broken = Broken()
    careful = Careful(broken)
    careful.said("one")
    careful.said("two")
    careful.begun({"a": 5})
    careful.ended()
    assert broken.asked == ["one"]
