"""Marlin's steering file: its parameters by address, read and written."""

import re
from pathlib import Path
from typing import Self

from attrs import field, frozen

from caf_pandora import markup
from caf_pandora.errors import SteeringError

_ADDRESS = re.compile(
    r"""^(?:\.?//)?(?:marlin/)?
    (?:(?P<global>global)|processor\[@name=(?P<pq>['"])(?P<processor>.+?)(?P=pq)\])
    /parameter\[@name=(?P<nq>['"])(?P<parameter>.+?)(?P=nq)\]$""",
    re.VERBOSE,
)
_PROCESSORS = "//processor[@name=$processor][not(ancestor::execute)]"
"""A processor's definition; inside ``execute`` stands only that it is called."""


@frozen
class Address:
    """Where a parameter is.

    Args:
        parameter: Its name.
        processor: The name of its processor; ``None`` for Marlin's global section.
    """

    parameter: str
    processor: str | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """The address in an XPath like ``.//processor[@name='MyDDCaloDigi']/parameter[@name='CalibrECAL']``.

        Raises:
            SteeringError: If the text has another form.
        """
        found = _ADDRESS.match(text)
        if not found:
            raise SteeringError(
                f"{text!r} is no address of a parameter; write .//processor[@name='P']/parameter[@name='N'] "
                "or .//global/parameter[@name='N']."
            )
        return cls(found["parameter"], found["processor"])

    def __str__(self) -> str:
        section = "global" if self.processor is None else f"processor[@name='{self.processor}']"
        return f".//{section}/parameter[@name='{self.parameter}']"


@frozen
class Steering:
    """A steering file in memory; it is changed in place, so take a copy for every use.

    Args:
        tree: The document.
        name: What it is called in errors.
    """

    tree: markup.Element = field(repr=False, eq=False)
    name: str = "the steering file"

    @classmethod
    def parse(cls, content: bytes, name: object = "the steering file") -> Self:
        """Read a document.

        Raises:
            SteeringError: If it is unsafe, no XML, or no steering file of Marlin.
        """
        tree = markup.parse(content, name)
        if tree.getroot().tag != "marlin":
            raise SteeringError(
                f"{name} is no steering file of Marlin: its root element is {tree.getroot().tag}, not marlin."
            )
        return cls(tree, str(name))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; see ``parse``."""
        try:
            return cls.parse(path.read_bytes(), path)
        except OSError as problem:
            raise SteeringError(f"{path} cannot be read: {problem.strerror}.") from problem

    def copy(self) -> "Steering":
        """An independent copy."""
        return Steering.parse(self.content(), self.name)

    def content(self) -> bytes:
        """The file's bytes, with comments and order as they were."""
        return markup.serialise(self.tree)

    def get(self, address: Address) -> str | None:
        """What a parameter says, without surplus blanks; ``None`` if it is missing.

        Raises:
            SteeringError: If the processor is missing, or the parameter is there twice.
        """
        found = self._find(address)
        return None if found is None else markup.value_of(found)

    def numbers(self, address: Address) -> tuple[float, ...]:
        """The numbers of a parameter.

        Raises:
            SteeringError: If it is missing or says something else.
        """
        text = self.get(address)
        if text is None:
            raise SteeringError(f"{self.name} has no parameter {address}; add it.")
        try:
            return tuple(float(word) for word in text.split())
        except ValueError:
            raise SteeringError(f"{self.name}: {address} says {text!r} and should be numbers.") from None

    def set(self, address: Address, value: str, *, kind: str | None = None) -> None:
        """Let a parameter say something; one that is missing is added to its section.

        Args:
            address: The parameter.
            value: What it says from now on.
            kind: Its type if it is added, such as ``FloatVec``.
        Raises:
            SteeringError: If the processor is missing, or the parameter is there twice.
        """
        found = self._find(address)
        if found is not None:
            markup.set_value(found, value)
            return
        attributes = {"name": address.parameter} | ({"type": kind} if kind else {})
        markup.append(self._sections(address)[0], "parameter", attributes).text = value

    def _find(self, address: Address) -> markup.Element | None:
        found = [
            parameter
            for section in self._sections(address)
            for parameter in section.xpath("parameter[@name=$name]", name=address.parameter)
        ]
        if len(found) > 1:
            lines = ", ".join(str(one.sourceline) for one in found)
            raise SteeringError(f"{self.name} has {address} more than once (lines {lines}); keep one.")
        return found[0] if found else None

    def _sections(self, address: Address) -> list[markup.Element]:
        if address.processor is None:
            sections = self.tree.xpath("//global")
        else:
            sections = self.tree.xpath(_PROCESSORS, processor=address.processor)
        if not sections:
            raise SteeringError(self._missing(address))
        return list(sections)

    def _missing(self, address: Address) -> str:
        if address.processor is None:
            return f"{self.name} has no section <global>, which Marlin needs."
        there = sorted({str(name) for name in self.tree.xpath("//processor[not(ancestor::execute)]/@name")})
        included = " Parts of it are included from other files; put them into one." * bool(
            self.tree.xpath("//include")
        )
        return (
            f"{self.name} has no processor {address.processor!r}; it has {', '.join(there) or 'none'}. "
            f"Set DDCaloDigiName and DDPandoraPFANewProcessorName to the names in it.{included}"
        )
