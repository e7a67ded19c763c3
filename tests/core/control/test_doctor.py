"""``caf doctor``: what follows from facts, and how words of other programs are read."""

import base64
import json
import shutil
import subprocess
import time
from datetime import timedelta
from importlib.metadata import version

import pytest
from attrs import evolve

from caf_core.control.doctor.credentials import find_credentials, read_enddate, read_klist, read_token
from caf_core.control.doctor.facts import Credential, Examination, ProbeFacts, SchedulerFacts, Use
from caf_core.control.doctor.judgement import judge, suggestions
from caf_core.control.doctor.script import SCRIPT, read_facts
from caf_core.jobs.backend import Capabilities
from caf_core.jobs.config.reading import read_config
from caf_core.jobs.config.writing import table_text
from caf_core.jobs.findings import Finding, Level

VALUES = {
    "host": "node7",
    "system": "Linux 6.1",
    "user": "anna",
    "cpus": "2",
    "memory_bytes": str(2000 * 2**20),
    "machine_kb": str(64_000 * 2**10),
    "python": "/sw/bin/python",
    "python_version": "3.11.7",
    "caf": version("caf-core"),
    "sees": "yes",
    "writes": "yes",
    "home": "yes",
}
PROBE = ProbeFacts(
    "/data/me",
    "/sw/bin/python",
    "anna",
    asked_cpus=2,
    asked_memory_mb=2000,
    state="completed",
    identity="17",
    host="node7",
    waited=3.0,
    ended=True,
    values=VALUES,
    round_trip=0.5,
    clock=0.1,
    clock_error=0.2,
    record_after=0.8,
)
SCHEDULER = SchedulerFacts(
    "Toy",
    site={"version": (23, 9, 6), "max_jobs": None},
    capabilities=Capabilities(array_limit=1000, job_limit=500),
    jobs=3,
)
WELL = Examination(
    "toy", {"command_timeout": 30.0}, (Use("tsub", "/bin/tsub", 1, 0, 0.1),), SCHEDULER, PROBE, (), 0.0
)


def serious(found):
    return [one for one in judge(found) if one.level in (Level.WARNING, Level.PROBLEM)]


def only(found):
    (one,) = serious(found)
    return one


def with_values(**values):
    changed = {**VALUES, **values}
    kept = {key: value for key, value in changed.items() if value is not None}
    return evolve(WELL, probe=evolve(PROBE, values=kept))


def with_probe(**changes):
    return evolve(WELL, probe=evolve(PROBE, **changes))


def test_where_all_is_well_nothing_is_to_be_done():
    assert not serious(WELL)
    assert not suggestions(judge(WELL))
    told = " ".join(one.text for one in judge(WELL))
    for words in (
        "version: 23.9.6",
        "max jobs: not known",
        "you have 3 now",
        "node7 as 17",
        "2000 MB asked for",
    ):
        assert words in told


def test_a_site_is_told_in_the_plugins_words_if_it_has_some():
    scheduler = evolve(SCHEDULER, told={"jobs that fit": "at most 7"})
    told = [one.text for one in judge(evolve(WELL, scheduler=scheduler)) if one.section == "scheduler"]
    assert told == ["jobs that fit: at most 7"]


@pytest.mark.parametrize(
    ("found", "level", "words", "remedy"),
    [
        (
            with_values(caf="No module named caf_core"),
            "warning",
            "No module named caf_core",
            "shared file system",
        ),
        (with_values(caf="0.0.1"), "warning", "it has caf-core 0.0.1", "install caf"),
        (
            with_values(python="/usr/bin/python3"),
            "warning",
            "another interpreter",
            "collectors that are commands",
        ),
        (with_values(python=None), "problem", "no Python was found", "Python 3.9"),
        (with_values(writes="no"), "problem", "cannot be written", "-o"),
        (with_values(cpus="1"), "warning", "processors: 1, 2 asked for", "as nodes have"),
        (with_values(memory_bytes=str(2 * 2**20)), "warning", "may use 2 MB", "another unit"),
        (with_probe(round_trip=None), "warning", "not seen on the node in time", "more time"),
        (with_probe(round_trip=40.0), "warning", "took 40.0 s there and back", "more time"),
        (with_probe(clock=-90.0), "warning", "90.0 s behind ours", "tell your site"),
        (with_probe(values={}, refused="no queue x", ended=True), "problem", "no queue x", "--backend-arg"),
        (
            with_probe(values={}, refused="gone; no exit record within 60 s", ended=True),
            "problem",
            "left nothing in /data/me",
            "shared file system",
        ),
        (
            with_probe(values={}, refused="no Python 3.9 or later was found on this node", ended=True),
            "problem",
            "no Python 3.9",
            "interpreter that the nodes see",
        ),
        (
            with_probe(values={}, ended=False, state="submitted: Priority", waited=600.0),
            "warning",
            "did not end within 600 s; it was waiting: Priority",
            "--wait",
        ),
        (
            evolve(WELL, scheduler=evolve(SCHEDULER, error="tstat: no answer"), probe=None),
            "problem",
            "Toy does not answer: tstat: no answer",
            "path_prefix",
        ),
        (
            evolve(WELL, scheduler=evolve(SCHEDULER, jobs=500)),
            "warning",
            "you have 500 now",
            "global_job_limit",
        ),
        (
            evolve(WELL, uses=(Use("tsub", "/bin/tsub", 1, 0, 20.0),)),
            "warning",
            "close to the time limit of 30 s",
            "more time",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(found, level, words, remedy):
    one = only(found)
    assert one.level == level
    assert words in one.text
    assert remedy in one.remedy


def test_what_is_only_worth_knowing_is_no_warning():
    for found, words in (
        (with_values(sees="no"), "not seen on the node"),
        (with_values(home="no"), "home directory is not there"),
        (with_values(user="nobody"), "executed as nobody, not as anna"),
        (evolve(WELL, uses=(Use("sacct", "", 1, 1, 0.0),)), "sacct is not there"),
    ):
        assert not serious(found)
        assert any(words in one.text for one in judge(found) if one.level == Level.NOTE)


def test_suggestions_are_lines_of_the_configuration(tmp_path):
    found = evolve(with_probe(round_trip=40.0), uses=(Use("tsub", "/bin/tsub", 1, 0, 20.0),))
    wanted = suggestions(judge(found))
    assert wanted == {"grace": 180, "command_timeout": 400}
    path = tmp_path / "caf.toml"
    path.write_text(table_text("backends.toy", {**wanted, "lines": ['a "b"'], "on": True}))
    values = {key: one.value for key, one in read_config([path]).arguments("toy").items()}
    assert values == {**wanted, "lines": ['a "b"'], "on": True}


def test_the_plugin_has_its_say():
    word = Finding(Level.WARNING, "an old version", "update", {"poll_interval": 120})
    found = evolve(WELL, scheduler=evolve(SCHEDULER, findings=(word,)))
    assert only(found) is word
    assert suggestions(judge(found)) == {"poll_interval": 120}


@pytest.mark.parametrize(
    ("credential", "level", "words"),
    [
        (
            Credential("Kerberos ticket", "me@X", 20_000.0, 90_000.0),
            "ok",
            "lives 5h33min more; it can be renewed for 1d1h",
        ),
        (Credential("bearer token", "/t", 1800.0), "warning", "lives only 30min more"),
        (Credential("X.509 proxy", "/p", 0.0), "warning", "has expired"),
        (
            Credential("bearer token", "/t", problem="it is no JSON web token"),
            "warning",
            "it is no JSON web token",
        ),
    ],
)
def test_credentials(credential, level, words):
    told = judge(evolve(WELL, credentials=(credential,), now=1.0))
    (one,) = [finding for finding in told if f"{credential.kind} {credential.name}" in finding.text]
    assert one.level == level and words in one.text
    assert any("caf waits and tries again" in finding.text for finding in told)


MIT = """Ticket cache: FILE:/tmp/krb5cc_1000
Default principal: anna@DESY.DE

Valid starting     Expires            Service principal
11/22/26 09:30:38  11/22/26 19:30:38  krbtgt/DESY.DE@DESY.DE
\trenew until 11/29/26 09:30:38
11/22/26 09:31:00  11/22/26 19:30:38  afs/desy.de@DESY.DE
"""
HEIMDAL = """Credentials cache: FILE:/tmp/krb5cc_1000
        Principal: anna@DESY.DE

  Issued                Expires               Principal
Nov 22 09:30:38 2026  Nov 22 19:30:38 2026  krbtgt/DESY.DE@DESY.DE
"""


@pytest.mark.parametrize("text", [MIT, HEIMDAL, MIT.replace("/26 ", "/2026 ")])
def test_klist_is_read(text):
    found = read_klist(text)
    assert found.name == "anna@DESY.DE"
    assert found.expires == time.mktime((2026, 11, 22, 19, 30, 38, 0, 0, -1))
    until = time.mktime((2026, 11, 29, 9, 30, 38, 0, 0, -1)) if "renew" in text else None
    assert found.renewable_until == until


def test_klist_without_a_ticket():
    assert read_klist("Ticket cache: FILE:/tmp/x\nDefault principal: a@B\n") is None
    assert read_klist(MIT.replace("11/22/26 19", "gestern 19")).problem
    expired = read_klist(HEIMDAL.replace("Nov 22 19:30:38 2026", ">>>Expired<<<"))
    assert expired.expires == 0.0


def token(**claims):
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, claims)
    ]
    return ".".join([*encoded, "c2ln"])


def test_tokens_are_found_where_the_wlcg_says(tmp_path):
    file = tmp_path / "bt_u77"
    file.write_text(token(exp=2_000_000_000) + "\n")
    (found,) = find_credentials({"XDG_RUNTIME_DIR": str(tmp_path)}, 77)
    assert (found.kind, found.name, found.expires) == ("bearer token", str(file), 2_000_000_000.0)
    (found,) = find_credentials({"BEARER_TOKEN": token(exp=5), "BEARER_TOKEN_FILE": "/x"}, 77)
    assert (found.name, found.expires) == ("$BEARER_TOKEN", 5.0)
    (found,) = find_credentials({"BEARER_TOKEN_FILE": str(tmp_path / "none")}, 77)
    assert "cannot be read" in found.problem


@pytest.mark.parametrize("text", ["", "abc", "a.b", "a.!.c", token()])
def test_what_is_no_token_is_said(text):
    expires, _, problem = read_token(text)
    assert expires is None and problem


def test_a_proxy_is_read(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "proxy"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=me", "-days", "2"]
    subprocess.run(
        ["openssl", *words, "-keyout", path, "-out", path], check=True, capture_output=True, timeout=60
    )
    (found,) = find_credentials({"X509_USER_PROXY": str(path)}, 78)
    assert found.expires == pytest.approx(time.time() + 2 * 86400, abs=600)
    path.write_text("no certificate")
    (found,) = find_credentials({"X509_USER_PROXY": str(path)}, 78)
    assert found.expires is None and "openssl cannot read it" in found.problem
    (found,) = find_credentials({"X509_USER_PROXY": str(tmp_path / "none")}, 78)
    assert "does not exist" in found.problem


def test_the_end_of_a_certificate():
    assert read_enddate("notAfter=Jan  1 00:00:10 1970 GMT\n") == 10.0
    assert read_enddate("unable to load certificate") is None


@pytest.mark.parametrize("shell", [one for one in ("sh", "dash", "bash", "busybox") if shutil.which(one)])
def test_the_script_works_in_every_shell(shell, tmp_path):
    talk = tmp_path / "a 'talk'"
    talk.mkdir()
    (talk / "ping").touch()
    words = [shell, "sh"] if shell == "busybox" else [shell]
    done = subprocess.run(
        [*words, "-c", SCRIPT, "caf-doctor", str(talk), "/no/python", "50"], cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0
    facts = read_facts((tmp_path / "facts.txt").read_text())
    assert facts["sees"] == facts["writes"] == "yes"
    assert int(facts["cpus"]) >= 1
    assert abs(float((talk / "pong").read_text()) - time.time()) < 60
    assert facts["python"] != "/no/python"


def test_the_script_without_a_folder(tmp_path):
    subprocess.run(
        ["sh", "-c", SCRIPT, "caf-doctor", "/no/where", "/no/python", "50"], cwd=tmp_path, timeout=60
    )
    facts = read_facts((tmp_path / "facts.txt").read_text())
    assert (facts["sees"], facts["writes"]) == ("no", "no")


def test_grace_is_judged_only_where_there_is_a_scheduler():
    found = evolve(with_probe(round_trip=40.0), scheduler=None)
    assert not serious(found)
    patient = evolve(SCHEDULER, capabilities=Capabilities(grace=timedelta(minutes=10)))
    assert not serious(evolve(with_probe(round_trip=40.0), scheduler=patient))
