"""Tokens of a whole crew are read at once, and none of them is good for longer than it should be."""

from typing import Any

import pytest

from caf_service.access import Identity
from service.bench import Bench

CREW = 5


def looked_up(bench: Bench, token: str) -> Identity | None:
    return bench.service.thread.do(lambda store: bench.service.accounts.look_up(store, token))


@pytest.fixture
def crew(bench: Bench) -> tuple[int, dict[int, str]]:
    calibration = bench.create(workers=CREW)
    return calibration, dict(bench.desk.tokens(calibration, range(CREW)))


def test_new_tokens_are_known_without_the_database(bench: Bench, crew: Any) -> None:
    calibration, tokens = crew
    found = [bench.service.accounts.remembered(token) for token in tokens.values()]
    assert [(one.calibration, one.worker) for one in found if one] == [
        (calibration, at) for at in range(CREW)
    ]


def test_a_look_into_the_database_finds_the_whole_crew(bench: Bench, crew: Any) -> None:
    calibration, tokens = crew
    other = bench.create(workers=1)
    alone = bench.desk.tokens(other, [0])[0]
    accounts = bench.service.accounts
    accounts._known.forget_everybody()  # as after a restart
    assert looked_up(bench, tokens[0][:-1] + "?") is None
    assert looked_up(bench, f"caf-{tokens[0].split('-')[1]}-{'A' * 43}") is None
    assert not any(map(accounts.remembered, tokens.values())), "a wrong secret has it read"
    assert looked_up(bench, tokens[3]) == accounts.remembered(tokens[3])
    found = [accounts.remembered(token) for token in tokens.values()]
    assert [(one.calibration, one.worker) for one in found if one] == [
        (calibration, at) for at in range(CREW)
    ]
    assert accounts.remembered(alone) is None
    assert looked_up(bench, alone) is not None


def test_tokens_that_have_ended_are_refused_at_once(bench: Bench, crew: Any) -> None:
    calibration, tokens = crew
    accounts = bench.service.accounts
    accounts._known.forget_everybody()
    assert looked_up(bench, tokens[0]) is not None
    new = bench.desk.tokens(calibration, [1])[1]
    bench.with_token(tokens[1]).get("/worker/work", 401)
    assert looked_up(bench, tokens[1]) is None
    bench.with_token(new).get("/worker/work")
    # Those that were asked for do not come back with the others.
    accounts._known.forget_everybody()
    assert looked_up(bench, tokens[2]) is not None
    bench.with_token(tokens[1]).get("/worker/work", 401)
    bench.ada.post(f"/calibrations/{calibration}/kill")
    bench.desk.dismissed(calibration)
    for token in (*tokens.values(), new):
        bench.with_token(token).get("/worker/work", 401)


def test_tokens_that_were_not_written_down_are_unknown(bench: Bench, crew: Any) -> None:
    calibration, tokens = crew
    accounts, made = bench.service.accounts, {}

    def broken(store: Any) -> None:
        made.update(accounts.worker_tokens(store, calibration, [1], revoke=True))
        raise RuntimeError("in the end")

    with pytest.raises(RuntimeError, match="in the end"):
        bench.service.thread.do(broken)
    assert accounts.remembered(made[1]) is None
    assert looked_up(bench, made[1]) is None
    assert accounts.remembered(tokens[1]) is not None
