"""From any corner within 20 % of the truth, and from much farther away; without files."""

import random

import numpy as np
import pytest

from caf_pandora import constants as c
from caf_pandora.demo import EVENTS_PER_FILE, FILES, first_event, starting_constants
from caf_pandora.errors import TooFewEventsError
from caf_pandora.phases import PHASES
from caf_pandora.standin.detector import CLIC
from caf_pandora.standin.fixed_points import fixed_points


def corners(number):
    dice = random.Random(2)
    return [{name: dice.choice((0.8, 1.2)) for name in c.NAMES} for _ in range(number)]


@pytest.fixture
def converge(simulate, setup):
    """Phases 0 to 4, twice; gives the constants and the steps of each phase."""

    def converge(start, events=2500):
        constants, steps = c.frozen_constants(start), []
        for _ in range(2):
            results = {}
            for phase in PHASES[:5]:
                for step in range(phase.max_steps):
                    results[phase.sample] = simulate(phase.sample, events, constants, first=0)
                    outcome = phase.update(results, constants, setup)
                    constants = outcome.constants
                    if outcome.converged:
                        steps.append(step + 1)
                        break
                else:
                    pytest.fail(f"{phase.name} has not converged: {outcome.metrics}")
        return constants, steps

    return converge


def check(found, setup, fraction=1.0):
    for name, point in fixed_points(CLIC, setup).items():
        assert abs(found[name] - point.value) < fraction * point.tolerance, name


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_all_constants_off_by_20_percent(converge, nominal, setup, factor):
    found, steps = converge({name: factor * value for name, value in nominal.items()})
    check(found, setup)
    assert max(steps) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("corner", corners(30), ids=range(30))
def test_corners(converge, nominal, setup, corner):
    found, steps = converge({name: corner[name] * value for name, value in nominal.items()})
    check(found, setup, 0.7)
    assert max(steps) <= 5


@pytest.mark.slow
def test_statistics_make_the_demo_no_lottery(simulate, setup):
    """As many events as the demo has, forty times others: none near the edge of its tolerance."""
    points = fixed_points(CLIC, setup)
    numbers = {sample: FILES * number for sample, number in EVENTS_PER_FILE.items()}
    off = []
    for seed in range(2, 42):
        constants, results = starting_constants(CLIC, seed), {}
        for phase in PHASES[:5]:
            for _ in range(phase.max_steps):
                sample = phase.sample
                results[sample] = simulate(sample, numbers[sample], constants, first=first_event(seed))
                outcome = phase.update(results, constants, setup)
                constants = outcome.constants
                if outcome.converged:
                    break
        off.append([(constants[name] - point.value) / point.tolerance for name, point in points.items()])
    assert np.abs(off).max() < 1
    assert np.abs(np.mean(off, axis=0)).max() < 0.25
    assert np.std(off, axis=0).max() < 0.35


@pytest.mark.parametrize("factor", [0.1, 30.0])
def test_much_farther_away(converge, nominal, setup, factor):
    found, _ = converge({name: factor * value for name, value in nominal.items()})
    check(found, setup)


def test_too_far_away_ends_with_an_error(converge, nominal):
    with pytest.raises(TooFewEventsError, match="starting constants are far from the truth"):
        converge({name: 0.02 * value for name, value in nominal.items()})
