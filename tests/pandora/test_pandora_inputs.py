"""Inputs by sample, and sharing them out without losing an event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_pandora.inputs import SAMPLES, Inputs, Share, share_out

FILES = {sample: [f"{sample}{i}.slcio" for i in range(2)] for sample in SAMPLES}
NUMBERS = dict.fromkeys(SAMPLES, 10)


@given(st.integers(1, 12), st.integers(1, 40), st.data())
def test_every_event_goes_to_one_worker(files, per_file, data):
    workers = data.draw(st.integers(1, min(files * per_file, 60)))
    names = [f"f{i}" for i in range(files)]
    taken = []
    for share in share_out(names, per_file, workers):
        first = names.index(share.files[0]) * per_file + share.skip
        taken += range(first, first + share.events)
        last = (first + share.events - 1) // per_file
        assert share.files == tuple(names[first // per_file : last + 1])
    assert taken == list(range(files * per_file))


@given(st.integers(1, 10), st.integers(1, 50), st.data())
def test_shares_differ_by_one_event_at_most(files, per_file, data):
    workers = data.draw(st.integers(1, min(files * per_file, 60)))
    numbers = [share.events for share in share_out([f"{i}" for i in range(files)], per_file, workers)]
    assert max(numbers) - min(numbers) <= 1


@given(st.integers(1, 10), st.integers(1, 50), st.data())
def test_a_share_is_its_pieces(files, per_file, data):
    workers = data.draw(st.integers(1, min(files * per_file, 60)))
    for share in share_out([f"{i}" for i in range(files)], per_file, workers):
        pieces = share.pieces(per_file)
        assert Share.of(pieces) == share
        assert all(events > 0 and first + events <= per_file for _, first, events in pieces)


@pytest.mark.parametrize("pieces", [[], [("a", 0, 5), ("b", 1, 4)]])
def test_what_is_not_one_stretch_is_no_share(pieces):
    with pytest.raises(ConfigurationError, match="one stretch"):
        Share.of(pieces)


def test_records_count_the_run_headers_that_are_read():
    shares = share_out(["a", "b"], 10, 4)
    assert [(share.skip, share.events, share.records) for share in shares] == [(0, 5, 6), (5, 5, 5)] * 2
    (both,) = share_out(["a", "b"], 10, 1)
    assert both.records == 22


def test_samples_in_any_case():
    inputs = Inputs.of({name.upper(): files for name, files in FILES.items()}, {**NUMBERS})
    assert inputs.files["gamma"] == ("gamma0.slcio", "gamma1.slcio")
    assert inputs.events("kaon") == 20


@pytest.mark.parametrize(
    ("files", "numbers", "words"),
    [
        ({"gamma": ["a"], "pion": ["b"]}, NUMBERS, "missing: kaon, muon, zuds; superfluous: pion"),
        ({**FILES, "GAMMA": ["a"]}, NUMBERS, "named twice: gamma"),
        ({**FILES, "kaon": []}, NUMBERS, "kaon needs a list"),
        ({**FILES, "kaon": "file.slcio"}, NUMBERS, "kaon needs a list"),
        ({**FILES, "kaon": ["a", "a"]}, NUMBERS, "named twice; name each once"),
        ({**FILES, "kaon": ["a b"]}, NUMBERS, "'a b' of the sample kaon has a blank"),
        ({**FILES, "kaon": [""]}, NUMBERS, "has a blank"),
        (FILES, {**NUMBERS, "muon": 0}, "of muon is 0"),
        (FILES, {**NUMBERS, "muon": True}, "of muon is True"),
        (FILES, {"muon": 1}, "numberOfEventsPerFile cannot be used .missing: gamma, kaon, zuds"),
    ],
)
def test_wrong_inputs_are_refused(files, numbers, words):
    with pytest.raises(ConfigurationError, match=words):
        Inputs.of(files, numbers)


def test_no_more_workers_than_events_of_any_sample():
    inputs = Inputs.of(FILES, {**NUMBERS, "zuds": 3})
    inputs.check_workers(6)
    with pytest.raises(ConfigurationError, match="zuds has 6 events"):
        inputs.check_workers(7)
