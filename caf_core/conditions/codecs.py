"""How contents become bytes: the codecs, and the choice between them."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from caf_core.conditions import plain
from caf_core.conditions.npz import NpzCodec
from caf_core.conditions.payload import Entry, Payload, StoredPayload
from caf_core.conditions.provenance import Provenance
from caf_core.errors import ConfigurationError, PayloadError
from caf_core.text import clause

_SUFFIX = re.compile(r"[A-Za-z0-9]+")


class PayloadCodec(Protocol):
    """A payload format.

    Equal contents give equal bytes: no time stamps, no random identifiers, nothing of this machine.
    """

    @property
    def name(self) -> str:
        """What ``Payload.codec`` calls it."""

    @property
    def suffix(self) -> str:
        """The suffix of its files, without the dot: letters and digits."""

    def accepts(self, content: Any) -> bool:
        """Whether this is a content for it; cheap, and never raises."""

    def encode(self, content: Any) -> bytes:
        """The canonical bytes.

        Raises:
            TypeError, ValueError: If some part of the content cannot be stored; the message says which.
        """

    def decode(self, data: bytes) -> Any:
        """The content again."""


@frozen
class BytesCodec:
    """Bytes as they are."""

    name: str = "bytes"
    suffix: str = "bin"

    def accepts(self, content: Any) -> bool:
        """See ``PayloadCodec``."""
        return isinstance(content, bytes)

    def encode(self, content: Any) -> bytes:
        """See ``PayloadCodec``."""
        if not isinstance(content, bytes):
            raise TypeError(f"it is of type {plain.type_name(content)}, not bytes")
        return bytes(content)

    def decode(self, data: bytes) -> bytes:
        """See ``PayloadCodec``."""
        return data


@frozen
class JsonCodec:
    """Plain values, attrs objects and dataclasses as strict JSON; see ``plain`` for what comes back."""

    name: str = "json"
    suffix: str = "json"

    def accepts(self, content: Any) -> bool:
        """See ``PayloadCodec``."""
        kinds = (bool, int, float, str, Mapping, list, tuple)
        return (
            content is None
            or isinstance(content, kinds)
            or plain.is_object(content)
            or plain.is_scalar(content)
        )

    def encode(self, content: Any) -> bytes:
        """See ``PayloadCodec``."""
        return plain.dump(plain.to_plain(content))

    def decode(self, data: bytes) -> Any:
        """See ``PayloadCodec``."""
        return plain.from_plain(json.loads(data))


def _as_tuple(codecs: Iterable[PayloadCodec]) -> tuple[PayloadCodec, ...]:
    return tuple(codecs)


def _check_codecs(_instance: object, _attribute: object, codecs: tuple[PayloadCodec, ...]) -> None:
    for index, codec in enumerate(codecs):
        if not _SUFFIX.fullmatch(codec.suffix):
            raise ConfigurationError(
                f"the payload codec {codec.name!r} has the suffix {codec.suffix!r}: use letters and digits."
            )
        for other in codecs[:index]:
            if codec.name == other.name or codec.suffix == other.suffix:
                raise ConfigurationError(
                    f"two payload codecs are called {other.name!r} (.{other.suffix}) and "
                    f"{codec.name!r} (.{codec.suffix}): "
                    "names and suffixes must differ; remove one of them."
                )


@frozen
class Codecs:
    """The codecs of a database, in the order in which they are asked."""

    codecs: tuple[PayloadCodec, ...] = field(converter=_as_tuple, validator=_check_codecs)

    def with_codecs(self, more: Iterable[PayloadCodec]) -> "Codecs":
        """These and more; the ones that were there are asked first."""
        return Codecs((*self.codecs, *more))

    def by_suffix(self, suffix: str) -> PayloadCodec | None:
        """The codec that wrote a file with this suffix, if it is here."""
        return next((codec for codec in self.codecs if codec.suffix == suffix), None)

    def encode(self, payload: Payload, provenance: Provenance | None = None) -> StoredPayload:
        """Encode a payload.

        Raises:
            PayloadError: If it has no interval or an empty one, or if no codec can store it.
        """
        if payload.iov is None or payload.iov.empty:
            raise PayloadError(
                f"the payload {payload.name!r} has no interval of validity; set one: Payload(..., iov=...)."
            )
        codec = self._codec_for(payload)
        try:
            data = codec.encode(payload.content)
        except Exception as error:  # a plugin's codec may raise anything
            raise PayloadError(
                f"the payload {payload.name!r} ({plain.type_name(payload.content)}) cannot be stored "
                f"by the codec {codec.name!r}: {_reason(error)}; give plain values, attrs objects, numpy "
                "arrays of numbers, or bytes."
            ) from error
        entry = Entry(payload.name, revision_of(codec.name, data), payload.iov)
        return StoredPayload(entry, codec.suffix, data, provenance or Provenance())

    def decode(self, stored: StoredPayload) -> Any:
        """Decode a payload.

        Raises:
            PayloadError: If its codec is not there, or its bytes are not those that were stored.
        """
        entry = stored.entry
        what = f"the payload {entry.name!r}, revision {entry.revision},"
        codec = self.by_suffix(stored.suffix)
        if codec is None:
            raise PayloadError(
                f"{what} is in the format .{stored.suffix}, and the codecs here are {self}; "
                "install the plugin that brings its codec, or, if it is, open the database with "
                "codecs=installed_codecs() of caf_core.plugins.databases."
            )
        if revision_of(codec.name, stored.data) != entry.revision:
            raise PayloadError(
                f"{what} is damaged: its bytes have another hash; restore its file from a copy."
            )
        try:
            return codec.decode(stored.data)
        except Exception as error:  # as in encode
            raise PayloadError(
                f"{what} cannot be read by the codec {codec.name!r}: {_reason(error)}."
            ) from error

    def _codec_for(self, payload: Payload) -> PayloadCodec:
        for codec in self.codecs:
            if codec.name == payload.codec or (payload.codec is None and codec.accepts(payload.content)):
                return codec
        wanted = (
            "no codec accepts it" if payload.codec is None else f"there is no codec called {payload.codec!r}"
        )
        raise PayloadError(
            f"the payload {payload.name!r} ({plain.type_name(payload.content)}) cannot be stored: "
            f"{wanted} (there are {self}); "
            "give plain values, attrs objects, numpy arrays or bytes, or install a plugin "
            "with a codec for it."
        )

    def __str__(self) -> str:
        return ", ".join(f"{codec.name} (.{codec.suffix})" for codec in self.codecs) or "none"


def revision_of(codec: str, data: bytes) -> str:
    """What names a payload's content: 16 hexadecimal digits of the SHA-256 of codec name and bytes."""
    return hashlib.sha256(codec.encode() + b"\0" + data).hexdigest()[:16]


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it contains itself, or is nested too deeply"
    return clause(error) or type(error).__name__


BUILTIN_CODECS = Codecs((BytesCodec(), NpzCodec(), JsonCodec()))
"""The formats of the core: bytes, numpy arrays (alone or within plain values), plain values."""
