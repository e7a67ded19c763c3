"""Marlin's steering file: its parameters by address, read and written.

It is read as Marlin reads it. Processors are defined in ``<marlin>`` or in a ``<group>``, whose parameters
they inherit unless they have their own. ``<execute>`` names those that are executed, one by one or by group.
``${NAME}`` stands for what ``<constants>`` says, in parameters and in ``<execute>``.

Source:
    Marlin, ``XMLParser::parse``; what ``<include>`` names is not read here, and errors say so.
"""

import re
from collections.abc import Iterable, Mapping
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
_DEFINITIONS = "/marlin/processor | /marlin/group/processor"
_CALLS = "/marlin/execute//processor | /marlin/execute//group"
_CONSTANT = re.compile(r"\$\{(?P<name>[^}]*)\}")


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
        declared: Its XML declaration.
    """

    tree: markup.Element = field(repr=False, eq=False)
    name: str = "the steering file"
    declared: str = field(default="", repr=False)

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
        return cls(tree, str(name), markup.declaration(content))

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
        return markup.serialise(self.tree, self.declared)

    def get(self, address: Address) -> str | None:
        """What a parameter says, without surplus blanks and with constants put in; ``None`` if it is missing.

        What a processor does not say itself, its group may say.

        Raises:
            SteeringError: If processor or constant are missing, or if the parameter is there twice.
        """
        section = self._section(address)
        found = self._find(address, section)
        if found is None and section.getparent().tag == "group":
            found = self._find(address, section.getparent())
        return None if found is None else self.put_in(markup.value_of(found), str(address))

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

        A parameter that comes from a group is added to the processor, and goes on as it is for the others.

        Args:
            address: The parameter.
            value: What it says from now on.
            kind: Its type if it is added, such as ``FloatVec``.
        Raises:
            SteeringError: If the processor is missing, or the parameter is there twice.
        """
        section = self._section(address)
        found = self._find(address, section)
        if found is None:
            attributes = {"name": address.parameter} | ({"type": kind} if kind else {})
            found = markup.append(section, "parameter", attributes)
        markup.set_value(found, value)

    def of_type(self, kind: str) -> tuple[str, ...]:
        """The names of all processors of a type, such as ``PfoAnalysis``."""
        return tuple(str(one.get("name")) for one in self.tree.xpath(_DEFINITIONS) if one.get("type") == kind)

    def executed(self) -> tuple[str, ...]:
        """The names of the processors that are executed, in order.

        Those under a condition count, unless it is ``false``: Marlin decides about it for every event.

        Raises:
            SteeringError: If a constant is missing.
        """
        names: list[str] = []
        for call in self.tree.xpath(_CALLS):
            if call.xpath("boolean(ancestor-or-self::*[normalize-space(@condition)='false'])"):
                continue
            name = str(call.get("name"))
            if call.tag == "group":
                members = self.tree.xpath("/marlin/group[@name=$name]/processor/@name", name=name)
                names += map(str, members)
            else:
                names.append(self.put_in(name, "<execute>"))
        return tuple(names)

    def add_processor(
        self, name: str, kind: str, parameters: Iterable[tuple[Mapping[str, str], str]] = ()
    ) -> None:
        """Define a processor.

        Args:
            name: Its name.
            kind: Its type.
            parameters: Attributes, such as ``name`` and ``type``, and value of each parameter.
        """
        processor = markup.append(self.tree.getroot(), "processor", {"name": name, "type": kind})
        for attributes, value in parameters:
            markup.set_value(markup.append(processor, "parameter", attributes), value)

    def execute(self, name: str) -> None:
        """Let a processor be executed after all others.

        Raises:
            SteeringError: If there is no section ``<execute>``.
        """
        section = self.tree.getroot().find("execute")
        if section is None:
            raise SteeringError(f"{self.name} has no section <execute>, which Marlin needs.{self._hint()}")
        if section.xpath("boolean(.//processor[@name=$name])", name=name):
            raise SteeringError(
                f"{self.name} executes {name!r} under a condition that is false; remove the condition."
            )
        markup.append(section, "processor", {"name": name})

    def includes(self) -> tuple[str, ...]:
        """The files that it includes, as it names them."""
        return tuple(str(one.get("ref")) for one in self.tree.xpath("//include"))

    def _find(self, address: Address, section: markup.Element) -> markup.Element | None:
        found = section.xpath("parameter[@name=$name]", name=address.parameter)
        if len(found) > 1:
            lines = ", ".join(str(one.sourceline) for one in found)
            raise SteeringError(f"{self.name} has {address} more than once (lines {lines}); keep one.")
        return found[0] if found else None

    def _section(self, address: Address) -> markup.Element:
        if address.processor is None:
            sections = self.tree.xpath("/marlin/global")
        else:
            name = self.put_in(address.processor, "the processor's name")
            sections = [one for one in self.tree.xpath(_DEFINITIONS) if one.get("name") == name]
        if not sections:
            raise SteeringError(self._missing(address))
        if len(sections) > 1:
            what = "<global>" if address.processor is None else f"the processor {address.processor!r}"
            lines = ", ".join(str(one.sourceline) for one in sections)
            raise SteeringError(f"{self.name} has {what} more than once (lines {lines}); keep one.")
        return sections[0]

    def put_in(self, text: str, where: str = "a name") -> str:
        """A text with the constants that it names."""
        if "${" not in text:
            return text
        constants = self._constants()

        def value(found: re.Match[str]) -> str:
            said = constants.get(found["name"], "")
            if not said:
                raise SteeringError(
                    f"{self.name}: {where} names the constant {found['name']!r}, which <constants> does not "
                    f"have; it has {', '.join(constants) or 'none'}.{self._hint()}"
                )
            return said

        return _CONSTANT.sub(value, text)

    def _constants(self) -> dict[str, str]:
        """Constant -> value; one may name those before it."""
        constants: dict[str, str] = {}
        for constant in self.tree.xpath("/marlin/constants/constant"):
            value = markup.value_of(constant)
            for earlier, known in constants.items():
                value = value.replace(f"${{{earlier}}}", known)
            name = str(constant.get("name"))
            if name in constants:
                raise SteeringError(f"{self.name} has the constant {name!r} more than once; keep one.")
            constants[name] = value
        return constants

    def _hint(self) -> str:
        includes = ", ".join(self.includes())
        return f" It includes {includes}, which is not read here: put that into the file." if includes else ""

    def _missing(self, address: Address) -> str:
        if address.processor is None:
            return f"{self.name} has no section <global>, which Marlin needs.{self._hint()}"
        there = sorted({str(one.get("name")) for one in self.tree.xpath(_DEFINITIONS)})
        return (
            f"{self.name} has no processor {address.processor!r}; it has {', '.join(there) or 'none'}. "
            f"Set DDCaloDigiName and DDPandoraPFANewProcessorName to the names in it.{self._hint()}"
        )
