"""Ids, listings and records are read, also where they are odd, cut off or damaged."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf_pbs import listing
from caf_pbs.ids import JobId, all_in, bundled, parse, printed_ids
from caf_pbs.records import from_json, from_text, from_xml
from caf_pbs.site import Format, array_limit, attributes, findings_of, identify, with_queue

FOLDER = Path(__file__).parent / "listings"
WIDE = (FOLDER / "pbs_wide.txt").read_text()
TORQUE = (FOLDER / "torque.txt").read_text()
XML = (FOLDER / "torque.xml").read_text()


# Ids


@pytest.mark.parametrize(
    ("text", "parts", "position"),
    [
        ("12.vm", ("12", "", ".vm"), 0),
        ("12[3].vm.domain.org", ("12", "[3]", ".vm.domain.org"), 3),
        ("12[].vm", ("12", "[]", ".vm"), None),
        ("12", ("12", "", ""), 0),
    ],
)
def test_ids_fall_into_parts(text, parts, position):
    job = parse(text)
    assert (job.number, job.index, job.server) == parts
    assert job.position == position
    assert str(job) == text


@pytest.mark.parametrize("text", ["", "no-such-id", "12[", "12[a].vm", "[3].vm", "12.", "12 .vm"])
def test_what_is_no_id(text):
    assert parse(text) is None


def test_an_id_is_found_among_what_a_site_prints():
    said = "Welcome to PBS!\n3\n23.06\n 310[].vm \nyour job waits\n5.vm"
    assert list(printed_ids(said)) == [JobId("310", "[]", ".vm")]
    assert [str(one) for one in all_in("1.vm\nx\n2[].vm\n")] == ["1.vm", "2[].vm"]


def test_arrays_and_their_tasks():
    assert str(JobId("3", "[7]", ".vm").parent) == "3[].vm"
    assert str(JobId("3", "[]", ".vm").element(4)) == "3[4].vm"
    assert JobId("3", "", ".vm").parent == JobId("3", "", ".vm")


@given(st.integers(0, 40), st.integers(1, 7))
def test_bundles_hold_all_in_order(count, most):
    ids = [JobId(str(number)) for number in range(count)]
    bundles = list(bundled(ids, most))
    assert [one for bundle in bundles for one in bundle] == ids
    assert all(0 < len(bundle) <= most for bundle in bundles)


# Listings


def test_the_listing_of_pbs():
    expected = {"310[0]": "X", "310[1]": "R", "310[2]": "Q", "1234567[9999]": "H", "312": "B"}
    assert listing.states(WIDE) == expected
    assert {row.key: row.state for row in listing.rows(WIDE)} == expected
    assert listing.is_whole(WIDE, exact=True)


def test_the_listing_of_torque():
    assert listing.states(TORQUE) == {"98[0]": "Q", "98[1]": "C", "99": "R"}
    assert [row.name for row in listing.rows(TORQUE)] == ["abcdefghijklmno-", "abcdefghijklmno-", "plain"]


def test_a_row_that_is_odd_costs_only_itself():
    odd = WIDE.replace("310[1].vm  ", "310[1].v\ufffdm", 1).replace("  100mb 01:00 Q  --", "", 1)
    assert set(listing.states(odd)) == {"310[0]", "310[1]", "1234567[9999]", "312"}
    cut = WIDE.replace("1234567[9999].pbs-server.very*", "1234567[999*                  ")
    assert "1234567[999*" not in listing.states(cut)
    assert len(listing.states(cut)) == 4


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", True),
        ("\n", True),
        (WIDE, True),
        (WIDE[:-9], False),
        ("\x00%garbage{]\n<", False),
        ("junk\n", False),
    ],
)
def test_what_is_no_listing_is_no_answer(text, whole):
    assert listing.is_whole(text) is whole


def test_ids_must_be_whole():
    assert listing.is_whole("1.vm\n2[].vm\n", ids=True)
    assert not listing.is_whole("1.vm\n2[].v", ids=True)
    assert not listing.is_whole("1.v\ufffdm\n", ids=True)
    assert not listing.is_whole("garbage\n", ids=True)


def test_the_brief_listing_and_that_of_queues():
    brief = "Job id            Name\n----------------  ----\n2[].vm  a\n2[0].vm  a\n2[11].long-server-na  a\n"
    assert listing.keys(brief) == ["2[]", "2[0]", "2[11]"]
    queues = "Queue   Max\n------- ---\nworkq     0\nshort     0\n\n"
    assert listing.queues(queues) == ["workq", "short"]
    assert listing.queues("qstat: no\n") == []


# Records


def test_xml_of_several_documents():
    found = from_xml(XML)
    assert set(found) == {"98[1].vm", "99.vm"}
    assert found["98[1].vm"]["resources_used.mem"] == "2048kb"
    assert found["98[1].vm"]["comment"] == "a <b> & c"
    assert from_xml('<?xml version="1.0"?>\n<Data></Data>\n') == {}


@pytest.mark.parametrize("size", range(0, len(XML), 50))
def test_xml_that_is_cut_off(size):
    assert set(from_xml(XML[:size])) <= {"98[1].vm", "99.vm"}


def jobs_json(**jobs):
    content = {"timestamp": 1, "pbs_version": "23", "pbs_server": "vm", "Jobs": jobs}
    return json.dumps(content, indent="\t", separators=(",", ":\t"))


def test_json_with_values_of_other_types():
    text = jobs_json(
        **{"1.vm": {"Job_Name": 123, "Exit_status": -29, "resources_used": {"ncpus": 1}}, "2.vm": "x"}
    )
    assert from_json(text) == {"1.vm": {"Job_Name": "123", "Exit_status": "-29", "resources_used.ncpus": "1"}}


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"Jobs": []}', "null", '{"Jobs": {"1.vm": 3}}'])
def test_json_without_jobs(text):
    assert from_json(text) == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace('"tok"', "0012"),  # a name that looks like a number
        lambda text: text.replace('"tok"', r'"a\x"'),
        lambda text: text.replace('"tok"', '"a"b"'),
        lambda text: text.replace('"tok"', '"\ufffd\x01"'),
        lambda text: text.replace('"tok"', "1e999999x"),
    ],
)
def test_one_bad_value_spoils_neither_its_job_nor_others(spoil):
    good = {"Job_Name": "other", "job_state": "F", "Exit_status": 3}
    bad = {"Job_Name": "tok", "job_state": "F", "Exit_status": 0, "resources_used": {"mem": "1kb"}}
    found = from_json(spoil(jobs_json(**{"1.vm": bad, "2.vm": good})))
    assert found["2.vm"] == {"Job_Name": "other", "job_state": "F", "Exit_status": "3"}
    assert found["1.vm"]["Exit_status"] == "0"
    assert found["1.vm"]["resources_used.mem"] == "1kb"


@given(st.integers(0, 400))
def test_json_that_is_cut_off_gives_what_is_there(size):
    text = jobs_json(**{f"{n}.vm": {"job_state": "F", "Exit_status": n} for n in range(5)})
    for name, record in from_json(text[:size]).items():
        if "Exit_status" in record:
            assert name.startswith(record["Exit_status"]) or not text[:size].endswith("}")


def test_text_with_long_values():
    text = "Job Id: 1.vm\n    Job_Name = a\n    Variable_List = A=1,\n\tB=2\n    comment = x = y\n\n"
    text += "Job Id: 2.vm\n"
    assert from_text(text) == {
        "1.vm": {"Job_Name": "a", "Variable_List": "A=1,B=2", "comment": "x = y"},
        "2.vm": {},
    }


# The site


@pytest.mark.parametrize(
    ("words", "torque", "version", "form"),
    [
        ("pbs_version = 23.06.06\n", False, "23.06.06", Format.JSON),
        ("pbs_version = 19.2.8.20200925072630\n", False, "19.2.8.20200925072630", Format.JSON),
        ("pbs_version = 2022.1.1\n", False, "2022.1.1", Format.JSON),
        ("pbs_version = PBSPro_13.0.2.153173\n", False, "PBSPro_13.0.2.153173", Format.TEXT),
        ("\nVersion: 6.1.2\nCommit: 661e09\n", True, "6.1.2", Format.XML),
        ("\nversion: 2.5.13\n", True, "2.5.13", Format.XML),
        ("something else", False, "", Format.JSON),
    ],
)
def test_families_are_told_apart(words, torque, version, form):
    site = identify(words)
    assert (site.torque, site.version, site.format) == (torque, version, form)
    assert site.arrays


def test_arrays_of_old_torque_are_not_used():
    assert not identify("version: 2.4.16\n").arrays


def test_attributes_and_array_limits():
    server = attributes(
        "Server: vm\n    default_queue = workq\n    max_array_size = 10000\n\nServer: x\n    a = b\n"
    )
    assert server["default_queue"] == "workq"
    assert array_limit(server, {"max_array_size": "500"}) == 500
    assert array_limit(server) == 10000
    assert array_limit({}, {"max_array_size": "many"}) is None


def test_what_doctor_tells():
    site = identify("pbs_version = 23.06.06")
    assert [finding.level for finding in findings_of(with_queue(site, "q", {}))] == ["ok", "note"]
    assert "does not exist" in findings_of(with_queue(site, "q", None))[1].text
    stopped = with_queue(
        site, "q", {"enabled": "True", "started": "False", "resources_max.walltime": "01:00:00"}
    )
    assert findings_of(stopped)[1].level == "warning"
    assert stopped.longest_time == "01:00:00"
    assert findings_of(identify("version: 2.4.16"))[-1].level == "warning"
