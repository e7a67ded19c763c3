"""The user's own code, told apart from Python's and from what is installed, and what it refers to."""

import dis
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType

_NOTES = ("__firstlineno__", "__static_attributes__")
"""What Python notes in a class that is defined in a function, and what says nothing about what it does."""


def is_own(module_name: str | None) -> bool:
    """Whether a module is the user's: neither of Python, nor installed, nor of caf."""
    if not module_name or module_name.split(".")[0] == "caf_core":
        return False
    if module_name == "__main__":
        return True
    module = sys.modules.get(module_name)
    file = getattr(module, "__file__", None)
    if not file:
        # Made by hand, or in a notebook; Python's own modules without a file are known by their names.
        return module is not None and module_name.split(".")[0] not in sys.stdlib_module_names
    return is_own_file(file)


def own_folders() -> list[str]:
    """The folders of the user's in which this process finds modules."""
    folders = (str(Path(folder).absolute()) for folder in sys.path)
    found = (folder for folder in dict.fromkeys(folders) if Path(folder).is_dir())
    return [folder for folder in found if is_own_file(f"{folder}/x")]


@cache
def is_own_file(file: str) -> bool:
    path = Path(file).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in _installed())


@cache
def _installed() -> tuple[Path, ...]:
    """Where Python keeps its own modules and those that are installed."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(Path(folder).resolve() for folder in folders if folder)


@cache
def _listing(code: CodeType) -> tuple[dis.Instruction, ...]:
    return tuple(dis.get_instructions(code))


def instructions(code: CodeType) -> list[object]:
    """What code does, whatever its line numbers, docstrings and the numbering of its constants."""
    parts: list[object] = [
        code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 12)],
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        getattr(code, "co_exceptiontable", b""),
    ]
    lines: list[str] = []
    for one in _listing(code):
        if one.opname == "STORE_NAME" and one.argval in _NOTES:
            lines.pop()
        elif isinstance(one.argval, CodeType | tuple | frozenset):
            lines.append(one.opname)
            parts.append((len(lines), one.argval))
        else:
            lines.append(f"{one.opname} {type(one.argval).__name__} {one.argval!r}")
    return [*parts, "\n".join(lines)]


def used_globals(code: CodeType, known: Mapping[str, object]) -> list[tuple[str, object]]:
    """The global names that code, or code inside it, refers to, with their values, sorted by name."""
    names = {
        one.argval
        for part in with_inner(code)
        for one in _listing(part)
        if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return [(name, known[name]) for name in sorted(names) if name in known]


def attributes_of(module: ModuleType, code: CodeType) -> object:
    """Of a module of the user's, the attributes whose names the code uses; the name of any other module."""
    names = sorted({name for part in with_inner(code) for name in part.co_names})
    return _attributes(module, names, ())


def _attributes(module: ModuleType, names: list[str], above: tuple[ModuleType, ...]) -> object:
    if not is_own(module.__name__) or module in above:
        return module.__name__
    found = [(name, vars(module)[name]) for name in names if name in vars(module)]
    return [
        (name, _attributes(item, names, (*above, module)) if isinstance(item, ModuleType) else item)
        for name, item in found
    ]


def own_imports(code: CodeType, package: str | None) -> Iterator[tuple[str, CodeType]]:
    """The user's modules that code imports while it executes, and what these import: compiled from their
    files, as they may not have been imported yet."""
    seen: set[str] = set()
    waiting = [*_imports(code, package)]
    while waiting:
        name = waiting.pop(0)
        file = None if name in seen else _source(name)
        seen.add(name)
        if file is None:
            continue
        try:
            module = compile(Path(file).read_bytes(), name, "exec")
        except (OSError, SyntaxError, ValueError):
            continue  # Whoever imports it will say so.
        yield name, module
        waiting += _imports(module, name.rpartition(".")[0])


def _imports(code: CodeType, package: str | None) -> Iterator[str]:
    """The absolute names of the modules that code imports."""
    for part in with_inner(code):
        constants: list[object] = []
        for one in _listing(part):
            if one.opname == "IMPORT_NAME":
                level, names = (constants[-2], constants[-1]) if len(constants) > 1 else (0, None)
                dots = "." * level if isinstance(level, int) else ""
                if dots and not package:
                    continue
                base = importlib.util.resolve_name(dots + one.argval, package) if dots else one.argval
                yield base
                if isinstance(names, tuple):
                    yield from (f"{base}.{name}" for name in names)
            if one.opname.startswith("LOAD_"):
                constants.append(one.argval)


def _source(name: str) -> str | None:
    """The source file of a module of the user's; nothing for any other."""
    if name.split(".")[0] in {*sys.stdlib_module_names, "caf_core"}:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    file = spec.origin if spec is not None and spec.has_location else None
    return file if file and file.endswith(".py") and is_own_file(file) else None


def with_inner(code: CodeType) -> Iterator[CodeType]:
    """Code, and the code of functions, classes and comprehensions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from with_inner(constant)
