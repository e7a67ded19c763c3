"""The steering file: read, updated, added to, written; safe against what XML can do."""

import pytest

from caf_pandora.constants import NAMES, address_of, frozen_constants, read_constants, write_constants
from caf_pandora.errors import SteeringError
from caf_pandora.settings import Settings
from caf_pandora.standin.detector import CLIC
from caf_pandora.standin.examples import PANDORA_SETTINGS, kit
from caf_pandora.steering import Address, Steering
from caf_pandora.step_files import pandora_settings

USER = {"outputPath": "/ilc/user/x", "outputSE": "CERN-DST-EOS"}
DIGI = "MyDDCaloDigi"


@pytest.fixture
def steering(steering_text):
    return Steering.parse(steering_text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (".//processor[@name='MyDDCaloDigi']/parameter[@name='CalibrECAL']", Address("CalibrECAL", DIGI)),
        ('processor[@name="A"]/parameter[@name="B"]', Address("B", "A")),
        (".//global/parameter[@name='SkipNEvents']", Address("SkipNEvents")),
    ],
)
def test_addresses(text, address):
    assert Address.of(text) == address
    assert Address.of(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "CalibrECAL", "//processor/parameter", ".//x[@name='a']/parameter[@name='b']"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(SteeringError, match="no address"):
        Address.of(text)


def test_values_from_text_and_attribute(steering):
    assert steering.get(Address("LCIOInputFiles")) == "a.slcio b.slcio"
    assert steering.get(Address("SkipNEvents")) == "0"
    assert steering.numbers(Address("CalibrECAL", DIGI)) == (37.5, 37.5)
    assert steering.get(Address("Absent", DIGI)) is None


def test_what_is_not_touched_stays_as_it_was(steering, steering_text):
    assert steering.content() == steering_text
    steering.set(Address("SkipNEvents"), "7")
    assert steering.content() == steering_text.replace(b'value="0"', b'value="7"')


def test_setting_keeps_the_place_and_drops_comments_within_the_value(steering, steering_text):
    steering.set(Address("CalibrECAL", DIGI), "1 2")
    expected = steering_text.replace(b" 37.5 <!-- old --> 37.5 ", b"1 2")
    assert steering.content() == expected


def test_missing_parameters_are_added_to_the_definition_not_to_execute(steering, steering_text):
    steering.set(Address("ECALLayers", DIGI), "20 40", kind="IntVec")
    line = b'    <parameter name="ECALLayers" type="IntVec">20 40</parameter>\n'
    after = b'value="45.9"/>\n'
    assert steering.content() == steering_text.replace(after, after + line)


def test_names_with_quotes_and_empty_processors(steering):
    steering.set(Address("P", "O'Brien"), "x")
    assert Steering.parse(steering.content()).get(Address("P", "O'Brien")) == "x"


def test_values_with_markup_stay_values(steering):
    steering.set(Address("LCIOInputFiles"), "<a> & b")
    assert Steering.parse(steering.content()).get(Address("LCIOInputFiles")) == "<a> & b"


def test_a_missing_processor_is_an_error_that_names_those_there(steering):
    with pytest.raises(SteeringError, match=r"no processor 'X'; it has MyDDCaloDigi, O'Brien"):
        steering.get(Address("CalibrECAL", "X"))


def test_a_parameter_twice_is_an_error(steering_text):
    again = b'<parameter name="CalibrHCALBarrel">1</parameter></processor>'
    steering = Steering.parse(steering_text.replace(b"</processor>", again, 1))
    with pytest.raises(SteeringError, match="more than once"):
        steering.get(Address("CalibrHCALBarrel", DIGI))


def test_a_copy_is_independent(steering):
    steering.copy().set(Address("SkipNEvents"), "9")
    assert steering.get(Address("SkipNEvents")) == "0"


@pytest.mark.parametrize(
    ("start", "inside"),
    [
        (b"", b"1"),
        (b"<?xml version='1.0'?>\n", b"1"),
        (b'<?xml version="1.0" encoding="us-ascii" standalone="yes"?>\n', b"&#252;"),
        (b'<?xml version="1.0" encoding="iso-8859-1"?>\n', b"\xfc"),
        (b"", b"<![CDATA[a < b]]>"),
    ],
)
def test_declaration_encoding_and_cdata_are_kept(start, inside):
    content = start + b'<marlin>\n  <global a="1" b="2">\n' + inside + b"</global>\n</marlin>\n"
    assert Steering.parse(content).copy().content() == content


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10 if i else b"lol") for i in range(10))


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE marlin [" + LAUGHS + b"]><marlin><global>&l9;</global></marlin>",
        b"<!DOCTYPE marlin [" + LAUGHS + b']><marlin a="&l9;"/>',
        b'<!DOCTYPE marlin [<!ENTITY x SYSTEM "file:///etc/passwd">]><marlin><global>&x;</global></marlin>',
        b'<!DOCTYPE marlin SYSTEM "http://localhost:1/x.dtd"><marlin/>',
        b'<!DOCTYPE marlin [<!ENTITY % x SYSTEM "file:///etc/passwd">%x;]><marlin/>',
        b"<marlin>",
        b"",
        b"\0\0",
        b"<ilcsoft/>",
    ],
)
def test_unsafe_and_broken_files_are_refused(content):
    with pytest.raises(SteeringError) as error:
        Steering.parse(content)
    assert "root:" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SteeringError, match="cannot be read"):
        Steering.read(tmp_path / "none.xml")


def test_constants_go_in_and_come_out_exactly():
    settings = Settings.of(USER, "CLD")
    constants = frozen_constants({name: value / 3 for name, value in CLIC.nominal().items()})
    steering = Steering.parse(kit(constants, settings).steering.content())
    assert dict(read_constants(steering, settings)) == dict(constants)
    assert list(read_constants(steering, settings)) == list(NAMES)
    assert steering.get(Address("MaxClusterEnergyToApplySoftComp", "MyDDMarlinPandora_10ns")) == "0"
    assert steering.get(Address("ECALLayers", "MyDDCaloDigi_10ns")) is None


def test_two_thicknesses_and_software_compensation(nominal):
    thick = {"nEcalThinLayers": 20, "nEcalThickLayers": 10, "ecalResponseCorrectionForThickLayers": 1.5}
    settings = Settings.of({**USER, **thick, "disableSoftwareCompensation": False}, "CLIC")
    steering = kit(nominal, settings).steering
    assert steering.numbers(Address("CalibrECAL", DIGI)) == (37.5, 56.25)
    assert steering.get(Address("ECALLayers", DIGI)) == "20 31"
    assert steering.get(Address("MaxClusterEnergyToApplySoftComp", "MyDDMarlinPandora")) is None


def test_two_thicknesses_of_the_real_detectors(real_files):
    """As many thin and thick layers as iLCDirac's own test has; the group's own stay for the others."""
    settings = Settings.of(
        {**USER, "nEcalThickLayers": 34, "ecalResponseCorrectionForThickLayers": 2.4}, "CLD"
    )
    steering = Steering.read(real_files / "fccReconstruction.xml")
    write_constants(steering, read_constants(steering, settings), settings)
    assert steering.get(Address("ECALLayers", settings.digi_processor)) == "40 75"
    assert steering.get(Address("ECALLayers", "MyDDCaloDigi_400ns")) == "41 100"
    assert steering.numbers(Address("CalibrECAL", settings.digi_processor)) == pytest.approx(
        (37.5227197175, 2.4 * 37.5227197175)
    )


def test_an_ecal_of_thick_layers_alone(nominal):
    thick = {"nEcalThinLayers": 0, "nEcalThickLayers": 30, "ecalResponseCorrectionForThickLayers": 1.5}
    steering = kit(nominal, Settings.of({**USER, **thick}, "CLIC")).steering
    assert steering.get(Address("ECALLayers", DIGI)) == "0 31"


GROUPED = b"""<marlin>
  <constants>
    <constant name="Window"> 10 </constant>
    <constant name="Digitiser" value="Calo_${Window}ns"/>
    <constant name="Scale">37.5</constant>
  </constants>
  <execute>
    <processor name="${Digitiser}"/>
    <group name="Particles"/>
    <if condition="Config.Tracking"><processor name="Tracks"/></if>
    <if condition=" false "><processor name="Never"/></if>
    <Xprocessor name="Off"/>
    <!-- <processor name="Commented"/> -->
  </execute>
  <global>
    <parameter name="LCIOInputFiles" value="a_${Window}.slcio"/>
  </global>
  <group name="Calo">
    <parameter name="CalibrECAL" type="FloatVec">${Scale} ${Scale}</parameter>
    <parameter name="Verbosity">DEBUG</parameter>
    <processor name="Calo_10ns" type="DDCaloDigi">
      <parameter name="Verbosity">ERROR</parameter>
    </processor>
    <processor name="Calo_400ns" type="DDCaloDigi"/>
  </group>
  <group name="Particles">
    <processor name="Pandora" type="DDPandoraPFANewProcessor"/>
    <processor name="Pfos" type="PfoAnalysis"/>
  </group>
  <processor name="Tracks" type="T"/>
</marlin>
"""


def test_groups_and_constants_are_read_as_marlin_reads_them():
    steering = Steering.parse(GROUPED)
    assert steering.numbers(Address("CalibrECAL", "Calo_10ns")) == (37.5, 37.5)
    assert steering.numbers(Address("CalibrECAL", "${Digitiser}")) == (37.5, 37.5)
    assert steering.get(Address("Verbosity", "Calo_10ns")) == "ERROR"
    assert steering.get(Address("Verbosity", "Calo_400ns")) == "DEBUG"
    assert steering.get(Address("Absent", "Calo_10ns")) is None
    assert steering.get(Address("LCIOInputFiles")) == "a_10.slcio"
    assert steering.executed() == ("Calo_10ns", "Pandora", "Pfos", "Tracks")
    assert steering.of_type("DDCaloDigi") == ("Calo_10ns", "Calo_400ns")


def test_setting_what_a_group_says_changes_one_processor():
    steering = Steering.parse(GROUPED)
    steering.set(Address("CalibrECAL", "Calo_10ns"), "1 2", kind="FloatVec")
    assert steering.numbers(Address("CalibrECAL", "Calo_10ns")) == (1, 2)
    assert steering.numbers(Address("CalibrECAL", "Calo_400ns")) == (37.5, 37.5)
    added = b'\n      <parameter name="CalibrECAL" type="FloatVec">1 2</parameter>'
    assert steering.content() == GROUPED.replace(b">ERROR</parameter>", b">ERROR</parameter>" + added)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"${Scale} ${Scale}", b"${Scales} 1", r"constant 'Scales'.*it has Window, Digitiser, Scale"),
        (b"${Scale} ${Scale}", b"${} 1", "names the constant ''"),
        (b'<constant name="Scale">37.5', b'<include ref="c.xml"/><constant name="No">1', r"includes c\.xml"),
        (b'name="Digitiser"', b'name="Window"', "constant 'Window' more than once"),
        (b'name="Calo_400ns"', b'name="Calo_10ns"', "Calo_10ns' more than once"),
    ],
)
def test_what_marlin_would_not_find_is_told(old, new, words):
    with pytest.raises(SteeringError, match=words):
        Steering.parse(GROUPED.replace(old, new)).get(Address("CalibrECAL", "Calo_10ns"))


def test_missing_constants_are_named_together(steering, settings):
    text = steering.content().replace(
        b"</marlin>", b'<processor name="MyDDMarlinPandora" type="P"/></marlin>'
    )
    with pytest.raises(SteeringError, match=r"CalibrHCALEndcap.*HCalToHadGeVCalibration") as error:
        read_constants(Steering.parse(text), settings)
    assert "'CalibrECAL'" not in str(error.value)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "many", "37.5 37.5 37.5", "37.5 nan"])
def test_a_constant_to_start_from_is_one_number_above_zero(nominal, settings, text):
    """Of ``CalibrECAL`` there may be two."""
    steering = kit(nominal, settings).steering
    for name in ("CalibrECAL", "ECalToMipCalibration"):
        steering.set(address_of(name, settings), text)
    with pytest.raises(SteeringError) as error:
        read_constants(steering, settings)
    assert f"'CalibrECAL'] says {text!r} and should be at most 2 numbers above 0" in str(error.value)
    assert f"'ECalToMipCalibration'] says {text!r} and should be one number above 0" in str(error.value)
    steering.set(address_of("ECalToMipCalibration", settings), "175.4 175.4")
    steering.set(address_of("CalibrECAL", settings), "")
    with pytest.raises(SteeringError, match=r"it lacks .*CalibrECAL.*says '175.4 175.4'"):
        read_constants(steering, settings)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_constants_are_numbers_above_zero(nominal, value):
    with pytest.raises(SteeringError, match="not above 0: CalibrECAL"):
        frozen_constants({**nominal, "CalibrECAL": value})


def test_write_constants_keeps_comments(steering, nominal, settings):
    text = steering.content().replace(
        b"</marlin>", b'<processor name="MyDDMarlinPandora" type="P"/></marlin>'
    )
    written = Steering.parse(text)
    write_constants(written, nominal, settings)
    for comment in (b"before the root", b"a comment between", b"after the root", b">99</parameter--"):
        assert comment in written.content()


def test_pandora_settings_for_training_and_for_use():
    training = pandora_settings(PANDORA_SETTINGS, "L.xml", training=True)
    assert b"<HistogramFile>L.xml</HistogramFile>" in training
    assert b"<ShouldMakePdfHistograms>true</ShouldMakePdfHistograms>" in training
    use = pandora_settings(training.replace(b"ShouldMakePdfHistograms", b"Other"), "L.xml", training=False)
    assert b"<ShouldMakePdfHistograms>false</ShouldMakePdfHistograms>" in use
    with pytest.raises(SteeringError, match="HistogramFile"):
        pandora_settings(b"<pandora/>", "L.xml", training=True)
