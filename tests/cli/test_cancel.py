"""``caf cancel``: ending what Ctrl-C or a crash has left, and going on afterwards."""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from caf_core.testing.bench import wait_until

LIMIT = 120.0
"""How long anything may take on a busy machine [s]."""
# Counts its executions; waits until it may end, unless it is the first of them.
BODY = (
    'echo x >> "$0/begun.$1"; until [ "$1" = 0 ] || [ -e "$0/go on" ]; do sleep 0.05; done; '
    'echo x >> "$0/done.$1"'
)
CALIBRATION = """
import os, time
from pathlib import Path
from caf_core import CAF, Algorithm, Calibration, Outcome

HERE = Path(__file__).parent


def collect(context):
    name = Path(context.input_files[0]).stem
    with open(HERE / f"begun.{name}", "a") as file:
        file.write("x\\n")
    while name != "a" and not (HERE / "go on").exists():
        time.sleep(0.05)
    context.put((1, ord(name)), [name], entries=1)
    with open(HERE / f"done.{name}", "a") as file:
        file.write("x\\n")


def fit(context):
    return Outcome("ok", {"x": context.data().merged()})


cal = Calibration("cal", collect, [Algorithm(fit, "fit")], [HERE / "a", HERE / "b", HERE / "c"])
cal.collections["default"].max_files_per_collector_job = 1
caf = CAF(HERE / "out")
caf.add_calibration(cal)
caf.run()
"""


@pytest.fixture
def site(make_site):
    """A folder where ``caf`` finds the backend ``tiny``, and a scheduler for it."""
    tiny = "fakes.tiny_backend:TinyBackend"
    backends = {"tiny": tiny, "tinybackend": tiny}  # the second as an instance in a script is called
    with make_site(backends, {}, folder="my work", poll_interval=0.5, slots=3, kill_wait=10) as cluster:
        yield cluster


def interrupted(process, number=signal.SIGINT):
    """Interrupt a process; what it said last."""
    process.send_signal(number)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, said
    return said.splitlines()[-1]


def counts(folder, kind):
    return {path.suffix[1:]: path.read_text().count("x") for path in Path(folder).glob(f"{kind}.*")}


SUBMIT = ("submit", "-q", "-n", 5, "--", "sh", "-c", BODY, os.curdir, "{index}")


def submit_words():
    return [str(Path.cwd()) if word == os.curdir else word for word in SUBMIT]


def test_what_ctrl_c_leaves_is_counted_ended_and_executed_again(site, started, run_caf):
    process = started(*submit_words())
    wait_until(lambda: set(counts(".", "begun")) >= {"0", "1", "2", "3"}, LIMIT, "three tasks execute")
    wait_until(
        lambda: "1/5" in run_caf("status", "-p", "caf_job").stdout, LIMIT, "the first is known to have ended"
    )
    refused = run_caf("cancel", "-p", "caf_job")
    assert refused.returncode == 3
    assert f"pid {process.pid}" in refused.stderr and "host " in refused.stderr
    said = interrupted(process)
    assert "give the same command again" in said
    assert said.endswith(f"4 tasks at tiny go on; to end that: caf cancel -p {Path('caf_job').name}")
    done = run_caf("cancel", "--json", "-p", "caf_job")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert not outcome["kept"]
    (ended,) = outcome["ended"]
    assert ended["calibration"] == "job" and ended["backend"] == "tiny"
    assert ended["tasks"] == [1, 2, 3, 4]
    assert ended["ids"] == [f"1.{index}" for index in (1, 2, 3, 4)]
    wait_until(
        lambda: not site.jobs(state="running") and not site.jobs(state="pending"), LIMIT, "all has ended"
    )
    again = run_caf("cancel", "-p", "caf_job")
    assert (again.returncode, again.stdout) == (0, "nothing goes on\n")
    assert "4 cancelled" in run_caf("status", "-p", "caf_job").stdout
    why = run_caf("why", "4", "-p", "caf_job").stdout
    assert "ended by caf cancel" in why and "the next start executes it again" in why
    Path("go on").touch()
    done = run_caf(*submit_words())
    assert done.returncode == 0, done.stderr
    assert counts(".", "done") == dict.fromkeys("01234", 1)
    assert counts(".", "begun")["0"] == 1


def test_a_calibration_is_ended_and_goes_on(site, started, run_caf, tmp_path):
    folder = tmp_path / "my work"
    for name in "abc":
        (folder / name).touch()
    (folder / "script.py").write_text(CALIBRATION)
    process = started("run", "-q", "script.py")
    wait_until(lambda: set(counts(folder, "begun")) == set("abc"), LIMIT, "the tasks execute")
    wait_until(lambda: site.jobs(state="ended"), LIMIT, "the first has ended")
    assert counts(folder, "done") == {"a": 1}
    said = interrupted(process, signal.SIGTERM)
    assert said.startswith("caf: stopped; start it again")
    # The last of them may not be known to have ended.
    assert "tasks at tiny go on; to end that: caf cancel -p " in said
    done = run_caf("cancel", "-p", folder / "out", "nothing")
    assert done.returncode == 2 and "there is: cal" in done.stderr
    done = run_caf("cancel", "-p", folder / "out", "cal")
    assert done.returncode == 0, done.stderr
    assert "cal: ended 2 tasks at tiny\nthe same script" in done.stdout
    wait_until(lambda: not site.jobs(state="running"), LIMIT, "all has ended")
    (folder / "go on").touch()
    done = run_caf("run", "-q", "script.py")
    assert done.returncode == 0, done.stderr
    assert counts(folder, "done") == dict.fromkeys("abc", 1)
    assert counts(folder, "begun") == {"a": 1, "b": 2, "c": 2}


def test_what_a_script_chose_for_its_backend_is_known(site, started, run_caf):
    """The folder of the scheduler's commands stands in the script only."""
    Path("caf.toml").write_text("[backends.tinybackend]\npoll_interval = 0.5\ngrace = 60\n")
    for name in "abc":
        Path(name).touch()
    instance = f"TinyBackend(backend_args={{'path_prefix': {site.path_prefix!r}}})"
    text = CALIBRATION.replace('CAF(HERE / "out")', f'CAF(HERE / "out", backend={instance})')
    Path("script.py").write_text("from fakes.tiny_backend import TinyBackend\n" + text)
    process = started("run", "-q", "script.py")
    wait_until(lambda: set(counts(".", "begun")) == set("abc"), 60, "the tasks execute")
    interrupted(process)
    done = run_caf("cancel", "-p", "out", "--backend-arg", "path_prefix=/nowhere")
    assert done.returncode == 1 and "/nowhere/" in done.stderr
    done = run_caf("cancel", "-p", "out")
    assert done.returncode == 0, done.stderr
    assert " tasks at tinybackend\n" in done.stdout
    wait_until(lambda: not site.jobs(state="running"), 60, "all has ended")


def test_a_second_ctrl_c_says_as_much(site, started, run_caf):
    process = started(*submit_words())
    wait_until(lambda: set(counts(".", "begun")) >= set("0123"), LIMIT, "the tasks execute")
    # Stopped, so that both signals are there when it goes on.
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode in (130, 143)
    assert "caf: stopped at once." in said
    assert f"to end that: caf cancel -p '{Path('caf_job').absolute()}'" in said
    done = run_caf("cancel", "-p", "caf_job")
    assert done.returncode == 0, done.stderr
    assert "job: ended 4 tasks at tiny" in done.stdout


def test_a_second_ctrl_c_may_come_at_any_moment(site, started, run_caf):
    for pause in (0.0, 0.01, 0.03, 0.1):
        process = started(*[word for word in submit_words() if word != "-q"])
        assert "tasks done" in process.stderr.readline()  # said when signals are heeded
        wait_until(lambda: site.jobs(state="running"), LIMIT, "tasks execute")
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(pause)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT)
        assert process.returncode in (130, -signal.SIGINT), said
        assert "Traceback" not in said
        assert "to end that: caf cancel -p " in said
    assert run_caf("cancel", "-p", "caf_job").returncode == 0


def test_a_submission_without_an_answer_is_searched(site, started, run_caf):
    site.faults.lose_answer()
    process = started(*submit_words())
    wait_until(lambda: set(counts(".", "begun")) >= set("0123"), LIMIT, "the tasks execute")
    commands = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(LIMIT)
    done = run_caf("cancel", "-p", "caf_job")
    assert done.returncode == 1
    assert "not ended: the submit command of" in done.stderr and "is still at work" in done.stderr
    for command in commands:
        with contextlib.suppress(psutil.NoSuchProcess):
            command.kill()
    assert not psutil.wait_procs(commands, LIMIT)[1]
    done = run_caf("cancel", "-p", "caf_job")
    assert done.returncode == 0, done.stderr
    assert "job: ended 4 tasks at tiny" in done.stdout
    wait_until(lambda: not site.jobs(state="running"), LIMIT, "all has ended")
    Path("go on").touch()
    done = run_caf(*submit_words())
    assert done.returncode == 0, done.stderr
    assert counts(".", "done") == dict.fromkeys("01234", 1)


def test_a_scheduler_that_does_not_answer_ends_nothing(site, started, run_caf):
    process = started(*submit_words())
    wait_until(lambda: set(counts(".", "begun")) >= set("0123"), LIMIT, "the tasks execute")
    interrupted(process)
    site.faults.down()
    done = run_caf("cancel", "-p", "caf_job")
    assert done.returncode == 1
    assert " tasks at tiny, called " in done.stderr and "not ended" in done.stderr
    site.faults.up()
    Path("go on").touch()
    done = run_caf(*submit_words())
    assert done.returncode == 0, done.stderr
    assert counts(".", "begun") == counts(".", "done") == dict.fromkeys("01234", 1)


@pytest.mark.parametrize("name", [(), ("job",)])
def test_what_goes_on_on_this_machine_is_ended(tmp_path, started, run_caf, name):
    job = tmp_path / "my job"
    words = ["submit", "-q", "-b", "local", "-o", job, "-j", 3, "-n", 5]
    words += ["--", "sh", "-c", BODY, tmp_path, "{index}"]
    process = started(*words)
    wait_until(lambda: set(counts(tmp_path, "begun")) >= set("0123"), LIMIT, "the tasks execute")
    process.kill()
    process.wait(LIMIT)
    done = run_caf("cancel", "-p", job, *name)
    assert done.returncode == 0, done.stderr
    assert "job: ended 4 tasks at local" in done.stdout
    assert run_caf("cancel", "-p", job, *name).stdout == "nothing goes on\n"
    (tmp_path / "go on").touch()
    done = run_caf(*words)
    assert done.returncode == 0, done.stderr
    assert counts(tmp_path, "done") == dict.fromkeys("01234", 1)
    assert counts(tmp_path, "begun")["0"] == 1


@pytest.mark.parametrize("backend", ["local", "tiny"])
def test_what_executes_for_a_directory_that_was_moved_is_ended_first(site, started, run_caf, backend):
    """``caf submit``, ``caf why`` and ``caf debug`` go on in the new place, and nothing executes twice."""
    words = ["submit", "-q", "-b", backend, "-n", 5, *(["-j", 5] if backend == "local" else [])]
    rest = ["--", "sh", "-c", BODY, Path.cwd(), "{index}"]
    process = started(*words, "-o", "old", *rest)
    wait_until(lambda: set(counts(".", "begun")) >= set("012"), LIMIT, "the tasks execute")
    wait_until(lambda: "0" in counts(".", "done"), LIMIT, "the first has ended")
    asked = ("why", "job", "tasks/0", "-p")
    wait_until(lambda: "/old/" in run_caf(*asked, "old").stdout, LIMIT, "the checkpoint knows of it")
    process.kill()
    process.wait(LIMIT)
    Path("old").rename("new")
    said = run_caf(*asked, "new").stdout
    assert "/new/" in said and "/old/" not in said
    process = started(*words, "-o", "new", *rest)
    wait_until(lambda: counts(".", "begun").get("1") == 2, LIMIT, "it executes again")
    Path("go on").touch()
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said
    assert f"task(s) at {backend}, which executed for the place" in said
    assert not Path("old").exists()
    done = counts(".", "done")
    done.pop("0")  # it may be executed again, as nobody has taken its record in
    assert done == dict.fromkeys("1234", 1)


def test_there_is_nothing_to_end(tmp_path, caf):
    called = caf("cancel", "-p", tmp_path)
    assert called.code == 3
    assert "there is no checkpoint in" in called.err


def test_why_a_task_was_not_submitted(site, started, run_caf):
    """One task may be at the scheduler; the others wait for room."""
    site.set(slots=1)
    limit = ("--backend-arg", "global_job_limit=1", "--backend-arg", "check_interval=0.5")
    process = started("submit", "-q", *limit, *submit_words()[2:])
    wait_until(lambda: len(site.jobs()) >= 1, LIMIT, "one is submitted")
    wait_until(lambda: "0/5" not in run_caf("status", "-p", "caf_job").stdout, LIMIT, "the first has ended")
    wait_until(lambda: len(site.jobs()) >= 2, LIMIT, "the second is submitted")
    said = run_caf("why", "job", "4", "-p", "caf_job").stdout
    assert "task tasks/4, iteration 0, on tiny: init" in said
    assert "not submitted yet: " in said
    assert "global_job_limit" in said
    wait_until(lambda: "1" in counts(".", "begun"), LIMIT, "the second executes")
    interrupted(process)
    said = run_caf("why", "4", "-p", "caf_job").stdout
    assert "not submitted yet: no controller drives this directory" in said
    assert run_caf("cancel", "-p", "caf_job").returncode == 0


def test_why_claims_nothing_that_nobody_asked(site, started, run_caf):
    site.set(slots=1)
    text = Path("caf.toml").read_text().replace("poll_interval = 0.5", "poll_interval = 600")
    Path("caf.toml").write_text(text)
    process = started(*submit_words())
    wait_until(lambda: "1" in counts(".", "begun"), LIMIT, "the second executes")
    assert "it has begun" in run_caf("why", "1", "-p", "caf_job").stdout
    said = run_caf("why", "4", "-p", "caf_job").stdout
    assert "tiny has told nothing of it so far" in said or "tiny says" in said
    assert "does not say why" not in said
    interrupted(process)
    assert run_caf("cancel", "-p", "caf_job").returncode == 0


def test_the_only_calibration_need_not_be_named(good, bad, tmp_path, run_caf, caf):
    job = tmp_path / "job"
    assert run_caf("submit", "-q", "-b", "local", "-o", job, "-n", 2, "--", "echo", "{index}").returncode == 0
    for words in (("1",), ("tasks/1",), ("job", "1"), ("job", "tasks/1")):
        assert caf("why", *words, "-p", job).out.startswith("task tasks/1, iteration 0, on local: completed")
    assert "no task or execution of this iteration has failed" in caf("why", "-p", job).out
    done = run_caf("debug", "1", "-p", job, "--scratch", tmp_path)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    for words in (("why",), ("why", "default/0"), ("debug", "default/0")):
        called = caf(*words, "-p", good[0])
        assert called.code == 2
        assert "say which calibration is meant; there is: first, second." in called.err
    assert caf("debug", "-p", job).code == 2
    called = caf("why", "jub", "-p", job)
    assert called.code == 2
    assert "there is no calibration 'jub'" in called.err
