"""Recorded answers stand in for a scheduler."""

import json

import pytest

from caf_core.jobs.batch.dialogue import Command, unanswered
from caf_core.testing import Replay


def asking(*argvs):
    answers = []
    for argv in argvs:
        answers.append((yield Command(argv)))
    return [answer.stdout for answer in answers]


def test_recorded_answers_are_given_in_order(tmp_path):
    first = tmp_path / "qsub_ok.json"
    first.write_text(json.dumps({"command": "qsub ok.sh", "rc": 0, "stdout": "308.vm\n", "stderr": ""}))
    sent = Replay(first, {"command": "/opt/bin/qstat -f", "stdout": "{}"})
    assert sent(asking(["/usr/bin/qsub", "-N", "x"], ["qstat", "-f"])) == ["308.vm\n", "{}"]
    assert [command.argv[0] for command in sent.commands] == ["/usr/bin/qsub", "qstat"]


def test_the_program_must_be_the_recorded_one_and_the_arguments_if_wanted():
    with pytest.raises(AssertionError, match="qstat was asked for, qsub is recorded"):
        Replay({"command": "qsub"})(asking(["qstat"]))
    recording = {"command": "bsub -J 'a b' < arr.sh"}
    assert Replay(recording, arguments=True)(asking(["bsub", "-J", "a b"])) == [""]
    with pytest.raises(AssertionError, match="other arguments"):
        Replay(recording, arguments=True)(asking(["bsub", "-J", "a"]))


def test_too_many_and_too_few_questions_are_told():
    with pytest.raises(AssertionError, match="no recorded answer to qstat -f"):
        Replay()(asking(["qstat", "-f"]))
    with pytest.raises(AssertionError, match="1 recorded answers were not asked for"):
        Replay({"command": "qstat"}, {"command": "qdel"})(asking(["qstat"]))


def test_what_a_dialogue_raises_is_raised():
    def dialogue():
        raise unanswered((yield Command(["qstat"])))

    with pytest.raises(Exception, match="no answer within"):
        Replay({"rc": None})(dialogue())
