"""Reading XML that others wrote, and writing it back as they would know it.

We use lxml: it keeps comments, also those before the root element and between parameters, the order of
attributes and CDATA sections, and it takes names as XPath variables, so that a processor's name with a quote
in it stays a name. The ElementTree of the standard library, made safe by defusedxml, drops what stands before
the root element and knows no variables. What makes XML unsafe is the document type with its entities; nothing
here needs one, so entities are never resolved, nothing is fetched, and a file with a document type is
refused.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from caf_pandora.errors import SteeringError

Element = Any
"""An element of lxml, which ships no type information."""
_DECLARATION = re.compile(rb"(?:\xef\xbb\xbf)?\s*(<\?xml\s[^>]*\?>)")


def parse(content: bytes, name: object) -> Element:
    """The tree of a document.

    Args:
        content: The document.
        name: What it is called in errors.
    Raises:
        SteeringError: If it is no XML, or has a document type.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, strip_cdata=False
    )
    try:
        tree = etree.fromstring(content, parser).getroottree()
    except etree.XMLSyntaxError as problem:
        raise SteeringError(f"{name} is no XML that can be read: {problem}.") from problem
    if tree.docinfo.doctype or tree.docinfo.internalDTD is not None:
        raise SteeringError(
            f"{name} has a document type (<!DOCTYPE ...>), which could name other files; remove it."
        )
    return tree


def read(path: Path) -> Element:
    """The tree of a file; see ``parse``."""
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise SteeringError(f"{path} cannot be read: {problem.strerror}.") from problem
    return parse(content, path)


def declaration(content: bytes) -> str:
    """The declaration that a document begins with, as ``<?xml version="1.0"?>``; empty if it has none."""
    found = _DECLARATION.match(content)
    return found[1].decode("ascii", "replace") if found else ""


def serialise(tree: Element, declared: str = "") -> bytes:
    """The document's bytes, in its own encoding.

    Args:
        tree: The document.
        declared: The declaration that it begins with, which lxml does not keep.
    """
    encoding = tree.docinfo.encoding or "UTF-8"
    root = tree.getroot()
    parts = [*reversed(list(root.itersiblings(preceding=True))), root, *root.itersiblings()]
    # lxml forgets the line breaks around the root element
    lines = [etree.tostring(part, encoding="unicode", with_tail=False) for part in parts]
    text = "\n".join([declared, *lines] if declared else lines)
    return f"{text}\n".encode(encoding, "xmlcharrefreplace")


def value_of(element: Element) -> str:
    """What a parameter says: its attribute ``value`` if it has one, else its text without comments."""
    value = element.get("value")
    if value is None:
        value = (element.text or "") + "".join(child.tail or "" for child in element)
    return " ".join(str(value).split())


def set_value(element: Element, value: str) -> None:
    """Let a parameter say something, in the place where it said something before."""
    if value_of(element) == value:
        return
    if element.get("value") is not None:
        element.set("value", value)
        return
    for child in list(element):
        element.remove(child)
    element.text = value


def append(parent: Element, name: str, attributes: Mapping[str, str] | None = None) -> Element:
    """Add an empty child at the end, indented like those before it."""
    child = etree.Element(name, attributes or {})
    children = list(parent)
    if children:
        end, before = children[-1].tail, parent.text
        children[-1].tail, child.tail = before, end
    else:
        indent = (parent.getprevious().tail if parent.getprevious() is not None else None) or "\n"
        parent.text, child.tail = indent + "  ", indent
    parent.append(child)
    return child


def text_of(element: Element) -> str:
    """An element as it stands in a document, with what follows it."""
    return str(etree.tostring(element, encoding="unicode"))
