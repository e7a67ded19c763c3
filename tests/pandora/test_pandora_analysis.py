"""The processor PfoAnalysis: taken, added, or asked for; and what a calibration needs of a steering file."""

import pytest
from attrs import evolve

from caf_pandora.analysis import provide_analysis
from caf_pandora.constants import read_constants
from caf_pandora.demo import demo_settings
from caf_pandora.errors import SteeringError
from caf_pandora.inputs import Share
from caf_pandora.standin.examples import kit
from caf_pandora.steering import Address, Steering
from caf_pandora.step_files import STEERING_FILE, Kit, step_files

FILE = b"""<marlin>
  <execute>
    <processor name="Pandora"/>
  </execute>
  <processor name="Pandora" type="DDPandoraPFANewProcessor"/>
</marlin>
"""
OWN = b'<processor name="Mine" type="PfoAnalysis"><parameter name="Printing">3</parameter></processor>'


def provided(content, **more):
    steering = Steering.parse(content)
    return provide_analysis(steering, "out.root", **more), steering


def test_it_is_added_and_executed_after_all_others():
    name, steering = provided(FILE)
    assert name == "MyPfoAnalysis"
    assert steering.executed() == ("Pandora", name)
    assert steering.get(Address("RootFile", name)) == "out.root"
    assert steering.get(Address("PfoCollection", name)) == "PandoraPFOs"
    assert (
        b'    <processor name="Pandora"/>\n    <processor name="MyPfoAnalysis"/>\n  </execute>'
        in steering.content()
    )
    assert provided(FILE, wanted="Other")[1].of_type("PfoAnalysis") == ("Other",)


def test_one_of_another_name_is_taken_and_nothing_is_added():
    name, steering = provided(FILE.replace(b"</marlin>", OWN + b"</marlin>"))
    assert (name, steering.of_type("PfoAnalysis")) == ("Mine", ("Mine",))
    assert steering.executed() == ("Pandora", "Mine")
    assert [steering.get(Address(one, name)) for one in ("Printing", "CollectCalibrationDetails")] == [
        "3",
        "1",
    ]


@pytest.mark.parametrize(
    ("more", "calls", "wanted", "words"),
    [
        (OWN, b"", "Yours", r"no processor 'Yours' of type PfoAnalysis; it has Mine\. Set PfoAnalysisName"),
        (OWN + OWN.replace(b"Mine", b"Yours"), b"", "MyPfoAnalysis", "it has Mine, Yours"),
        (b"", b'<processor name="MyPfoAnalysis"/>', "MyPfoAnalysis", "does not define it"),
        (OWN, b'<if condition="false"><processor name="Mine"/></if>', "Mine", "a condition that is false"),
    ],
)
def test_what_is_not_clear_is_asked_for(more, calls, wanted, words):
    content = FILE.replace(b"</execute>", calls + b"</execute>").replace(b"</marlin>", more + b"</marlin>")
    with pytest.raises(SteeringError, match=words):
        provided(content, wanted=wanted)


@pytest.mark.parametrize(
    ("detector", "name"), [("CLIC", "clicReconstruction.xml"), ("CLD", "fccReconstruction.xml")]
)
def test_real_steering_files_are_ready_for_a_step(real_files, nominal, detector, name):
    settings = demo_settings(detector, 1)
    example = kit(nominal, settings)
    real = Kit.of(
        (real_files / name).read_bytes(),
        example.pandora_settings,
        (real_files / "PandoraLikelihoodData9EBin.xml").read_bytes(),
    )
    real.check(settings)
    start = read_constants(real.steering, settings)
    assert start["CalibrECAL"] == {"CLIC": 35.7927599201, "CLD": 37.5227197175}[detector]
    files = step_files(real, settings, nominal, Share(("a.slcio",), 0, 5))
    step = Steering.parse(files[STEERING_FILE])
    assert dict(read_constants(step, settings)) == dict(nominal)
    assert step.executed().count("MyPfoAnalysis") == 1
    assert step.executed()[-1] == "MyPfoAnalysis"
    assert step.get(Address("RootFile", "MyPfoAnalysis")) == "pfoAnalysis.root"
    assert step.get(Address("MaxClusterEnergyToApplySoftComp", settings.pandora_processor)) == "0"
    assert real.steering.content().count(b"<!--") == (real_files / name).read_bytes().count(b"<!--")
    added = Steering.parse(
        b"<marlin><execute/>" + (real_files / "pfoAnalysis.xml").read_bytes() + b"</marlin>"
    )
    for parameter in added.tree.xpath("//parameter/@name"):
        said = [one.get(Address(parameter, "MyPfoAnalysis")) for one in (added, step)]
        assert said[0] == said[1] or parameter == "RootFile"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            b'<processor name="MyDDCaloDigi"/>',
            b"",
            r"'MyDDCaloDigi', but does not execute it.*MyDDMarlinPandora",
        ),
        (
            b"<execute>",
            b'<include ref="more.xml"/><execute>',
            r"includes more\.xml, which workers do not find",
        ),
    ],
)
def test_what_would_have_no_effect_is_found_at_the_beginning(nominal, settings, old, new, words):
    example = kit(nominal, settings)
    content = example.steering.content()
    assert old in content
    with pytest.raises(SteeringError, match=words):
        evolve(example, steering=Steering.parse(content.replace(old, new, 1))).check(settings)
    absolute = b'<include ref="/cvmfs/more.xml"/><execute>'
    evolve(example, steering=Steering.parse(content.replace(b"<execute>", absolute))).check(settings)


def test_likelihood_data_that_are_none_are_found_at_the_beginning(nominal, settings):
    with pytest.raises(SteeringError, match="the likelihood file"):
        evolve(kit(nominal, settings), likelihood=b"<pandora/>").check(settings)
