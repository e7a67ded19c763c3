"""Memory and time as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_core.errors import ConfigurationError
from caf_core.jobs.units import size_mb, span_text, time_span


@pytest.mark.parametrize(
    ("text", "mb"),
    [
        ("4GB", 4096),
        ("4 GiB", 4096),
        ("4g", 4096),
        ("1.5GB", 1536),
        ("500", 500),
        ("500MB", 500),
        ("0.5mb", 1),
        ("100KB", 1),
        ("2048k", 2),
        (".5T", 524_288),
    ],
)
def test_memory(text, mb):
    assert size_mb(text) == mb


@pytest.mark.parametrize("text", ["", "GB", "4XB", "-4GB", "4 G B", "four", "0", "0GB", "4B"])
def test_what_is_no_memory(text):
    with pytest.raises(ConfigurationError, match="is no amount of memory; write such as '4GB'"):
        size_mb(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2h", timedelta(hours=2)),
        ("1.5h", timedelta(minutes=90)),
        ("90min", timedelta(minutes=90)),
        ("90m", timedelta(minutes=90)),
        ("1h 30min", timedelta(minutes=90)),
        ("1d12h", timedelta(hours=36)),
        ("45s", timedelta(seconds=45)),
        ("12:00:00", timedelta(hours=12)),
        ("1-12:00:00", timedelta(hours=36)),
        ("100:00:00", timedelta(hours=100)),
    ],
)
def test_time(text, span):
    assert time_span(text) == span


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "2h x", "12:00", "1:60:00", "0s", "-2h", "2 hours"])
def test_what_is_no_time(text):
    with pytest.raises(ConfigurationError, match=r"is no time"):
        time_span(text)


@given(st.integers(1, 10**7))
def test_a_span_is_read_back(seconds):
    span = timedelta(seconds=seconds)
    assert time_span(span_text(span)) == span
