"""Reading what LSF prints: recorded answers of Volclava 2.2, and IBM's as documented."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from caf_core.errors import ConfigurationError, PollError, SubmissionError
from caf_core.jobs.backend import SchedulerState, Submission
from caf_core.jobs.batch.dialogue import words as said_words
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.task import Resources
from caf_core.processes.command import CommandResult
from caf_core.testing import Replay
from caf_lsf import LSF
from caf_lsf.endings import histories
from caf_lsf.ids import ARGUMENT, element_lists, join_id, split_id
from caf_lsf.listing import DELIMITED, JSON, TABLE, WANTED, Listing, host_of, megabytes_of
from caf_lsf.reports import report_of
from caf_lsf.site import Site, amount, queue_names, site_of
from caf_lsf.submission import options, script
from caf_lsf.words import STATES, TERMINATIONS

RECORDED = Path(__file__).parent / "transcripts"
LEAN = Listing(JSON, ("jobid", "stat", "job_name"))


def recorded(name):
    content = json.loads((RECORDED / f"{name}.json").read_text())
    return CommandResult(
        tuple(content["command"].split()), content["rc"], content["stdout"], content["stderr"], 0.0
    )


def answer(stdout="", stderr="", rc=0):
    return CommandResult(("bjobs",), rc, stdout, stderr, 0.0)


def records(*rows, rc=0, stderr=""):
    return answer(json.dumps({"COMMAND": "bjobs", "JOBS": len(rows), "RECORDS": rows}), stderr, rc)


def submission(tmp_path, size=3, resources=None, **backend_args):
    return Submission("cTok", "human", tmp_path, size, resources or Resources(), backend_args)


def backend(site=None, **backend_args):
    lsf = LSF(backend_args=backend_args)
    lsf._site = site or Site("volclava project 2.2", False, 1000, None, "MB", "MB")
    lsf._listing = LEAN
    return lsf


# Listings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bjobs_array_json", {("23", 1): "DONE", ("23", 2): "RUN", ("23", 3): "EXIT"}),
        ("bjobs_array_done_json", {("23", 6): "DONE", ("23", 3): "EXIT"}),
        ("bjobs_live_json", {("24", 0): "RUN", ("23", 2): "RUN", ("25", 0): "PSUSP"}),
        ("bjobs_killed_json", {("24", 0): "EXIT", ("25", 0): "EXIT"}),
        ("bjobs_ids_json", {("21", 0): "DONE", ("22", 0): "EXIT"}),
        ("bjobs_all_json", {("27", 0): "DONE", ("23", 1): "DONE", ("13", 0): "DONE", ("14", 0): "DONE"}),
        ("bjobs_unknown_json", {}),
        ("bjobs_none_text", {}),
    ],
)
def test_recorded_listings(name, expected):
    jobs = LEAN.read(recorded(name))
    told = {(job.number, job.element): job.state for job in jobs}
    assert expected.items() <= told.items()
    assert len(told) == len(jobs)
    if not expected:
        assert jobs == []


def test_strange_names_are_only_names():
    names = {job.number: job.name for job in LEAN.read(recorded("bjobs_all_json"))}
    assert names["13"] == 'na"me\\x'
    assert names["14"] == "näm"
    assert names["27"] == "x[3-1]"


def test_a_column_that_is_not_known_is_left_out_next_time():
    listing = Listing().poorer(recorded("bjobs_unsupported_field"))
    assert listing.form == JSON
    assert listing.columns == tuple(one for one in WANTED if one != "exit_code")
    assert listing.options[0] == "-o"
    assert Listing().poorer(answer(stderr="bad format string", rc=255)).columns == LEAN.columns


@pytest.mark.parametrize(
    ("listing", "form"), [(Listing(), DELIMITED), (Listing(DELIMITED), TABLE), (Listing(TABLE), None)]
)
def test_a_form_that_is_not_known_is_replaced(listing, form):
    poorer = listing.poorer(answer(stderr="bjobs: illegal option -- o\nUsage: bjobs [-h] [-V]", rc=255))
    assert (poorer and poorer.form) == form


@pytest.mark.parametrize(
    "odd",
    [
        answer(rc=None),
        answer("", "No such file", 127),
        answer("", "", 1),
        answer("\x00%garbage{]\n<"),
        answer('{"COMMAND":"bjobs","JOBS":2,"RECORDS":[{"JOBID":"1","STAT":"RU'),
        answer("", "LSF is down. Please wait ...", 255),
        # An open version that did not reach the daemon prints an empty list all the same.
        records(rc=255, stderr="Batch daemon not responding"),
        answer("[]"),
    ],
)
@pytest.mark.parametrize("form", [JSON, DELIMITED, TABLE])
def test_what_is_no_answer_is_not_taken_for_none(form, odd):
    assert Listing(form).read(odd) is None
    assert Listing(form).poorer(odd) is None


def test_nothing_found_is_an_answer():
    assert LEAN.read(records(rc=255)) == []
    assert Listing(TABLE).read(answer("", "No unfinished job found\n", 255)) == []
    assert Listing(DELIMITED).read(answer("", "No job found\n", 0)) == []


def test_odd_records_spoil_no_other():
    good = {"JOBID": "7", "STAT": "RUN", "JOB_NAME": "a[2]"}
    listed = LEAN.read(records(None, 3, {}, {"JOBID": "9", "ERROR": "\ufffd%"}, good, {"JOBID": "8"}))
    assert [(job.number, job.element) for job in listed] == [("7", 2)]
    broken = records(good).stdout.replace("[{", '[{"JOBID":"6","STAT":"RUN","JOB_NAME":"a\\q"}, {')
    assert [job.number for job in LEAN.read(answer(broken))] == ["7"]
    assert [job.number for job in LEAN.read(answer("Warning: x\n" + records(good).stdout))] == ["7"]


def test_an_index_is_taken_from_wherever_it_stands():
    rows = [
        {"JOBID": "5", "STAT": "RUN", "JOB_NAME": "t[3]", "JOBINDEX": "3"},
        {"JOBID": "5", "STAT": "RUN", "JOB_NAME": "t[4]", "JOBINDEX": 4},
        {"JOBID": "5[7]", "STAT": "RUN", "JOB_NAME": "t[7]"},
        {"JOBID": "6", "STAT": "RUN", "JOB_NAME": "t[8]", "JOBINDEX": "0"},
        {"JOBID": "6", "STAT": "RUN", "JOB_NAME": "t[1-8]"},
    ]
    told = [(job.number, job.element) for job in Listing().read(records(*rows))]
    assert told == [("5", 3), ("5", 4), ("5", 7), ("6", 0), ("6", 0)]


def test_the_table_of_openlava():
    text = (
        "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME\n"
        "12      cal     PEND  normal     vm             -        ab1[2]     Nov 22 05:49\n"
        "12      cal     RUN   normal     vm          4*n1:2*n2   ab1[3]     Nov  2 05:49\n"
        "14      cal     DONE  normal     vm          n1          sleep 200  Nov  2 05:49\n"
        "nonsense\n"
    )
    jobs = Listing(TABLE).read(answer(text))
    assert [(job.number, job.element, job.state, host_of(job.host)) for job in jobs] == [
        ("12", 2, "PEND", ""),
        ("12", 3, "RUN", "n1"),
        ("14", 0, "DONE", "n1"),
    ]


def test_columns_with_a_delimiter():
    text = "JOBID^STAT^JOB_NAME^EXIT_CODE\n12^EXIT^ab[2]^3\n13^RUN^a^b^c^-\n14^RUN^x^-\n"
    jobs = Listing(DELIMITED).read(answer(text))
    assert [(job.number, job.element, job.exit_code) for job in jobs] == [("12", 2, "3"), ("14", 0, "-")]
    assert "delimiter='^'" in Listing(DELIMITED).options[1]


def test_hosts_and_memory():
    assert [host_of(text) for text in ("", "   -   ", "-", "n1", "4*n1", "n1:n2")] == [
        *("", "", "", "n1", "n1", "n1")
    ]
    assert megabytes_of("1.5 Gbytes") == 1536
    assert megabytes_of("512 Kbytes") == 0.5
    assert megabytes_of("-") is None
    assert megabytes_of("...") is None


# Reports


def reported(**fields):
    row = {"JOBID": "5", "STAT": "EXIT", "JOB_NAME": "a", **{k.upper(): v for k, v in fields.items()}}
    (job,) = Listing().read(records(row))
    return report_of(job)


@pytest.mark.parametrize("word", [*STATES, "NEWSTATE", ""])
def test_every_state_is_something(word):
    report = reported(stat=word)
    assert report.state is STATES.get(word, SchedulerState.UNKNOWN)
    if word in ("UNKWN", "ZOMBI", "PSUSP", "USUSP", "SSUSP", "NEWSTATE"):
        assert report.reason


def test_values_that_are_no_words_spoil_nothing():
    odd = {"JOBID": "5", "STAT": "EXIT", "JOB_NAME": 7, "JOBINDEX": 0, "EXIT_CODE": 3, "EXEC_HOST": ["n1"]}
    lsf = backend()
    lsf._listing = Listing()
    told = Replay({"stdout": records(odd, {"JOBID": "6", "STAT": 1}, {"JOBID": 7, "STAT": "RUN"}).stdout})(
        lsf.polling(["5", "6"])
    )
    assert (told["5"].state, told["5"].exit_code) == (SchedulerState.ENDED, 3)
    assert told["6"].state is SchedulerState.UNKNOWN
    row = {"JOBID": "5", "STAT": "RUN", "JOB_NAME": 7, "JOBINDEX": "0"}
    searched = Replay({"stdout": records(row).stdout}, {"command": "bhist", "rc": 255})
    assert searched(lsf.finding("cTok")) == {}


def test_ends_as_ibm_tells_them():
    done = reported(stat="DONE", exec_host="2*n1:n2", max_mem="2 Gbytes")
    assert (done.exit_code, done.host, done.peak_memory_mb, done.failure) == (0, "n1", 2048, None)
    limit = reported(
        exit_code="140", exit_reason="TERM_RUNLIMIT: job killed after reaching LSF run time limit"
    )
    assert (limit.exit_code, limit.failure) == (140, FailureKind.WALLTIME)
    assert "run time limit" in limit.reason
    assert reported(exit_reason="TERM_MEMLIMIT: x").failure is FailureKind.OUT_OF_MEMORY
    assert reported(exit_reason="TERM_OWNER: job killed by owner").failure is FailureKind.CANCELLED
    assert reported(exit_reason="TERM_PREEMPT: x").failure is FailureKind.NODE_LOST
    assert reported(exit_reason="TERM_NEWWORD: x").failure is None
    assert reported(exit_code="140").failure is FailureKind.WALLTIME
    assert reported(exit_code="0").exit_code is None
    assert reported(exit_code="-").exit_code is None
    assert set(TERMINATIONS.values()) <= set(FailureKind)


# Histories

BHIST = """
Job <{id}>, Job Name <{name}>, User <cal>, Project <default>, Command <#!/bin/sh;exec tru
                     e>
Sun Nov 22 05:49:05: Submitted from host <vm>, to Queue <normal>, CWD </>, Output File
                     </dev/null>;
Sun Nov 22 05:49:05: Dispatched to <n1>;
Sun Nov 22 05:49:05: Starting (Pid 17384);
Sun Nov 22 05:49:05: Running with execution home </home/cal>, Execution CWD </>, Execution Pid <1>;
{rest}
Summary of time in seconds spent in various states by  Sun Nov 22 05:49:05
  PEND     PSUSP    RUN      USUSP    SSUSP    UNKWN    TOTAL
  0        0        0        0        0        0        0

"""


def history(rest, identity="22", name="tok"):
    return histories(BHIST.format(id=identity, name=name, rest=rest))[identity]


def test_recorded_histories():
    for name in ("bhist_failed_long", "bjobs_failed_long"):
        told = histories(recorded(name).stdout)
        assert list(told) == ["22"]
        one = told["22"]
        assert (one.name, one.ended, one.exit_code, one.failure, one.host) == (
            "fail_job",
            True,
            3,
            None,
            "vm",
        )


def test_a_history_tells_which_limit_it_was():
    when = "Sun Nov 22 05:50:00"
    exited = f"{when}: Exited by signal 2. The CPU time used is 0.1 seconds;\n"
    limit = history(f"{when}: RUNLIMIT termination action initiated (action pid 7);\n{exited}")
    assert (limit.failure, limit.signal) == (FailureKind.WALLTIME, 2)
    memory = history(f"{when}: MEMLIMIT termination action initiated;\n{exited}")
    assert memory.failure is FailureKind.OUT_OF_MEMORY
    killed = history(f"{when}: Signal <KILL> requested by user or administrator <cal>;\n{exited}")
    assert killed.failure is FailureKind.CANCELLED
    assert "administrator <cal>" in killed.words
    ibm = f"{exited}{when}: Completed <exit>; TERM_MEMLIMIT: job killed after reaching LSF memory u\n"
    ibm = history(ibm + "                     sage limit;\n")
    assert ibm.failure is FailureKind.OUT_OF_MEMORY
    broken = history(f"{exited}{when}: Completed <exit>; TERM_RUN\n                     LIMIT: job killed;\n")
    assert broken.failure in (FailureKind.WALLTIME, None)
    assert history(f"{when}: Exited with exit code 140. The CPU time;\n").failure is FailureKind.WALLTIME
    assert history(f"{when}: Exited.\n").words == "exited"


def test_a_history_of_what_goes_on_is_no_end():
    assert not history("").ended
    again = (
        "Sun Nov 22 05:50:00: Exited with exit code 3. The CPU time used is 0.1 seconds;\n"
        "Sun Nov 22 05:51:00: Pending: Job has been requeued;\n"
        "Sun Nov 22 05:52:00: Dispatched to <n2>;\n"
    )
    assert not history(again).ended
    assert history("").report().state is SchedulerState.UNKNOWN
    then = history(f"{again}Sun Nov 22 05:53:00: Done successfully. The CPU time used is 1.0 seconds;\n")
    assert (then.ended, then.exit_code, then.host) == (True, 0, "n2")
    earlier = f"Sun Nov 22 05:50:00: RUNLIMIT termination action initiated;\n{again}"
    failed = history(f"{earlier}Sun Nov 22 05:53:00: Exited with exit code 4. The CPU time used;\n")
    assert (failed.exit_code, failed.failure) == (4, None)


def test_histories_of_arrays():
    text = BHIST.format(id="23[1]", name="tok[1]", rest="Sun Nov 22 05:50:00: Done successfully.\n")
    told = histories(text + BHIST.format(id="23[12]", name="tok[12]", rest=""))
    assert {one: (told[one].name, told[one].ended) for one in told} == {
        "23[1]": ("tok[1]", True),
        "23[12]": ("tok[12]", False),
    }
    assert histories("No matching job found\n") == {}


# Ids


def test_ids():
    assert split_id("123[4]") == ("123", 4)
    assert split_id("123") == ("123", 0)
    assert split_id("no-such-id") is None
    assert join_id("123", 0) == "123"
    assert element_lists("7", [1, 2, 3, 5, 9, 10], 100) == [("7[1-3,5,9-10]", 6)]
    assert element_lists("7", range(1, 11), 4) == [("7[1-4]", 4), ("7[5-8]", 4), ("7[9-10]", 2)]
    long = element_lists("7", range(1, 10_000, 2), 10_000)
    assert all(len(text) <= ARGUMENT + 20 for text, _ in long)
    assert sum(count for _, count in long) == 5_000


# The site

IBM = "IBM Spectrum LSF Standard 10.1.0.11, Jun 10 2021\nCopyright International Business Machines Corp."
BPARAMS = "\nMaximum number of jobs in a job array:\n    MAX_JOB_ARRAY_SIZE = 5000\n\n"


def test_what_a_site_says():
    site = site_of(IBM, BPARAMS + "    RESOURCE_RESERVE_PER_TASK = Y\n", "LSF_UNIT_FOR_LIMITS=GB # all\n")
    assert site == Site(IBM.split("\n")[0], True, 5000, "GB", "GB", "MB", True)
    scaled = site_of(IBM, BPARAMS, " LSF_UNIT_FOR_LIMITS = m\n LSF_ENABLE_TMP_UNIT = Y\n")
    assert (scaled.limit_unit, scaled.disk_unit) == ("MB", "MB")
    unset = site_of(IBM, "", "#LSF_UNIT_FOR_LIMITS=GB\n")
    assert (unset.limit_unit, unset.reserve_unit, unset.array_limit) == ("KB", "MB", None)
    volclava = site_of("volclava project 2.2, Jul 2026\n", BPARAMS, "")
    assert (volclava.ibm, volclava.limit_unit, volclava.reserve_unit) == (False, None, "MB")
    assert site_of("OpenLava project 3.3\n", BPARAMS, "").limit_unit == "KB"
    assert site_of(IBM, BPARAMS, None).reserve_unit is None
    assert not site_of("", "", None).ibm


def test_amounts_are_rounded_up():
    assert amount(100, "KB") == 102_400
    assert amount(1000, "GB") == 1
    assert amount(1025, "GB") == 2
    assert amount(0.1, "MB") == 1


def test_queues():
    text = "QUEUE_NAME      PRIO STATUS\nnormal 30  Open:Active\nshort 35  Open:Active\n"
    assert queue_names(text) == ["normal", "short"]
    assert queue_names("") == []


def test_a_survey(tmp_path):
    lsf = LSF()
    conf = {"command": "/bin/sh", "rc": 1}
    showconf = {"command": "badmin showconf mbd", "stdout": "MBD\n\tLSF_UNIT_FOR_LIMITS = MB\n"}
    version = {"command": "bjobs -V", "stderr": IBM}
    params = {"command": "bparams -l", "stdout": BPARAMS}
    site = Replay(version, params, conf, showconf)(lsf.surveying())
    assert (site.ibm, site.array_limit, site.limit_unit) == (True, 5000, "MB")
    assert lsf.limits(site).array_limit == 5000
    assert lsf.limits(None).array_limit == 1000
    assert not lsf.findings(site)
    levels = [one.level for one in lsf.findings(site_of("", "", None))]
    assert levels == ["note", "warning"]
    (unclear,) = lsf.findings(site_of("volclava project 2.2", BPARAMS, ""))
    assert "reserved but not limited" in unclear.text
    silent = {"command": "bjobs -V", "rc": None}
    with pytest.raises(PollError, match="no answer"):
        Replay(silent)(lsf.surveying())


# What bsub is given


def test_options(tmp_path):
    asked = Resources(4, 3000, timedelta(minutes=90, seconds=1), 500)
    ibm = Site("IBM", True, 1000, "GB", "GB", "MB", True)
    one = submission(tmp_path, 200, asked, queue="s", project="p", user_group="g", app="a", max_running=50)
    assert options(one, ibm) == [
        *("-J", "cTok[1-200]%50", "-o", "/dev/null", "-q", "s", "-P", "p", "-G", "g", "-app", "a"),
        *("-W", "91", "-n", "4", "-M", "3", "-R", "span[hosts=1] rusage[mem=1:tmp=500]"),
    ]
    single = submission(tmp_path, 1, Resources(memory_mb=100), request_memory=200, extra_args=["-x"])
    assert options(single, Site("OpenLava", False, 1000, "KB", "MB", "MB")) == [
        *("-J", "cTok", "-o", "/dev/null", "-M", "204800", "-R", "rusage[mem=200]", "-x"),
    ]
    no_limit = submission(tmp_path, 1, Resources(memory_mb=100), memory_limit=False, run_limit=7)
    assert options(no_limit, ibm)[4:] == ["-W", "7", "-R", "rusage[mem=1]"]
    volclava = Site("volclava", False, 1000, None, "MB", "MB")
    assert "-M" not in options(single, volclava)
    chosen = submission(tmp_path, 1, Resources(memory_mb=100), memory_unit="MB")
    assert options(chosen, Site())[4:] == ["-M", "100", "-R", "rusage[mem=100]"]
    further = submission(tmp_path, 1, resource_requirement="select[type==any]")
    assert options(further, ibm)[4:] == ["-R", "select[type==any]"]


def test_what_a_site_does_not_understand_is_not_said(tmp_path):
    with pytest.raises(SubmissionError, match="no option -app") as raised:
        options(submission(tmp_path, app="x"), Site("volclava project 2.2"))
    assert not raised.value.transient
    with pytest.raises(SubmissionError, match="memory_unit"):
        options(submission(tmp_path, resources=Resources(memory_mb=1)), Site())


def test_the_script_has_nothing_that_looks_like_a_directive(tmp_path):
    folder = tmp_path / "a\n#BSUB -x\n'\"$(touch x) ü%J\udcff"
    text = script(submission(folder))
    assert text.isascii()
    assert "#BSUB" not in text
    assert text.startswith("#!/bin/sh\n")
    plain = script(submission(tmp_path, 1, extra_lines=["#BSUB -x", "module load y"]))
    assert plain.startswith("#!/bin/sh\n#BSUB -x\nmodule load y\n")
    assert "JOBINDEX" not in plain


# Dialogues


def test_submissions_that_were_recorded(tmp_path):
    sent = Replay(RECORDED / "bsub_ok.json")
    assert sent(backend().submitting(submission(tmp_path, 1))) == ["21"]
    assert sent.commands[0].submits
    assert sent.commands[0].cwd == Path("/")
    summary = {
        "command": "bjobs -A -w 23",
        "stdout": "JOBID    ARRAY_SPEC  OWNER   NJOBS PEND DONE  RUN EXIT SSUSP USUSP PSUSP\n"
        "23       arr[1-6]    caluser      6    0    1    4    1     0     0     0\n",
    }
    ids = Replay(RECORDED / "bsub_array.json", summary)(backend().submitting(submission(tmp_path, 6)))
    assert ids == [f"23[{i}]" for i in range(1, 7)]
    gone = {"command": "bjobs -A -w 23", "rc": 255, "stderr": "Job array <23> is not found"}
    listed = RECORDED / "bjobs_array_json.json"
    assert (
        len(Replay(RECORDED / "bsub_array.json", gone, listed)(backend().submitting(submission(tmp_path, 6))))
        == 6
    )


@pytest.mark.parametrize("name", ["bsub_fail", "bsub_hold", "bsub_slow"])
def test_the_default_queue_is_no_other_answer(tmp_path, name):
    (number,) = Replay(RECORDED / f"{name}.json")(backend().submitting(submission(tmp_path, 1)))
    assert number.isdecimal()


def test_an_array_taken_for_a_plain_job_is_killed_and_refused(tmp_path):
    no = {"command": "bjobs -A -w 27", "rc": 255, "stderr": "Job array <27> is not found"}
    row = {"JOBID": "27", "STAT": "PEND", "JOB_NAME": "cTok[1-3]"}
    listed = {"command": "bjobs", "stdout": records(row).stdout}
    sent = Replay(RECORDED / "bsub_bad_array.json", no, listed, {"command": "bkill 27"})
    with pytest.raises(
        SubmissionError, match=r"cTok\[1-3\].*array_limit.*MAX_JOB_ARRAY_SIZE is 1000"
    ) as raised:
        sent(backend().submitting(submission(tmp_path, 3)))
    assert not raised.value.transient
    assert sent.commands[-1].argv == ("bkill", "27")


@pytest.mark.parametrize("looked", [{"rc": None}, {"rc": 255, "stderr": "LSF is down. Please wait ..."}])
def test_an_array_that_cannot_be_looked_at_is_left_to_the_polls(tmp_path, looked):
    sent = Replay(RECORDED / "bsub_array.json", looked, looked)
    assert len(sent(backend().submitting(submission(tmp_path, 6)))) == 6


def test_an_array_that_is_none_is_noticed_by_a_poll():
    lsf = backend()
    row = {"JOBID": "27", "STAT": "PEND", "JOB_NAME": "cTok[1-2]"}
    told = Replay({"stdout": records(row).stdout})(lsf.polling(["27[1]", "27[2]"]))
    assert {(one.state, one.failure) for one in told.values()} == {
        (SchedulerState.HELD, FailureKind.SUBMISSION)
    }
    sent = Replay(RECORDED / "bkill_running.json")
    sent(lsf.cancelling(["27[1]"]))
    assert sent.commands[0].argv == ("bkill", "27")


def refusal(tmp_path, stderr, *more, rc=255, stdout=""):
    answers = ({"command": "bsub", "rc": rc, "stderr": stderr, "stdout": stdout}, *more)
    with pytest.raises(SubmissionError) as raised:
        Replay(*answers)(backend().submitting(submission(tmp_path)))
    return raised.value


def test_refusals(tmp_path):
    queues = {"command": "bqueues -w", "stdout": "QUEUE_NAME PRIO\nnormal 30\nshort 30\n"}
    with pytest.raises(SubmissionError, match=r"No such queue.*'queue'; there are normal, short") as raised:
        Replay(RECORDED / "bsub_unknown_queue.json", queues)(backend().submitting(submission(tmp_path)))
    assert not raised.value.transient
    certain = refusal(tmp_path, "Job array index too large. Job not submitted.")
    assert (certain.transient, "array_limit" in str(certain)) == (False, True)
    esub = refusal(tmp_path, "Request aborted by esub. Job not submitted.")
    assert not esub.transient
    assert not refusal(tmp_path, "no bsub", rc=127).transient
    usage = refusal(tmp_path, "bsub: illegal option -- z\nUsage: bsub [options]")
    assert not usage.transient


@pytest.mark.parametrize(
    "stderr",
    [
        "User <cal>: Pending job threshold reached. Job not submitted.",
        "User <cal>: User's job limit has been reached. Job not submitted.",
        "Failed in an LSF library call: LIM is down; try later. Job not submitted.",
        "Batch system daemon not responding ... still trying",
        "Bad LSF license. Job not submitted.",
        "Segmentation fault",
        "",
    ],
)
def test_what_may_pass_is_tried_again(tmp_path, stderr):
    error = refusal(tmp_path, stderr)
    assert error.transient
    assert error.full == ("threshold" in stderr or "limit" in stderr)


def test_doubts(tmp_path):
    assert refusal(tmp_path, "", rc=None).transient
    assert refusal(tmp_path, "", rc=-9).transient
    error = refusal(
        tmp_path, "Failed in an LSF library call: External authentication failed. Job not submitted."
    )
    assert error.credentials
    said = CommandResult(("bsub",), 0, "", "", 0.0)
    assert said_words(said)


def test_a_quiet_bsub_is_searched(tmp_path):
    rows = [{"JOBID": "9", "STAT": "PEND", "JOB_NAME": f"cTok[{i}]"} for i in (1, 2, 3)]
    sent = Replay({"command": "bsub"}, {"command": "bjobs", "stdout": records(*rows).stdout})
    assert sent(backend().submitting(submission(tmp_path))) == ["9[1]", "9[2]", "9[3]"]


def test_a_poll_of_the_recorded_array():
    ends = {
        "command": "bhist",
        "stdout": BHIST.format(id="23[3]", name="arr[3]", rest="x: Exited by signal 9.\n"),
    }
    lsf = backend()
    ids = [f"23[{i}]" for i in range(1, 7)]
    sent = Replay(RECORDED / "bjobs_array_json.json", ends)
    told = sent(lsf.polling([*ids, "no-such-id"]))
    assert sent.commands[0].argv == ("bjobs", "-a", "-o", "jobid stat job_name", "-json", "23")
    assert sent.commands[1].argv == ("bhist", "-l", "23[3]")
    states = [told[one].state.value for one in ids]
    assert states == ["ended", "running", "ended", "running", "running", "running"]
    assert (told["23[1]"].exit_code, told["23[3]"].signal) == (0, 9)
    # Asked once; the answer is kept.
    assert Replay(RECORDED / "bjobs_array_json.json")(lsf.polling(ids))["23[3]"].signal == 9


def test_several_numbers_are_asked_for_by_user():
    sent = Replay(RECORDED / "bjobs_all_json.json", {"command": "bhist", "rc": 255}, {"command": "bjobs -l"})
    told = sent(backend().polling(["21", "22", "24"]))
    assert sent.commands[0].argv == ("bjobs", "-a", "-o", "jobid stat job_name", "-json")
    assert {one: report.state.value for one, report in told.items()} == {
        "21": "ended",
        "22": "ended",
        "24": "running",
    }


def test_columns_are_learnt_once(tmp_path):
    lsf = backend()
    lsf._listing = Listing()
    no = [
        {"rc": 99, "stderr": f"<{name}> in the format string is not a valid field name.\n"}
        for name in ("JOBINDEX", "EXIT_CODE", "EXIT_REASON", "MAX_MEM")
    ]
    sent = Replay(*no, RECORDED / "bjobs_live_json.json")
    sent(lsf.polling(["24"]))
    assert sent.commands[-1].argv[3] == "jobid stat job_name exec_host"
    sent = Replay(RECORDED / "bjobs_live_json.json")
    sent(lsf.polling(["24"]))
    assert sent.commands[0].argv[3] == "jobid stat job_name exec_host"


def test_what_bjobs_has_forgotten_is_asked_of_bhist():
    nothing = {"command": "bjobs", "rc": 255, "stderr": "Job <22> is not found\n"}
    told = Replay(nothing, RECORDED / "bhist_failed_long.json")(backend().polling(["22"]))
    assert (told["22"].state, told["22"].exit_code) == (SchedulerState.ENDED, 3)
    unknown = {"command": "bhist", "rc": 255, "stdout": "No matching job found\n"}
    lsf = backend()
    assert Replay(nothing, unknown)(lsf.polling(["22"])) == {}
    # bhist that hangs delays one poll, and is not asked for these again.
    assert Replay(nothing, {"command": "bhist", "rc": None})(lsf.polling(["22"])) == {}
    assert Replay(nothing)(lsf.polling(["22"])) == {}


def test_a_poll_without_an_answer_is_an_error():
    for odd in ({"rc": None}, {"rc": 255, "stderr": "LSF is down"}, {"stdout": "garbage"}):
        with pytest.raises(PollError):
            Replay(odd)(backend().polling(["22"]))


def test_a_job_that_is_queued_again_is_queued():
    lsf = backend()
    rows = {"JOBID": "5", "STAT": "EXIT", "JOB_NAME": "a"}
    ended = BHIST.format(id="5", name="a", rest="x: RUNLIMIT termination action;\nx: Exited by signal 9.\n")
    told = Replay({"stdout": records(rows).stdout}, {"stdout": ended})(lsf.polling(["5"]))
    assert told["5"].failure is FailureKind.WALLTIME
    told = Replay({"stdout": records({**rows, "STAT": "PEND"}).stdout}, {"rc": 255})(lsf.polling(["5"]))
    assert (told["5"].state, told["5"].failure) == (SchedulerState.QUEUED, None)


def test_kills_that_were_recorded():
    for name in ("bkill_running", "bkill_held", "bkill_finished", "bkill_unknown"):
        Replay(RECORDED / f"{name}.json")(backend().cancelling(["21"]))
    for odd in ({"rc": None}, {"rc": 255, "stderr": "Job <21>: Connection refused by server"}, {"rc": 1}):
        with pytest.raises(PollError):
            Replay(odd)(backend().cancelling(["21"]))


def test_kills_are_few_and_bounded():
    lsf = backend()
    lsf._live["7"] = {f"7[{i}]" for i in (2, 3)}
    said = {"command": "bkill", "stdout": "Job <7> is being terminated\n"}
    sent = Replay(said)
    sent(lsf.cancelling([f"7[{i}]" for i in range(1, 4)]))
    assert sent.commands[0].argv == ("bkill", "7")
    sent = Replay(said, said)
    sent(lsf.cancelling([f"9[{i}]" for i in range(1, 801)]))
    assert [command.argv[1:] for command in sent.commands] == [("9[1-500]",), ("9[501-800]",)]
    assert all(len(word) < 512 for command in sent.commands for word in command.argv)


def test_a_whole_array_is_killed_only_if_nothing_else_of_it_is_left(tmp_path):
    lsf = backend()
    summary = {"stdout": "23  arr[1-6]  cal  6 6 0 0 0 0 0 0\n"}
    ids = Replay(RECORDED / "bsub_array.json", summary)(lsf.submitting(submission(tmp_path, 6)))
    ended = {"command": "bhist", "stdout": BHIST.format(id="23[3]", name="arr[3]", rest="x: Exited.\n")}
    Replay(RECORDED / "bjobs_array_json.json", ended)(lsf.polling(ids))
    said = {"command": "bkill", "stdout": "Job <23> is being terminated\n"}
    sent = Replay(said)
    sent(lsf.cancelling(["23[2]", "23[4]"]))
    assert sent.commands[0].argv == ("bkill", "23[2,4]")
    sent = Replay(said)
    sent(lsf.cancelling(["23[2]", "23[4]", "23[5]", "23[6]"]))
    assert sent.commands[0].argv == ("bkill", "23")
    # A listing that leaves elements out tells nothing about them.
    row = {"JOBID": "23", "STAT": "RUN", "JOB_NAME": "arr[2]"}
    other = backend()
    Replay(RECORDED / "bsub_array.json", summary)(other.submitting(submission(tmp_path, 6)))
    Replay({"stdout": records(row).stdout})(other.polling(["23[2]"]))
    sent = Replay(said)
    sent(other.cancelling(["23[2]"]))
    assert sent.commands[0].argv == ("bkill", "23[2]")


def test_a_missing_bsub_is_no_doubt(tmp_path):
    lsf = LSF()
    with pytest.raises(SubmissionError, match="path_prefix") as raised:
        Replay({"command": "bjobs -V", "rc": 127, "stderr": "or must path_prefix be set?"})(
            lsf.submitting(submission(tmp_path))
        )
    assert not raised.value.transient


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ConfigurationError, match="one of KB, MB"):
        LSF(backend_args={"memory_unit": "mb"})
    with pytest.raises(ConfigurationError, match="did you mean 'queue'"):
        LSF(backend_args={"que": "s"})
    text = submission(tmp_path, 1, extra_args="-x -m 'a b'", extra_lines="#BSUB -r\nmodule load x")
    assert options(text, Site())[4:] == ["-x", "-m", "a b"]
    assert script(text).startswith("#!/bin/sh\n#BSUB -r\nmodule load x\n")


def test_what_was_cancelled_by_us_needs_no_explanation():
    lsf = backend()
    Replay({"command": "bkill", "stdout": "Job <24> is being terminated\n"})(lsf.cancelling(["24"]))
    told = Replay(RECORDED / "bjobs_killed_json.json")(lsf.polling(["24"]))
    assert told["24"].failure is FailureKind.CANCELLED


def test_searches():
    rows = [
        {"JOBID": "9", "STAT": "EXIT", "JOB_NAME": "cTok[2]"},
        {"JOBID": "8", "STAT": "PEND", "JOB_NAME": "cTok[1]"},
        {"JOBID": "8", "STAT": "DONE", "JOB_NAME": "cTok[2]"},
        {"JOBID": "9", "STAT": "RUN", "JOB_NAME": "cTok[1]"},
        {"JOBID": "7", "STAT": "RUN", "JOB_NAME": "cTok1[1]"},
        {"JOBID": "6", "STAT": "RUN", "JOB_NAME": "xcTok"},
    ]
    listed = {"command": "bjobs", "stdout": records(*rows).stdout}
    assert Replay(listed)(backend().finding("cTok")) == {0: "9[1]", 1: "8[2]"}
    nothing = {"command": "bjobs", "rc": 255, "stdout": records().stdout}
    text = BHIST.format(id="23[1]", name="cTok[1]", rest="x: Done successfully.\n")
    text += BHIST.format(id="24", name="cTokX", rest="")
    assert Replay(nothing, {"command": "bhist", "stdout": text})(backend().finding("cTok")) == {0: "23[1]"}
    assert Replay(nothing, {"command": "bhist", "rc": None})(backend().finding("cTok")) == {}
    with pytest.raises(PollError):
        Replay({"command": "bjobs", "rc": None})(backend().finding("cTok"))


def test_a_search_where_arrays_lose_their_names():
    rows = [{"JOBID": "8", "STAT": "RUN", "JOB_NAME": f"[{i}]"} for i in (1, 2)]
    both = [*rows, {"JOBID": "9", "STAT": "RUN", "JOB_NAME": "[1]"}]
    sent = Replay({"stdout": records(*both).stdout}, {"stdout": records(*rows).stdout})
    assert sent(backend().finding("cTok")) == {0: "8[1]", 1: "8[2]"}
    assert sent.commands[1].argv[-2:] == ("-J", "cTok")


def test_why_jobs_wait_is_asked_of_one_element_of_each_of_which_nothing_executes():
    rows = [{"JOBID": "8", "STAT": "PEND", "JOB_NAME": f"t[{i}]"} for i in (1, 2)]
    rows += [{"JOBID": "9", "STAT": state, "JOB_NAME": f"u[{i}]"} for i, state in ((1, "RUN"), (2, "PEND"))]
    said = """JOBID   USER    STAT  QUEUE      FROM_HOST   JOB_NAME   SUBMIT_TIME
8       user    PEND  normal     vm          t[1]       Nov 30 15:54
 Not enough job slot(s): 3 hosts;
 Job's requirements for reserving resource (mem) not satisfied: 2 hosts;
8       user    PEND  normal     vm          t[2]       Nov 30 15:54
 New job is waiting for scheduling;
"""
    sent = Replay({"stdout": records(*rows).stdout}, {"command": "bjobs -p 8[1]", "stdout": said})
    told = sent(backend().polling(["8[1]", "8[2]", "9[1]", "9[2]"]))
    assert sent.commands[1].argv[1:] == ("-p", "8[1]")
    why = "Not enough job slot(s): 3 hosts; Job's requirements for reserving resource (mem) not satisfied: "
    why += "2 hosts"
    assert [told[one].reason for one in ("8[1]", "8[2]", "9[2]")] == [why, why, ""]


@pytest.mark.parametrize(
    "odd", [{"rc": None}, {"rc": 255, "stderr": "No pending job found"}, {"stdout": "x"}]
)
def test_a_reason_that_cannot_be_had_spoils_nothing(odd):
    listed = json.loads((RECORDED / "bjobs_none_rc.json").read_text())
    told = Replay(listed, {"command": "bjobs", **odd})(backend().polling(["163"]))
    assert (told["163"].state.value, told["163"].reason) == ("queued", "")


def test_an_array_without_script_is_refused_by_lsf_itself():
    with pytest.raises(SubmissionError, match="No command is specified") as refusal:
        Replay(RECORDED / "bsub_empty.json")(backend().submitting(submission(Path("/x"), 2)))
    assert not refusal.value.transient


def test_two_jobs_in_one_answer_are_searched_by_name():
    said = "Job <5> is submitted to queue <short>.\nJob <6> is submitted to queue <short>.\n"
    rows = [{"JOBID": "6", "STAT": "RUN", "JOB_NAME": "cTok"}]
    sent = Replay({"command": "bsub", "stdout": said}, {"stdout": records(*rows).stdout})
    assert sent(backend().submitting(submission(Path("/x"), 1))) == ["6"]
    assert sent.commands[0].stdin == Path("/x/lsf.sh")


def test_that_there_is_no_job_is_no_failure_for_the_doctor():
    assert backend().is_answer(recorded("bjobs_none_text"))
    assert backend().is_answer(recorded("bjobs_version"))
    assert not backend().is_answer(recorded("bsub_unknown_queue"))
    assert not backend().is_answer(answer(stderr="LSF daemon (LIM) not responding", rc=255))


def test_counting():
    assert Replay(RECORDED / "bjobs_live_json.json")(backend().counting()) == 6
    assert Replay(RECORDED / "bjobs_none_text.json")(backend().counting()) == 0


def test_every_transcript_is_used():
    text = Path(__file__).read_text()
    assert all(f"{path.stem}" in text for path in RECORDED.glob("*.json"))
