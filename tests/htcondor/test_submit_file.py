"""The submit file: what stands in it, and what is refused before anything is submitted."""

from datetime import timedelta
from pathlib import Path

import pytest

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Submission
from caf_core.jobs.task import Resources
from caf_core.testing.bench import HOSTILE
from caf_htcondor import HTCondor
from caf_htcondor.places import accepted_name
from caf_htcondor.request import amount_mb
from caf_htcondor.submit_file import Shape, submit_file


def text(name="a name", size=3, resources=None, **args):
    merged = {**HTCondor.default_backend_args, **args}
    return submit_file(
        Submission("atoken", name, Path("/d"), size, resources or Resources(), merged), Shape()
    )


def values(*arguments, **args):
    lines = text(*arguments, **args).splitlines()
    return dict(line.split(" = ", 1) for line in lines if " = " in line), lines[-1]


def test_one_cluster_with_one_log():
    found, last = values()
    assert last == "queue 3"
    assert found["log"] == "events.log"
    assert (found["JobBatchName"], found["+CafToken"]) == ("atoken", '"atoken"')
    assert (found["request_memory"], found["request_cpus"]) == ("4096", "1")
    assert (found["universe"], found["getenv"]) == ("vanilla", "false")
    assert "request_disk" not in found
    assert "allowed_job_duration" not in found


def test_nothing_of_a_name_reaches_the_scheduler_as_its_language():
    found, _ = values(HOSTILE)
    assert not set("$`'\"\\\n;#") & set(found["description"])
    assert len(text(HOSTILE).splitlines()) == len(text().splitlines())


def test_resources_are_translated():
    found, _ = values(
        resources=Resources(4, 2000, timedelta(minutes=10), 500), runtime_attribute="+MaxRuntime"
    )
    assert (found["request_cpus"], found["request_memory"], found["request_disk"]) == ("4", "2000", "500 MB")
    # It ends by itself before.
    assert found["allowed_job_duration"] == found["+MaxRuntime"] == "720"


def test_an_argument_wins_until_more_is_needed():
    assert values(resources=Resources(memory_mb=1000), request_memory="2 GB")[0]["request_memory"] == "2048"
    assert values(resources=Resources(memory_mb=3073), request_memory=2048)[0]["request_memory"] == "3073"
    assert values(max_runtime=60)[0]["allowed_job_duration"] == "60"
    assert values(max_runtime=60, transfer=True)[0]["allowed_execute_duration"] == "60"


@pytest.mark.parametrize(
    ("given", "mb"),
    [
        (5, 5),
        (5.2, 6),
        ("5", 5),
        ("4 GB", 4096),
        ("4GiB", 4096),
        ("1.5 g", 1536),
        ("512K", 1),
        ("1t", 1 << 20),
    ],
)
def test_amounts(given, mb):
    assert amount_mb("request_memory", given) == mb


def test_the_users_own_choices():
    lines = ['+Project = "x"', "rank = Memory"]
    found, _ = values(
        extra_lines=lines,
        accounting_group="belle",
        requirements="Memory > 5",
        getenv="HOME, PATH",
        max_materialize=9,
    )
    assert (found["+Project"], found["rank"], found["accounting_group"]) == ('"x"', "Memory", "belle")
    assert (found["requirements"], found["getenv"], found["max_materialize"]) == (
        "Memory > 5",
        "HOME, PATH",
        "9",
    )
    assert values(extra_lines="\n".join(lines)) == values(extra_lines=lines)
    assert values(getenv=True)[0]["getenv"] == "true"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"request_memory": "lots"}, "request_memory of HTCondor is 'lots'"),
        ({"extra_lines": ["Queue 5"]}, "caf itself says 'queue'"),
        ({"extra_lines": "log=x"}, "caf itself says 'log'"),
        ({"requirements": "a\nqueue 7"}, "must be one line"),
        ({"accounting_group": "x \\"}, "ends with a backslash"),
        ({"runtime_attribute": "Max Runtime"}, "give an attribute's name"),
        ({"request_memori": 5}, "did you mean 'request_memory'"),
        ({"transfer": "yes"}, "it must be bool"),
    ],
)
def test_mistakes_are_refused_at_once(args, words):
    with pytest.raises(ConfigurationError, match=words):
        HTCondor(backend_args=args)


# Names of directories


def test_a_usual_name_is_its_own(tmp_path):
    assert accepted_name(tmp_path / 'it\'s "a" $(name)') is None


def test_a_name_that_is_not_accepted_gets_another(tmp_path):
    for name in (HOSTILE, "a $$(b)"):
        directory = tmp_path / name / "job" / name / "submission"
        directory.mkdir(parents=True)
        other = accepted_name(directory)
        assert Path(other).samefile(directory)
        assert set(other) <= set(str(tmp_path)) | set("/.caf-0123456789abcdefsubmission")
        assert accepted_name(directory) == other


def test_a_name_without_a_place_for_another_is_refused():
    with pytest.raises(ConfigurationError, match="choose a directory without line breaks"):
        accepted_name(Path("/proc/with\nbreak/job"))


def test_what_has_the_name_of_a_link_but_leads_elsewhere_is_refused(tmp_path):
    directory = tmp_path / "odd\nname" / "inside"
    directory.mkdir(parents=True)
    link = Path(accepted_name(directory)).parent
    assert accepted_name(directory) == str(link / "inside")
    link.unlink()
    link.symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="is something else; remove that"):
        accepted_name(directory)
    link.unlink()
    link.mkdir()
    with pytest.raises(ConfigurationError, match="is something else; remove that"):
        accepted_name(directory)
