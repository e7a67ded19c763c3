"""Likelihood data: files without one root element, merged by events."""

import numpy as np
import pytest

from caf_pandora.errors import SteeringError
from caf_pandora.likelihood import Likelihood, merge

FILE = """<NEnergyBins>2</NEnergyBins>
<EnergyBinLowerEdges>0 1</EnergyBinLowerEdges>
<NSignalEvents>{signal}</NSignalEvents>
<NBackgroundEvents>{background}</NBackgroundEvents>
<PhotonSigPeakRms_0><NBinsX>2</NBinsX><BinContents>{s0}</BinContents></PhotonSigPeakRms_0>
<PhotonSigPeakRms_1><NBinsX>2</NBinsX><BinContents>{s1}</BinContents></PhotonSigPeakRms_1>
<PhotonBkgPeakRms_0><NBinsX>2</NBinsX><BinContents>{b0}</BinContents></PhotonBkgPeakRms_0>
<PhotonBkgPeakRms_1><NBinsX>2</NBinsX><BinContents>{b1}</BinContents></PhotonBkgPeakRms_1>
"""
ONE = FILE.format(signal="10 0", background="4 2", s0="0.3 0.7", s1="0 0", b0="0.25 0.75", b1="1 0").encode()
TWO = FILE.format(signal="30 0", background="0 2", s0="0.1 0.9", s1="0 0", b0="0 0", b1="0 1").encode()


def test_merging_weighs_with_events():
    merged = Likelihood.parse(merge([ONE, TWO]).content())
    assert merged.events["Sig"].tolist() == [40, 0]
    assert merged.events["Bkg"].tolist() == [4, 4]
    assert merged.contents["PhotonSigPeakRms_0"].tolist() == [6 / 40, 34 / 40]
    assert merged.contents["PhotonBkgPeakRms_0"].tolist() == [0.25, 0.75]
    assert merged.contents["PhotonBkgPeakRms_1"].tolist() == [0.5, 0.5]


def test_a_bin_without_events_stays_zero():
    assert merge([ONE, TWO]).contents["PhotonSigPeakRms_1"].tolist() == [0, 0]


def test_the_order_of_files_does_not_matter():
    assert merge([ONE, TWO]).content() == merge([TWO, ONE]).content()


def test_one_file_is_itself_and_merging_in_parts_is_merging_at_once():
    assert np.allclose(merge([ONE]).contents["PhotonSigPeakRms_0"], [0.3, 0.7])
    parts = merge([merge([ONE, TWO]).content(), ONE])
    assert parts.content() == merge([ONE, TWO, ONE]).content()


def test_rounded_contents_become_whole_events_again():
    rounded = ONE.replace(b"0.3 0.7", b"0.3001 0.6999")
    assert merge([rounded]).contents["PhotonSigPeakRms_0"].tolist() == [0.3, 0.7]


def test_everything_else_is_kept():
    content = merge([b'<?xml version="1.0"?>\n<!-- made by Pandora -->\n' + ONE, ONE]).content()
    for text in (b"made by Pandora", b"<NEnergyBins>2</NEnergyBins>", b"<NBinsX>2</NBinsX>"):
        assert text in content
    assert b"<likelihood>" not in content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "NSignalEvents"),
        (b"<NSignalEvents>1</NSignalEvents>", "NBackgroundEvents"),
        (b"<NSignalEvents>x</NSignalEvents><NBackgroundEvents>1</NBackgroundEvents>", "NSignalEvents"),
        (b"<NSignalEvents>1</NSignalEvents><NBackgroundEvents>1 2</NBackgroundEvents>", "other energy bins"),
        (b"<NSignalEvents>1</NSignalEvents><NBackgroundEvents>1</NBackgroundEvents>", "no histograms"),
        (ONE.replace(b"SigPeakRms_1", b"SigPeakRms_7"), "only 2 energy bins"),
        (ONE.replace(b"<BinContents>0.3 0.7</BinContents>", b""), "PhotonSigPeakRms_0/BinContents"),
        (ONE.replace(b"PhotonBkg", b"PhotonOther"), "no name of a likelihood histogram"),
        (ONE.replace(b"BkgPeakRms_1", b"SigBkgPeakRms_1"), "no name of a likelihood histogram"),
        (ONE.replace(b"SigPeakRms_1", b"SigPeakRms_0"), "PhotonSigPeakRms_0 more than once"),
        (ONE.replace(b">0.3 0.7<", b">nan 0.7<"), "contents of PhotonSigPeakRms_0"),
        (ONE.replace(b">0.3 0.7<", b">-0.3 1.3<"), "contents of PhotonSigPeakRms_0"),
        (ONE.replace(b">0.3 0.7<", b">3 7<"), "PhotonSigPeakRms_0 that add up to 10"),
        (ONE.replace(b">10 0<", b">inf 0<"), "NSignalEvents"),
        (ONE.replace(b">10 0<", b">10.5 0<"), "not whole"),
        (b'<?xml version="1.0" encoding="klingon"?>' + ONE, "klingon"),
        (ONE[:-20], "no XML"),
        (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>', "no XML"),
    ],
)
def test_broken_files_are_refused(content, words):
    with pytest.raises(SteeringError, match=words):
        merge([content])


def test_names_of_pandora_and_others_with_sig_or_bkg_are_histograms():
    """``<Photon><Sig|Bkg><Variable>_<bin>`` in real files; the kind may stand anywhere."""
    others = [
        part.replace(b"PhotonSigPeakRms", b"PeakRmsSig").replace(b"PhotonBkg", b"Bkg") for part in (ONE, TWO)
    ]
    assert list(merge(others).contents["PeakRmsSig_0"]) == list(
        merge([ONE, TWO]).contents["PhotonSigPeakRms_0"]
    )


def test_contents_without_events_do_not_count():
    """A worker that divides by its number of events writes NaN where it has none."""
    empty = ONE.replace(b">0 0<", b">nan nan<")
    assert merge([empty, TWO]).content() == merge([ONE, TWO]).content()


def test_declarations_and_the_way_numbers_are_written_do_not_matter():
    odd = b'\xef\xbb\xbf<?xml version="1.0" encoding="us-ascii"?>\n' + ONE.replace(b"0 1<", b"0.0 1 <")
    assert merge([odd, TWO]).contents["PhotonSigPeakRms_0"].tolist() == [6 / 40, 34 / 40]
    latin = '<?xml version="1.0" encoding="latin-1"?><!-- für alle -->'.encode("latin-1") + ONE
    assert "für alle".encode() in merge([latin]).content()


def test_a_real_file_merges_with_itself_and_with_an_empty_one(real_files):
    real = (real_files / "PandoraLikelihoodData9EBin.xml").read_bytes()
    once, thrice = merge([real]), Likelihood.parse(merge([real] * 3).content())
    assert len(once.contents) == 2 * 6 * 9
    assert once.events["Sig"].tolist() == [21762, 16062, 17104, 12348, 17530, 23410, 18647, 11352, 6553]
    assert (thrice.events["Bkg"] == 3 * once.events["Bkg"]).all()
    original = Likelihood.parse(real)
    for name, contents in original.contents.items():
        assert len(contents) == {"PeakRms": 52, "RmsRatio": 32}.get(name[9:-2], len(contents))
        assert np.allclose(thrice.contents[name], contents, rtol=1e-9, atol=0)
        assert (once.contents[name] == thrice.contents[name]).all()
    blank = Likelihood(
        {kind: 0 * events for kind, events in original.events.items()},
        {name: 0 * contents for name, contents in original.contents.items()},
        original.document,
    )
    assert merge([real, blank.content()]).content() == once.content()


def test_files_that_do_not_fit_are_refused():
    with pytest.raises(SteeringError, match="file 1 has other histograms or bins"):
        merge([ONE, ONE.replace(b"0 1<", b"0 2<")])
    with pytest.raises(SteeringError, match="file 1 has other histograms or bins"):
        merge([ONE, ONE.replace(b"0.3 0.7", b"0.3 0.6 0.1")])
    with pytest.raises(SteeringError, match="at least one"):
        merge([])
