"""ROOT files, per-run histograms and ROOT payloads for caf.

This is the plugin's entry module: it registers by name only, and its building blocks are imported when they
are first used, because every ``caf`` command imports it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from caf_core.plugins.markers import hookimpl

if TYPE_CHECKING:
    from caf_core.iov import IoV
    from caf_core.plugins.hooks import Register
    from caf_root.codec import RootCodec as RootCodec
    from caf_root.counts import Counts as Counts
    from caf_root.events import Events as Events
    from caf_root.files import RootFileError as RootFileError
    from caf_root.histograms import RunHistograms as RunHistograms
    from caf_root.history import Constant as Constant
    from caf_root.history import constants as constants
    from caf_root.history import mean_over_runs as mean_over_runs
    from caf_root.history import plot_history as plot_history
    from caf_root.iovs import IoVReader as IoVReader
    from caf_root.kinematics import pair_mass as pair_mass
    from caf_root.peaks import PeakFit as PeakFit
    from caf_root.peaks import PeakFitter as PeakFitter
    from caf_root.reading import read_chunks as read_chunks
    from caf_root.reading import split_runs as split_runs
    from caf_root.statistics import chi2_of_mean as chi2_of_mean
    from caf_root.statistics import chi2_of_pulls as chi2_of_pulls
    from caf_root.statistics import chi2_probability as chi2_probability
    from caf_root.statistics import goodness_of_fit as goodness_of_fit
    from caf_root.trigger import TriggerLine as TriggerLine
    from caf_root.trigger import TriggerSkim as TriggerSkim

_HOMES = {
    "Constant": "history",
    "Counts": "counts",
    "Events": "events",
    "IoVReader": "iovs",
    "PeakFit": "peaks",
    "PeakFitter": "peaks",
    "RootCodec": "codec",
    "RootFileError": "files",
    "RunHistograms": "histograms",
    "TriggerLine": "trigger",
    "TriggerSkim": "trigger",
    "chi2_of_mean": "statistics",
    "chi2_of_pulls": "statistics",
    "chi2_probability": "statistics",
    "constants": "history",
    "goodness_of_fit": "statistics",
    "mean_over_runs": "history",
    "pair_mass": "kinematics",
    "plot_history": "history",
    "read_chunks": "reading",
    "split_runs": "reading",
}
"""Building block -> its module; the block above tells type checkers the same."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a building block when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


@hookimpl
def caf_register_payload_codecs(register: "Register[Any]") -> None:
    """Histograms, and arrays on request, as ROOT files."""
    register("root", "caf_root.codec:RootCodec")


@hookimpl
def caf_iov_of_file(path: str, experiment: int | None = None) -> "IoV | None":
    """The runs of a ROOT file whose trees have branches for experiment and run, or for the run alone."""
    from caf_root.iovs import iov_of_file

    return iov_of_file(path, experiment)
