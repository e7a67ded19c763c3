"""Arguments for subjobs that differ from one another, made by generators."""

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from caf_core.errors import ConfigurationError

if TYPE_CHECKING:
    from caf_core.jobs.model import SubJob

Arguments = Generator[tuple[Any, ...] | None, "SubJob | None", None]


class ArgumentsGenerator:
    """A generator function with its arguments, started anew for every splitting.

    The generator first yields ``None``; then it is sent each SubJob and yields the tuple of this subjob's
    arguments::

        def names(prefix):
            subjob = yield None
            while True:
                subjob = yield (f"{prefix}-{subjob.id}", len(subjob.input_files))

    Args:
        generator_function: The generator function; it is called with what follows.
    """

    def __init__(self, generator_function: Callable[..., Arguments], *args: Any, **kwargs: Any) -> None:
        self.generator_function = generator_function
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        given = [repr(arg) for arg in self.args] + [
            f"{name}={value!r}" for name, value in self.kwargs.items()
        ]
        name = getattr(self.generator_function, "__name__", repr(self.generator_function))
        return f"ArgumentsGenerator({', '.join([name, *given])})"

    @property
    def generator(self) -> Arguments:
        """A new generator that waits for its first SubJob.

        Raises:
            ConfigurationError: If it ends, or yields arguments, before it was sent a SubJob.
        """
        generator = self.generator_function(*self.args, **self.kwargs)
        try:
            first = next(generator)
        except StopIteration:
            raise ConfigurationError(
                f"{self!r} ends before it was sent a SubJob; begin it with `yield None`."
            ) from None
        if first is not None:
            raise ConfigurationError(
                f"{self!r} yields {first!r} before it was sent a SubJob; begin it with `subjob = yield None`."
            )
        return generator

    def answers(self, subjobs: Iterator["SubJob"]) -> Iterator[tuple["SubJob", list[str]]]:
        """Each subjob with its arguments, until one of both ends."""
        generator = self.generator
        try:
            for subjob in subjobs:
                try:
                    arguments = generator.send(subjob)
                except StopIteration:
                    return
                yield subjob, as_arguments(arguments, self)
        finally:
            generator.close()


def as_arguments(arguments: object, source: object) -> list[str]:
    """Arguments as texts.

    Raises:
        ConfigurationError: If they are not a tuple or list.
    """
    if not isinstance(arguments, tuple | list):
        raise ConfigurationError(
            f"{source!r} gave {arguments!r} as arguments of a subjob; a tuple is needed."
        )
    return [str(argument) for argument in arguments]


def range_arguments(start: int = 0, stop: int | None = None, step: int = 1) -> Arguments:
    """One integer for each subjob, as ``range`` gives them; without ``stop`` it never ends.

    Raises:
        ConfigurationError: If ``step`` is zero.
    """
    if step == 0:
        raise ConfigurationError("range_arguments needs a step other than zero.")
    value = start
    yield None
    while stop is None or (value < stop if step > 0 else value > stop):
        yield (value,)
        value += step
