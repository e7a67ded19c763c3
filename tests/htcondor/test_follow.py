"""Following logs that grow, vanish, are cut, or belong to several clusters."""

from pathlib import Path

import pytest

from caf_core.errors import PollError
from caf_core.jobs.backend import Report, SchedulerState
from caf_core.testing.bench import shell, submission
from caf_htcondor import HTCondor
from caf_htcondor.follow import FORGET_AFTER, Followed

RECORDED = Path(__file__).parent / "recorded"
QUEUED, RUNNING, HELD = SchedulerState.QUEUED, SchedulerState.RUNNING, SchedulerState.HELD
ENDED, UNKNOWN = SchedulerState.ENDED, SchedulerState.UNKNOWN
QUIET = 600.0
IDS = ["1.0", "1.1", "1.2"]


def event(number, proc, text="", cluster=1):
    return f"{number:03} ({cluster:03}.{proc:03}.000) 2026-01-01 10:00:00 {text}\n...\n"


EXECUTES = "Job executing on host: <1.2.3.4:9618?addrs=x&alias=node7.site&noUDP>"
ENDS = "Job terminated.\n\t(1) Normal termination (return value 3)"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "events.log"


@pytest.fixture
def followed(log):
    followed = Followed()
    followed.expect(1, log, IDS, 0.0)
    return followed


def append(log, *events):
    with log.open("a") as stream:
        stream.write("".join(events))


def states(followed, now=1.0, ids=IDS):
    followed.read({1}, now)
    reports, ask = followed.told(ids, now, QUIET)
    return [reports[one].state if one in reports else None for one in ids], ask


def test_what_was_just_submitted_is_queued(followed, log):
    append(log, *(event(0, proc) for proc in range(3)))
    assert states(followed) == ([QUEUED] * 3, [])


def test_a_log_is_read_as_it_grows(followed, log):
    append(log, event(0, 0), event(1, 0, EXECUTES), event(5, 0, ENDS)[:-10])
    assert states(followed)[0] == [RUNNING, QUEUED, QUEUED]
    append(log, event(5, 0, ENDS)[-10:])
    assert states(followed)[0] == [ENDED, QUEUED, QUEUED]
    report = followed.told(IDS, 1.0, QUIET)[0]["1.0"]
    assert (report.exit_code, report.host) == (3, "node7.site")


def test_content_that_is_not_there_yet_is_read_later(followed, log):
    whole = (event(0, 0) + event(1, 0, EXECUTES)).encode()
    log.write_bytes(whole[:50] + b"\0" * (len(whole) - 50))
    assert states(followed)[0] == [QUEUED] * 3
    log.write_bytes(whole)
    assert states(followed)[0] == [RUNNING, QUEUED, QUEUED]


def test_a_log_that_is_missing_for_a_moment(followed, log):
    append(log, event(0, 0), event(1, 0, EXECUTES))
    assert states(followed)[1] == []
    log.rename(log.with_name("away"))
    assert states(followed) == ([RUNNING, QUEUED, QUEUED], IDS)
    log.with_name("away").rename(log)
    assert states(followed)[1] == []


def test_a_log_that_was_cut_is_not_believed_again(followed, log):
    append(log, event(0, 0), event(1, 0, EXECUTES))
    states(followed)
    log.write_text("")
    assert states(followed) == ([RUNNING, QUEUED, QUEUED], IDS)
    append(log, event(5, 0, ENDS))
    assert states(followed) == ([ENDED, QUEUED, QUEUED], ["1.1", "1.2"])


def test_silence_is_worth_a_question(followed, log):
    append(log, event(0, 0))
    assert states(followed, 1.0)[1] == []
    append(log, event(1, 1, EXECUTES))
    assert states(followed, QUIET)[1] == []
    assert states(followed, QUIET + 0.5)[1] == ["1.2"]
    assert states(followed, QUIET + 2)[1] == ["1.0", "1.2"]


def test_the_schedd_is_heard_until_the_log_says_more(followed, log):
    append(log, event(0, 0), event(1, 0, EXECUTES))
    states(followed)
    followed.hear(IDS, {"1.0": Report(HELD, reason="x"), "1.1": Report(QUEUED)}, 2.0)
    assert states(followed)[0] == [HELD, QUEUED, None]
    assert followed.is_absent("1.2")
    assert followed.told(IDS, 2.0, QUIET)[0]["1.0"].host == "node7.site"
    append(log, event(13, 0), event(1, 2, EXECUTES))
    assert states(followed)[0] == [QUEUED, QUEUED, RUNNING]


def test_a_cluster_that_was_removed_has_ended_as_a_whole(log):
    followed = Followed()
    followed.adopt(log)
    append(
        log,
        event(35, -1),
        event(0, 0),
        event(1, 0, EXECUTES),
        event(9, 0, "Job was aborted.\n\tvia condor_rm"),
    )
    assert states(followed)[0] == [ENDED, QUEUED, QUEUED]
    append(log, event(36, -1, "Cluster removed"))
    assert states(followed)[0] == [ENDED] * 3
    assert followed.told(IDS, 1.0, QUIET)[0]["1.2"].failure == "cancelled"


def test_what_was_released_is_not_held_until_the_log_says_so(followed, log):
    append(
        log,
        event(0, 0),
        event(1, 0, EXECUTES),
        event(12, 0, "Job was held.\n\tmemory\n\tCode 34 Subcode 102"),
    )
    assert states(followed)[0] == [HELD, QUEUED, QUEUED]
    followed.released(["1.0", "5.5"])
    assert states(followed)[0] == [QUEUED] * 3
    append(
        log,
        event(13, 0),
        event(1, 0, EXECUTES),
        event(12, 0, "Job was held.\n\tmemory\n\tCode 34 Subcode 102"),
    )
    report = followed.told(IDS, 1.0, QUIET)[0]["1.0"]
    assert (report.state, report.failure, report.host) == (QUEUED, None, "node7.site")
    assert states(followed)[0] == [HELD, QUEUED, QUEUED]


def test_two_clusters_in_one_log(followed, log):
    followed.expect(2, log, ["2.0"], 0.0)
    append(log, event(0, 0), event(0, 0, cluster=2), event(1, 0, EXECUTES, cluster=2))
    followed.read({1, 2}, 1.0)
    reports, _ = followed.told(["1.0", "2.0"], 1.0, QUIET)
    assert [report.state for report in reports.values()] == [QUEUED, RUNNING]
    append(log, event(5, 0, ENDS, cluster=2))
    followed.read({1}, 1.0)
    assert followed.told(["2.0"], 1.0, QUIET)[0]["2.0"].state is ENDED


def test_what_nobody_asks_about_is_forgotten_and_read_again(followed, log):
    append(log, event(0, 0), event(5, 0, ENDS))
    states(followed)
    followed.read({99}, FORGET_AFTER + 2)
    assert followed.told(IDS, FORGET_AFTER + 2, QUIET) == ({}, IDS)
    assert states(followed, FORGET_AFTER + 3)[0] == [ENDED, QUEUED, QUEUED]


def test_is_all_knows_records_and_endings(tmp_path):
    one = submission(tmp_path / "job", [shell(tmp_path / str(i), "true") for i in range(3)], HTCondor())
    log = one.directory / "events.log"
    followed = Followed()
    followed.expect(1, log, IDS, 0.0)
    append(log, event(0, 0), event(5, 0, ENDS))
    followed.read({1}, 1.0)
    assert not followed.is_all(1, {"1.2"})
    (one.directory / "records" / "1.json").write_text("{}")
    assert followed.is_all(1, {"1.2"})
    assert not followed.is_all(7, {"7.0"})


# The backend around it


class Asked(HTCondor):
    """Answers for the schedd, and counts how often it is asked."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.asked = answer, []
        self.now = 0.0
        self.clock = lambda: self.now

    def polling(self, ids):
        self.asked.append(tuple(ids))
        if isinstance(self.answer, Exception):
            raise self.answer
        yield from ()
        return self.answer


def test_the_schedd_is_asked_once_a_minute():
    backend = Asked({"1.0": Report(RUNNING)})
    assert backend.poll(["no-such-id"]) == {}
    for backend.now in (0.0, 2.0, 58.0):
        told = backend.poll(["1.0", "1.1"])
        assert told == {"1.0": Report(RUNNING)}  # the other one is neither queued nor remembered
    assert len(backend.asked) == 1
    assert backend.poll(["2.0"])["2.0"].state is UNKNOWN
    backend.now = 61.0
    backend.poll(["1.0"])
    assert backend.asked == [("1.0", "1.1"), ("1.0",)]


def test_a_silent_schedd_is_an_error_only_where_nothing_is_known(tmp_path, caplog):
    backend = Asked(PollError("down"))
    with pytest.raises(PollError):
        backend.poll(["1.0"])
    one = submission(tmp_path / "job", [shell(tmp_path / "0", "true")], backend)
    (one.directory / "events.log").write_text(event(0, 0) + event(1, 0, EXECUTES))
    backend.adopt(one.token, one.directory)
    assert backend.poll(["1.0"])["1.0"].state is RUNNING
    backend.now = 61.0
    told = backend.poll(["1.0", "5.0"])
    assert (told["1.0"].state, told["5.0"].state) == (RUNNING, UNKNOWN)
    assert "the event logs are followed meanwhile" in caplog.text


def test_the_cluster_of_a_log(log):
    followed = Followed()
    assert followed.cluster_of(log) is None
    append(log, event(1, 0, EXECUTES))
    assert followed.cluster_of(log) is None
    append(log, event(35, -1, cluster=7), event(0, 0, cluster=7))
    assert (followed.cluster_of(log), followed.directory(7)) == (7, log.parent)
    append(log, event(0, 0, cluster=12))
    assert followed.cluster_of(log) == 12
