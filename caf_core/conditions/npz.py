"""Numpy arrays, alone or within plain values, as an ``.npz`` archive that depends on nothing but the content.

The archive opens with ``numpy.load``; beside its arrays it holds ``content.json``, which says where they
belong. Numpy is imported by name when it is needed: the core does not depend on it.
"""

import importlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from caf_core.conditions import plain

_INDEX = "content.json"
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*")


@frozen
class NpzCodec:
    """Numpy arrays, bit by bit; of records, the padding between the fields is taken out.

    They come back read-only, for constants are shared by all who look them up.
    """

    name: str = "npz"
    suffix: str = "npz"

    def accepts(self, content: Any) -> bool:
        """Whether there is an array in it."""
        return _holds_array(content, depth=0)

    def encode(self, content: Any) -> bytes:
        """See ``PayloadCodec``."""
        members: dict[str, bytes] = {}

        def keep(array: Any, where: str) -> dict[str, str]:
            name = _member_name(where, members)
            members[name] = _array_bytes(array, where)
            return {"$array": name}

        index = plain.dump(plain.to_plain(content, array=keep))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_member(_INDEX), index)
            for name, data in sorted(members.items()):
                archive.writestr(_member(f"{name}.npy"), data)
        return buffer.getvalue()

    def decode(self, data: bytes) -> Any:
        """See ``PayloadCodec``."""
        array_format = importlib.import_module("numpy.lib.format")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:

            def read(name: str) -> Any:
                array = array_format.read_array(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
                array.flags.writeable = False
                return array

            return plain.from_plain(json.loads(archive.read(_INDEX)), array=read)


def _holds_array(value: Any, depth: int) -> bool:
    if plain.is_array(value):
        return True
    if depth > 100:  # a content that contains itself; the JSON codec will say so
        return False
    if isinstance(value, Mapping):
        return any(_holds_array(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_array(item, depth + 1) for item in value)
    return plain.is_object(value) and any(
        _holds_array(item, depth + 1) for item in plain.fields_of(value).values()
    )


def _member_name(where: str, taken: Mapping[str, bytes]) -> str:
    """A readable name for an array, such as ``layers.0.t0`` for ``['layers'][0].t0``."""
    name = re.sub(r"[\[\]'.]+", ".", where).strip(".") or "array"
    return name if _MEMBER.fullmatch(name) and name not in taken else f"array.{len(taken)}"


def _member(name: str) -> zipfile.ZipInfo:
    """A member without time or owner; uncompressed, because compressors differ between machines."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o644 << 16
    return info


def _scalar_types(dtype: Any) -> Iterator[Any]:
    """A dtype and, of records, those of its fields."""
    yield dtype
    if dtype.subdtype is not None:
        yield from _scalar_types(dtype.subdtype[0])
    for field in (dtype.fields or {}).values():
        yield from _scalar_types(field[0])


def _array_bytes(array: Any, where: str) -> bytes:
    numpy: Any = importlib.import_module("numpy")
    if type(array) is not numpy.ndarray:
        raise TypeError(
            f"the array {where} is a {plain.type_name(array)}, which would lose its extra meaning; "
            f"give numpy.asarray of it"
        )
    if array.dtype.hasobject:
        raise TypeError(f"the array {where} holds Python objects; give it a numerical or text dtype")
    kinds = list(_scalar_types(array.dtype))
    if any(kind.metadata for kind in kinds):
        raise TypeError(f"the array {where} has a dtype with metadata, which would be lost; take them out")
    if any(kind in (numpy.longdouble, numpy.clongdouble) for kind in kinds):
        raise TypeError(
            f"the array {where} is of type {array.dtype}, which differs between machines; "
            "give it the dtype float64 or complex128"
        )
    if array.dtype.fields is not None:  # bytes between the fields would be arbitrary
        array = importlib.import_module("numpy.lib.recfunctions").repack_fields(array, recurse=True)
    buffer = io.BytesIO()
    array_format = importlib.import_module("numpy.lib.format")
    # Always the newest header, which can name any field; the default depends on the names.
    array_format.write_array(buffer, numpy.asarray(array, order="C"), version=(3, 0), allow_pickle=False)
    return buffer.getvalue()
