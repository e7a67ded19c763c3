"""Pandora's likelihood data for photon identification: reading, merging, writing.

Such a file has no single root element: ``NSignalEvents`` and ``NBackgroundEvents`` (one number an energy bin)
stand beside one element for every histogram, such as ``PhotonSigPeakRms_0`` and ``PhotonBkgPeakRms_0``: its
name says of what it was made, and its energy bin. Its ``BinContents``, underflow and overflow among them, add
up to 1. Merging weighs them with the events they were made from.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Sequence

import numpy as np
from attrs import field, frozen

from caf_pandora import markup
from caf_pandora.errors import SteeringError
from caf_pandora.histogram import Floats

EVENTS = {"Sig": "NSignalEvents", "Bkg": "NBackgroundEvents"}
CONTENTS = "BinContents"
EDGES = "EnergyBinLowerEdges"
_MOST = 1.001
"""The most that contents of a histogram add up to, with what their numbers are rounded to."""
_BIN = re.compile(r"_(?P<bin>\d+)$")
_ENCODING = re.compile(r"encoding\s*=\s*[\"']([^\"']+)")


@frozen(eq=False)
class Likelihood:
    """A likelihood file.

    Args:
        events: ``Sig`` and ``Bkg`` -> events of every energy bin.
        contents: Histogram -> its contents, which add up to 1, or to 0 without events.
        document: The file's elements inside a root of ours; whatever else it says is kept.
    """

    events: dict[str, Floats]
    contents: dict[str, Floats]
    document: markup.Element = field(repr=False)

    @classmethod
    def parse(cls, content: bytes, name: object = "the likelihood file") -> "Likelihood":
        """Read a file.

        Raises:
            SteeringError: If it is no XML, or no likelihood file.
        """
        root = markup.parse(_wrapped(content, name), name).getroot()
        elements = [element for element in root if isinstance(element.tag, str)]
        tags = [str(element.tag) for element in elements]
        twice = sorted({tag for tag in tags if tags.count(tag) > 1})
        if twice:
            raise SteeringError(f"{name} has {', '.join(twice)} more than once; keep one.")
        events = {kind: _numbers(root.find(tag), tag, name) for kind, tag in EVENTS.items()}
        if any((numbers % 1).any() for numbers in events.values()):
            raise SteeringError(f"{name} has numbers of events that are not whole.")
        if len(events["Sig"]) != len(events["Bkg"]):
            raise SteeringError(f"{name} has other energy bins for signal than for background.")
        contents = {
            str(element.tag): _contents(element, events, name)
            for element in elements
            if element.find(CONTENTS) is not None or _kinds(str(element.tag))
        }
        if not contents:
            raise SteeringError(f"{name} has no histograms such as PhotonSigPeakRms_0.")
        return cls(events, contents, root)

    @property
    def edges(self) -> Floats:
        """Lower edges of the energy bins [GeV].

        Raises:
            SteeringError: If the file does not say them, one for every bin.
        """
        edges = _numbers(self.document.find(EDGES), EDGES, "the likelihood file")
        if len(edges) != len(self.events["Sig"]):
            raise SteeringError(f"the likelihood file should have one of {EDGES} for every energy bin.")
        return edges

    def content(self) -> bytes:
        """The file's bytes; the numbers are exact."""
        root = markup.parse(markup.text_of(self.document).encode(), "the likelihood").getroot()
        for kind, tag in EVENTS.items():
            markup.set_value(
                root.find(tag), " ".join(str(round(number)) for number in self.events[kind].tolist())
            )
        for histogram, contents in self.contents.items():
            markup.set_value(root.find(histogram).find(CONTENTS), " ".join(map(repr, contents.tolist())))
        parts = [markup.text_of(child) for child in root]
        return ((root.text or "").lstrip() + "".join(parts)).strip().encode() + b"\n"

    def of(self, histogram: str) -> float:
        """From how many events a histogram was made."""
        kind, place = _made_of(histogram)
        return float(self.events[kind][place])


def merge(files: Sequence[bytes]) -> Likelihood:
    """Merge likelihood files: contents times events, rounded, are added up and divided by all events again.

    Args:
        files: Contents of the files; their order does not matter.
    Raises:
        SteeringError: If there are none, or if their histograms or bins differ.
    """
    if not files:
        raise SteeringError("no likelihood files were given that could be merged; at least one is needed.")
    parts = [Likelihood.parse(content, f"likelihood file {i}") for i, content in enumerate(files)]
    first = parts[0]
    for place, part in enumerate(parts):
        if _shape(part) != _shape(first):
            raise SteeringError(f"likelihood file {place} has other histograms or bins than the first one.")
    events = {kind: np.sum([part.events[kind] for part in parts], axis=0) for kind in EVENTS}
    merged = Likelihood(events, {}, first.document)
    for histogram in first.contents:
        total = np.sum([np.rint(part.contents[histogram] * part.of(histogram)) for part in parts], axis=0)
        made_from = merged.of(histogram)
        merged.contents[histogram] = total / made_from if made_from else np.zeros_like(total)
    return merged


def _wrapped(content: bytes, name: object) -> bytes:
    """The elements of a file inside a root of ours, in UTF-8."""
    declared = markup.declaration(content)
    encoding = _ENCODING.search(declared)
    elements = content.removeprefix(BOM_UTF8).lstrip()[len(declared) :]
    try:
        text = elements.decode(encoding[1] if encoding else "utf-8")
    except (LookupError, UnicodeDecodeError) as problem:
        raise SteeringError(f"{name} is no XML that can be read: {problem}.") from problem
    return f"<likelihood>{text}</likelihood>".encode()


def _kinds(tag: str) -> list[str]:
    """Of what a histogram was made, by its name; nothing if it is no histogram's."""
    return [kind for kind in EVENTS if kind in tag] if _BIN.search(tag) else []


def _made_of(histogram: str) -> tuple[str, int]:
    """Kind and energy bin of a histogram."""
    place = _BIN.search(histogram)
    kinds = _kinds(histogram)
    if place is None or len(kinds) != 1:
        raise SteeringError(
            f"{histogram!r} is no name of a likelihood histogram: it should hold Sig or Bkg and end in its "
            "energy bin, as PhotonSigPeakRms_0 does."
        )
    return kinds[0], int(place["bin"])


def _contents(element: markup.Element, events: dict[str, Floats], name: object) -> Floats:
    """The contents of a histogram; those of an energy bin without events are 0, whatever they say."""
    histogram = str(element.tag)
    try:
        kind, place = _made_of(histogram)
    except SteeringError as problem:
        raise SteeringError(f"{name}: {problem}") from problem
    if place >= len(events[kind]):
        raise SteeringError(f"{name} has {histogram}, but only {len(events[kind])} energy bins.")
    contents = _numbers(element.find(CONTENTS), f"{histogram}/{CONTENTS}", name, finite=False)
    if not events[kind][place]:
        return np.zeros_like(contents)
    if not (np.isfinite(contents).all() and (contents >= 0).all()):
        raise SteeringError(f"{name} has contents of {histogram} that are no numbers from 0 on.")
    if (total := float(contents.sum())) > _MOST:
        raise SteeringError(
            f"{name} has contents of {histogram} that add up to {total:g}, and they are fractions of its "
            "events: they should add up to 1."
        )
    return contents


def _shape(likelihood: Likelihood) -> object:
    """What has to agree: everything but events and contents."""
    other = {
        (element.tag, child.tag, _said(child))
        for element in likelihood.document
        if isinstance(element.tag, str) and element.tag not in EVENTS.values()
        for child in [element, *element]
        if isinstance(child.tag, str)
        and child.tag != CONTENTS
        and (child is not element or len(element) == 0)
    }
    sizes = {name: len(contents) for name, contents in likelihood.contents.items()}
    return other, sizes, len(likelihood.events["Sig"])


def _said(element: markup.Element) -> object:
    """What an element says: numbers, however they are written, or a text."""
    text = markup.value_of(element)
    try:
        return tuple(map(float, text.split()))
    except ValueError:
        return text


def _numbers(element: markup.Element | None, what: str, name: object, *, finite: bool = True) -> Floats:
    try:
        if element is None:
            raise ValueError("missing")
        numbers = np.array([float(word) for word in markup.value_of(element).split()])
    except ValueError as problem:
        raise SteeringError(f"{name} should have numbers in {what}, and it is {problem}.") from problem
    if finite and not (np.isfinite(numbers).all() and (numbers >= 0).all()):
        raise SteeringError(f"{name} should have numbers from 0 on in {what}.")
    return numbers
