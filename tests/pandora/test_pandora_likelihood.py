"""Likelihood data: files without one root element, merged by events."""

import numpy as np
import pytest

from caf_pandora.errors import SteeringError
from caf_pandora.likelihood import Likelihood, merge

FILE = """<NEnergyBins>2</NEnergyBins>
<EnergyBinLowerEdges>0 1</EnergyBinLowerEdges>
<NSignalEvents>{signal}</NSignalEvents>
<NBackgroundEvents>{background}</NBackgroundEvents>
<PeakRmsSig_0><NBinsX>2</NBinsX><BinContents>{s0}</BinContents></PeakRmsSig_0>
<PeakRmsSig_1><NBinsX>2</NBinsX><BinContents>{s1}</BinContents></PeakRmsSig_1>
<PeakRmsBkg_0><NBinsX>2</NBinsX><BinContents>{b0}</BinContents></PeakRmsBkg_0>
<PeakRmsBkg_1><NBinsX>2</NBinsX><BinContents>{b1}</BinContents></PeakRmsBkg_1>
"""
ONE = FILE.format(signal="10 0", background="4 2", s0="0.3 0.7", s1="0 0", b0="0.25 0.75", b1="1 0").encode()
TWO = FILE.format(signal="30 0", background="0 2", s0="0.1 0.9", s1="0 0", b0="0 0", b1="0 1").encode()


def test_merging_weighs_with_events():
    merged = Likelihood.parse(merge([ONE, TWO]).content())
    assert merged.events["Sig"].tolist() == [40, 0]
    assert merged.events["Bkg"].tolist() == [4, 4]
    assert merged.contents["PeakRmsSig_0"].tolist() == [6 / 40, 34 / 40]
    assert merged.contents["PeakRmsBkg_0"].tolist() == [0.25, 0.75]
    assert merged.contents["PeakRmsBkg_1"].tolist() == [0.5, 0.5]


def test_a_bin_without_events_stays_zero():
    assert merge([ONE, TWO]).contents["PeakRmsSig_1"].tolist() == [0, 0]


def test_the_order_of_files_does_not_matter():
    assert merge([ONE, TWO]).content() == merge([TWO, ONE]).content()


def test_one_file_is_itself_and_merging_in_parts_is_merging_at_once():
    assert np.allclose(merge([ONE]).contents["PeakRmsSig_0"], [0.3, 0.7])
    parts = merge([merge([ONE, TWO]).content(), ONE])
    assert parts.content() == merge([ONE, TWO, ONE]).content()


def test_rounded_contents_become_whole_events_again():
    rounded = ONE.replace(b"0.3 0.7", b"0.3001 0.6999")
    assert merge([rounded]).contents["PeakRmsSig_0"].tolist() == [0.3, 0.7]


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
        (ONE.replace(b"Sig_1", b"Sig_7"), "only 2 energy bins"),
        (ONE.replace(b"<BinContents>0.3 0.7</BinContents>", b""), "PeakRmsSig_0/BinContents"),
        (ONE[:-20], "no XML"),
        (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>', "no XML"),
    ],
)
def test_broken_files_are_refused(content, words):
    with pytest.raises(SteeringError, match=words):
        merge([content])


def test_files_that_do_not_fit_are_refused():
    with pytest.raises(SteeringError, match="file 1 has other histograms or bins"):
        merge([ONE, ONE.replace(b"0 1<", b"0 2<")])
    with pytest.raises(SteeringError, match="file 1 has other histograms or bins"):
        merge([ONE, ONE.replace(b"0.3 0.7", b"0.3 0.6 0.1")])
    with pytest.raises(SteeringError, match="at least one"):
        merge([])
