"""Payloads as ROOT files; quick to import, as every task of every calibration asks each codec."""

import sys
from collections.abc import Mapping
from typing import Any

from attrs import frozen


@frozen
class RootCodec:
    """The codec ``root``.

    A content is a histogram (``Counts``, or one of ``hist`` or ``boost_histogram``, of 1 to 3 dimensions), a
    mapping of columns (arrays of one length by name, kept as a tree), or a mapping of names to such
    histograms, such mappings and texts. Histograms come back as they were, bit by bit, with their axes,
    names, labels, metadata and storage (``Counts`` as a ``hist.Hist`` of whole numbers), columns as a
    dictionary of arrays of the same types. What ROOT cannot keep exactly is refused: masked arrays, storages
    of means, transforms of one's own.
    """

    name: str = "root"
    suffix: str = "root"

    def accepts(self, content: Any) -> bool:
        """Whether it is a histogram, or a mapping with one.

        Mappings of arrays alone are left to NPZ unless this codec is asked for by name: the format of a
        payload must not depend on which plugins are there.
        """
        if "boost_histogram" not in sys.modules:
            return False  # nobody can have made a histogram
        from caf_root.stored import is_histogram

        parts = content.values() if isinstance(content, Mapping) else (content,)
        return any(map(is_histogram, parts))

    def encode(self, content: Any) -> bytes:
        """The canonical bytes.

        Raises:
            TypeError: If a part of the content is of no kind that goes into a ROOT file.
            ValueError: If it is, but ROOT would not keep it exactly.
        """
        from caf_root.stored import encode

        return encode(content)

    def decode(self, data: bytes) -> Any:
        """The content again; a ROOT file from elsewhere is read as a folder of what caf-root knows in it."""
        from caf_root.stored import decode

        return decode(data)
