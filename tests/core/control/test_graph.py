"""The graph of calibrations that depend on one another."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.control import graph
from caf_core.errors import DependencyCycleError

NAMES = st.sampled_from("abcdef")
GRAPHS = st.dictionaries(NAMES, st.lists(NAMES, unique=True, max_size=3), min_size=1).map(
    lambda found: {name: [dep for dep in deps if dep in found] for name, deps in found.items()}
)


def far_and_near(links, name) -> dict[str, int]:
    """Everything that can be reached, with its distance, by brute force."""
    distance: dict[str, int] = {}
    level, steps = set(links[name]), 1
    while level - set(distance):
        distance.update(dict.fromkeys(level - set(distance), steps))
        level, steps = {far for near in level for far in links[near]}, steps + 1
    return distance


@given(GRAPHS)
def test_the_order_respects_every_link_or_the_cycle_is_spelled_out(links) -> None:
    try:
        order = graph.ordered(links)
    except DependencyCycleError as error:
        assert error.cycle[0] == error.cycle[-1]
        for name, dependency in zip(error.cycle, error.cycle[1:], strict=False):
            assert dependency in links[name]
        assert " -> ".join(error.cycle) in str(error)
    else:
        assert sorted(order) == sorted(links)
        for name, dependencies in links.items():
            assert all(order.index(dependency) < order.index(name) for dependency in dependencies)
        assert not any(name in far_and_near(links, name) for name in links)


@given(GRAPHS)
def test_dependencies_come_nearest_first(links) -> None:
    for name in links:
        expected = far_and_near(links, name)
        found = graph.nearest_first(links, name)
        assert sorted(found) == sorted(expected)
        waiting = {other for other in links if name in far_and_near(links, other)}
        assert waiting == graph.dependents(links, name)
        if any(other in far_and_near(links, other) for other in found):
            continue  # a cycle, which has no order
        for near, far in itertools.combinations(found, 2):
            assert near not in links[far], "what refines constants is searched before what it refines"
            refined = any(far in far_and_near(links, other) for other in found)
            assert expected[near] <= expected[far] or refined


def test_among_equals_the_one_that_was_named_last_is_searched_first() -> None:
    assert graph.nearest_first({"a": ["b", "c"], "b": ["d"], "c": ["e"], "d": [], "e": []}, "a") == tuple(
        "cbed"
    )


def test_what_refines_constants_is_searched_before_what_it_refines() -> None:
    links = {"user": ["fine", "coarse"], "fine": ["between"], "between": ["coarse"], "coarse": []}
    assert graph.nearest_first(links, "user") == ("fine", "between", "coarse")


def test_without_links_the_order_is_the_users() -> None:
    assert graph.ordered({"z": [], "a": [], "m": []}) == ("z", "a", "m")


def test_a_wide_lattice_takes_no_time() -> None:
    links = {
        f"{row}/{column}": [f"{row - 1}/{c}" for c in range(6) if row]
        for row in range(40)
        for column in range(6)
    }
    assert len(graph.nearest_first(links, "39/0")) == 39 * 6


def test_drawings_name_everything_and_survive_quotes() -> None:
    links = {'my "best"': [], "b": ['my "best"']}
    assert graph.mermaid(links, {"b": "failed"}) == (
        'flowchart LR\n    c0["my \'best\'"]\n    c1["b (failed)"]\n    c0 --> c1\n'
    )
    assert '"my \'best\'" -> "b";' in graph.dot(links)


def test_a_calibration_that_depends_on_itself_is_a_cycle() -> None:
    with pytest.raises(DependencyCycleError, match="cycle: a -> a; remove one depends_on"):
        graph.ordered({"a": ["a"]})
