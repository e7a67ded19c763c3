"""Algorithms on real batch systems: their plans are tasks like any other."""

from clusters.experiment import Experiment


def test_plans_are_carried_out_on_the_cluster_with_the_payloads_of_here(experiment, tmp_path):
    here = Experiment("local", tmp_path / "here")
    here.place.mkdir()
    here.finish("planning.py")
    experiment.finish("planning.py")
    assert len(here.result()) > 2
    assert experiment.result() == here.result()
    assert experiment.work() == here.work() == {str(run): 2 for run in range(1, 9)}
    # A collector and two algorithms in each of two iterations.
    assert experiment.submissions() == 6
