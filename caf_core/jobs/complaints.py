"""What was said about something that goes wrong for a long time, so that it is not said every few seconds."""

from attrs import define, field

AGAIN = 600.0
"""After this long the same words are said again [s]."""


@define
class Complaints:
    """The last words about each of several things."""

    _said: dict[str, tuple[str, float]] = field(factory=dict, init=False)

    def is_new(self, subject: str, words: str, now: float) -> bool:
        """Whether words are worth saying.

        Args:
            subject: What they are about.
            words: The words.
            now: The time [s].
        """
        last, at = self._said.get(subject, ("", 0.0))
        if words == last and now - at < AGAIN:
            return False
        self._said[subject] = (words, now)
        return True
