"""caf runs detector calibrations: collect, calibrate, store constants with their validity, iterate.

The public names are imported when they are first used (PEP 562), so ``import caf_core`` is quick.
"""

from importlib import import_module

TYPE_CHECKING = False  # the real one would import typing, which takes longer than everything else here
if TYPE_CHECKING:
    from typing import Any

    from caf_core.plugins.markers import hookimpl as hookimpl
    from caf_core.plugins.markers import hookspec as hookspec

_MODULES = {
    "plugins.markers": ("hookimpl", "hookspec"),
}
"""Module below ``caf_core`` -> what it gives to users; the block above tells type checkers the same."""

_HOME = {name: f"caf_core.{module}" for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> "Any":
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("caf-core")
    else:
        raise AttributeError(f"module 'caf_core' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
