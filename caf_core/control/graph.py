"""The graph of calibrations that depend on one another: order, cycles, drawings. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from caf_core.errors import DependencyCycleError

Graph = Mapping[str, Sequence[str]]
"""Name -> the names that it depends on."""


def ordered(graph: Graph) -> tuple[str, ...]:
    """The names so that each comes after all that it depends on; otherwise in the order given.

    Raises:
        DependencyCycleError: With the cycle spelled out.
    """
    done: dict[str, None] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in path:
            raise DependencyCycleError([*path[path.index(name) :], name])
        path.append(name)
        for dependency in graph[name]:
            visit(dependency)
        path.pop()
        done[name] = None

    for name in graph:
        visit(name)
    return tuple(done)


def nearest_first(graph: Graph, name: str) -> tuple[str, ...]:
    """All that a calibration depends on, directly or not: the nearest first, and the one named last first
    among equals; but always before what it depends on itself, whose constants it may refine."""
    found: dict[str, None] = {}
    level: Iterable[str] = tuple(reversed(graph[name]))
    while level:
        found.update(dict.fromkeys(level))
        next_level = (far for near in level for far in reversed(graph[near]) if far not in found)
        level = tuple(dict.fromkeys(next_level))
    order: list[str] = []
    while found:
        needed = {far for near in found for far in graph[near]}
        free = (one for one in found if one not in needed)
        order.append(next(free, next(iter(found))))  # in a cycle nobody is free
        del found[order[-1]]
    return tuple(order)


def dependents(graph: Graph, name: str) -> frozenset[str]:
    """All that depend on a calibration, directly or not."""
    return frozenset(other for other in graph if name in nearest_first(graph, other))


def mermaid(graph: Graph, labels: Mapping[str, str] | None = None) -> str:
    """The graph as a Mermaid flowchart; arrows run from a calibration to those that wait for it."""
    ids = {name: f"c{number}" for number, name in enumerate(graph)}
    lines = ["flowchart LR"]
    lines += [f'    {ids[name]}["{_escaped(_label(name, labels))}"]' for name in graph]
    lines += [f"    {ids[dep]} --> {ids[name]}" for name, deps in graph.items() for dep in deps]
    return "\n".join(lines) + "\n"


def dot(graph: Graph, labels: Mapping[str, str] | None = None) -> str:
    """The graph in Graphviz's language."""
    lines = ["digraph calibrations {", "    rankdir=LR; node [shape=box, style=rounded];"]
    lines += [f'    "{_escaped(name)}" [label="{_escaped(_label(name, labels))}"];' for name in graph]
    lines += [f'    "{_escaped(dep)}" -> "{_escaped(name)}";' for name, deps in graph.items() for dep in deps]
    return "\n".join([*lines, "}"]) + "\n"


def _label(name: str, labels: Mapping[str, str] | None) -> str:
    return f"{name} ({labels[name]})" if labels and name in labels else name


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', "'")
