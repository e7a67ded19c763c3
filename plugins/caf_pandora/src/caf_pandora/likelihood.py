"""Pandora's likelihood data for photon identification: reading, merging, writing.

Such a file has no single root element: ``NSignalEvents`` and ``NBackgroundEvents`` (one number an energy bin)
stand beside one element for every histogram, ``<Name>Sig_<bin>`` or ``<Name>Bkg_<bin>``, whose
``BinContents`` add up to 1. Merging weighs them with the events they were made from.
"""

import re
from collections.abc import Sequence

import numpy as np
from attrs import field, frozen

from caf_pandora import markup
from caf_pandora.errors import SteeringError
from caf_pandora.histogram import Floats

EVENTS = {"Sig": "NSignalEvents", "Bkg": "NBackgroundEvents"}
CONTENTS = "BinContents"
_HISTOGRAM = re.compile(r"^(?P<name>.+)(?P<kind>Sig|Bkg)_(?P<bin>\d+)$")
_DECLARATION = re.compile(rb"^\s*<\?xml[^>]*\?>")


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
        wrapped = b"<likelihood>" + _DECLARATION.sub(b"", content) + b"</likelihood>"
        root = markup.parse(wrapped, name).getroot()
        events = {kind: _numbers(root.find(tag), tag, name) for kind, tag in EVENTS.items()}
        if len(events["Sig"]) != len(events["Bkg"]):
            raise SteeringError(f"{name} has other energy bins for signal than for background.")
        contents = {
            str(element.tag): _numbers(element.find(CONTENTS), f"{element.tag}/{CONTENTS}", name)
            for element in root
            if isinstance(element.tag, str) and _HISTOGRAM.match(element.tag)
        }
        for histogram in contents:
            if _bin(histogram)[1] >= len(events["Sig"]):
                raise SteeringError(f"{name} has {histogram}, but only {len(events['Sig'])} energy bins.")
        if not contents:
            raise SteeringError(f"{name} has no histograms such as PeakRmsSig_0.")
        return cls(events, contents, root)

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
        kind, place = _bin(histogram)
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


def _bin(histogram: str) -> tuple[str, int]:
    """Kind and energy bin of a histogram."""
    found = _HISTOGRAM.match(histogram)
    if found is None:
        raise SteeringError(f"{histogram!r} is no name of a likelihood histogram, such as PeakRmsSig_0.")
    return found["kind"], int(found["bin"])


def _shape(likelihood: Likelihood) -> object:
    """What has to agree: everything but events and contents."""
    other = {
        (element.tag, child.tag, markup.value_of(child))
        for element in likelihood.document
        if isinstance(element.tag, str) and element.tag not in EVENTS.values()
        for child in [element, *element]
        if isinstance(child.tag, str)
        and child.tag != CONTENTS
        and (child is not element or len(element) == 0)
    }
    sizes = {name: len(contents) for name, contents in likelihood.contents.items()}
    return other, sizes, len(likelihood.events["Sig"])


def _numbers(element: markup.Element | None, what: str, name: object) -> Floats:
    try:
        if element is None:
            raise ValueError("missing")
        return np.array([float(word) for word in markup.value_of(element).split()])
    except ValueError as problem:
        raise SteeringError(f"{name} should have numbers in {what}, and it is {problem}.") from problem
