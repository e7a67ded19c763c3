"""The user's own modules on their way to a task, where they are importable under their names.

A module that lies beside the script travels as it was imported here: its code, its text for tracebacks and
debuggers, and the values of its variables. A task executes the code when it imports the module, and then
sets the variables that have other values than here, such as options that the script changed.
"""

import importlib.util
import io
import linecache
import marshal
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, nullcontext
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from attrs import frozen

from caf_core.calibration.own_code import is_own, with_inner

Dumps = Callable[[object], bytes]


@frozen
class OwnModule:
    """A module as it travels.

    Args:
        file: Its file where the script was started, which the other machine need not have.
        path: Where its submodules are, for a package.
        code: Its code, marshalled.
        text: Its source.
        variables: Those of its variables that can be pickled, each pickled.
    """

    file: str
    path: tuple[str, ...] | None
    code: bytes
    text: str
    variables: Mapping[str, bytes]


@frozen
class OwnModules:
    """The modules of a script, and what they may ask for when they are imported.

    Args:
        modules: By name.
        namespaces: Where the submodules of packages are that have no file.
        folder: The current folder of the script.
        arguments: Its ``sys.argv``.
    """

    modules: Mapping[str, OwnModule]
    namespaces: Mapping[str, tuple[str, ...]]
    folder: str
    arguments: tuple[str, ...]


def script_folder() -> Path | None:
    """The folder of the script that is being executed.

    Of a script that ``python -m`` has found in a package it is the package's; in an interactive session it is
    the current folder, if modules are looked for there.
    """
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file:
        package = getattr(main, "__spec__", None)
        return Path(file).resolve().parents[package.name.count(".") if package else 0]
    return Path.cwd() if {"", str(Path.cwd())} & {*sys.path} else None


def modules_beside(folder: Path | None) -> tuple[ModuleType, ...]:
    """The imported modules that lie in ``folder``: the user's own, which another machine may not have."""
    if folder is None:
        return ()
    found = []
    beside: dict[str, bool] = {}  # by folder: there are far fewer of them than modules
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name in ("__main__", "__mp_main__") or not file or name.startswith("caf_core"):
            continue
        parent = file.rpartition("/")[0]
        if parent not in beside:
            beside[parent] = Path(parent or "/").resolve().is_relative_to(folder)
        if beside[parent] and is_own(name):
            found.append(module)
    return tuple(found)


_taken: dict[str, tuple[CodeType, str]] = {}
"""Code and text of the modules that were taken along once: their files may be edited afterwards."""


def as_imported(module: ModuleType) -> tuple[CodeType, str] | None:
    """Code and text of a module, if they are those that this process has imported.

    Returns:
        ``None`` for what has no source, for what was edited since it was imported, and for code that an
        import hook has changed.
    """
    name = module.__name__
    found = _taken.get(name)
    if found is None or not _defines(found[0], module):
        found = _read(module)
    if found is None or not _defines(found[0], module):
        return None
    _taken[name] = found
    return found


def _read(module: ModuleType) -> tuple[CodeType, str] | None:
    file, loader = str(module.__file__), getattr(module, "__loader__", None)
    if not file.endswith(".py"):
        return None
    try:
        source = Path(file).read_bytes()
        # Python's own loader knows the byte code already.
        code = loader.get_code(module.__name__) if type(loader) is SourceFileLoader else None
        code = code or compile(source, file, "exec", dont_inherit=True)
        return code, importlib.util.decode_source(source)
    except (OSError, SyntaxError, ValueError, ImportError):
        return None


def _defines(code: CodeType, module: ModuleType) -> bool:
    """Whether a module's functions and methods are those of some code."""
    known = set(with_inner(code))
    own = [item for item in vars(module).values() if getattr(item, "__module__", None) == module.__name__]
    methods = [getattr(item, "__func__", item) for kind in own if isinstance(kind, type)
               for item in vars(kind).values()]  # fmt: skip
    return all(
        function.__code__ in known
        for function in (*own, *methods)
        if isinstance(function, FunctionType) and function.__code__.co_filename == module.__file__
    )


def pack_modules(modules: Sequence[tuple[ModuleType, tuple[CodeType, str]]], dumps: Dumps) -> OwnModules:
    """Modules with their code and text, ready to travel; ``dumps`` pickles the values of variables."""
    packed = {
        module.__name__: OwnModule(
            file=str(module.__file__),
            path=tuple(module.__path__) if hasattr(module, "__path__") else None,
            code=marshal.dumps(code),
            text=text,
            variables=dict(_variables(module, dumps)),
        )
        for module, (code, text) in modules
    }
    parents = {name.rpartition(".")[0] for name in packed if "." in name} - {*packed}
    namespaces = {name: tuple(sys.modules[name].__path__) for name in parents}
    return OwnModules(packed, namespaces, str(Path.cwd()), tuple(sys.argv))


def _variables(module: ModuleType, dumps: Dumps) -> Iterator[tuple[str, bytes]]:
    for name, value in list(vars(module).items()):
        if name.startswith("__") or isinstance(value, ModuleType | io.IOBase):
            continue
        if isinstance(value, type | FunctionType) and value.__module__ == module.__name__:
            continue  # what its code defines
        try:
            yield name, dumps(value)
        except Exception:  # noqa: S112 - such as a lock: importing the module makes one there
            continue


class _Loader(SourceFileLoader):
    """Executes a module that travelled; what lies beside its file is found if it is there."""

    def __init__(self, name: str, module: OwnModule, folder: str, dumps: Dumps) -> None:
        super().__init__(name, module.file)
        self._module = module
        self._folder = folder
        self._dumps = dumps

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the loader of one module
        code: CodeType = marshal.loads(self._module.code)  # noqa: S302 - from the kit, whose digest was checked
        return code

    def get_source(self, fullname: str) -> str:  # noqa: ARG002
        return self._module.text

    def exec_module(self, module: ModuleType) -> None:
        show_source(self._module.file, self._module.text)
        # A file that it reads may lie where the script was started.
        with chdir(self._folder) if os.access(self._folder, os.X_OK) else nullcontext():
            super().exec_module(module)
        _set_variables(module, self._module.variables, self._dumps)


def _set_variables(module: ModuleType, variables: Mapping[str, bytes], dumps: Dumps) -> None:
    # What is the same is left alone: others may have got hold of it and compare it by ``is``.
    for name, value in variables.items():
        if name not in vars(module) or not _same(vars(module)[name], value, dumps):
            setattr(module, name, pickle.loads(value))


def _same(value: object, packed: bytes, dumps: Dumps) -> bool:
    try:
        return dumps(value) == packed
    except Exception:
        return False


class _Finder:
    """Finds modules that travelled."""

    def __init__(self, own: OwnModules, dumps: Dumps) -> None:
        self._own = own
        self._dumps = dumps

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """As Python asks."""
        if name in self._own.namespaces:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = list(self._own.namespaces[name])
            return spec
        if name not in self._own.modules:
            return None
        module = self._own.modules[name]
        return importlib.util.spec_from_file_location(
            name,
            module.file,
            loader=_Loader(name, module, self._own.folder, self._dumps),
            submodule_search_locations=None if module.path is None else list(module.path),
        )


def install(own: OwnModules, dumps: Dumps, *, further: bool) -> None:
    """Make modules importable that travelled.

    Args:
        own: The modules.
        dumps: Pickles the values of variables.
        further: Whether modules of the same names that are there already count; otherwise what a task
            inherited gives way.
    """
    sys.argv[:] = own.arguments
    if not own.modules:
        return
    finder = _Finder(own, dumps)
    if further:
        sys.meta_path.insert(sum(isinstance(one, _Finder) for one in sys.meta_path), finder)
        return
    sys.meta_path.insert(0, finder)
    inherited = {name: sys.modules[name] for name in own.modules if name in sys.modules}
    if all(_is_same(module, own.modules[name]) for name, module in inherited.items()):
        # To execute it again would take time, and define once more what C++ has defined already.
        for name, module in inherited.items():
            _set_variables(module, own.modules[name].variables, dumps)
        return
    names = {*own.modules, *own.namespaces}
    for name in list(sys.modules):
        if name in names or any(name.startswith(f"{parent}.") for parent in names):
            del sys.modules[name]


def _is_same(module: ModuleType, own: OwnModule) -> bool:
    found = as_imported(module) if getattr(module, "__file__", None) == own.file else None
    return found is not None and found[1] == own.text


def show_source(file: str, text: str) -> None:
    """Let tracebacks and debuggers show a text for a file, whatever the file holds now."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
