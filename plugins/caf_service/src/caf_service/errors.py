"""What a request may end with, beside the errors of caf."""

from caf_core.errors import CafError


class NotFoundError(CafError):
    """There is no such thing, or it is somebody else's: that makes no difference to who asks."""


class NotNowError(CafError):
    """What is asked for cannot be done in the present state."""


class BusyError(CafError):
    """Who asks has too much under way; the same may be asked again in a moment."""


class ForbiddenError(CafError):
    """The role of who asks does not allow it."""
