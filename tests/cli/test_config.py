"""``caf config``: what holds, and where it comes from."""

import json

import pytest


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv("CAF_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_setting_has_its_source(project, caf):
    (project / "xdg" / "caf").mkdir(parents=True)
    user = project / "xdg" / "caf" / "caf.toml"
    user.write_text('[resources]\nwalltime = "2h"\nmemory_mb = 100\n')
    mine = project / "caf.toml"
    mine.write_text("[resources]\nmemory_mb = 200\n[backends.local]\nmax_processes = 3\n")
    done = caf("config")
    assert done.code == 0, done.err
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.strip()}
    assert rows[f"{user}:"] == ["read"]
    assert rows["resources.walltime"] == ["2h", str(user)]
    assert rows["resources.memory_mb"] == ["200", str(mine)]
    assert rows["backends.local.max_processes"] == ["3", str(mine)]
    assert rows["backend"] == ["local", "default"]
    assert rows["resources.disk_mb"] == ["-", "default"]
    assert rows["retry.attempts.node_lost"] == ["3", "default"]
    found = json.loads(caf("config", "--json").out)
    assert found["settings"]["resources.walltime"] == {"value": 7200.0, "from": str(user), "meaning": ""}
    assert [one["read"] for one in found["files"]][1:] == [True, True]


def test_one_backend_tells_what_its_arguments_mean(project, caf):
    done = caf("config", "local")
    assert done.code == 0
    assert "backends.local.max_processes" in done.out
    assert "how many tasks are executed at the same time" in done.out


def test_a_backend_that_is_not_installed_is_noted(project, caf):
    (project / "caf.toml").write_text('[backends.nqs]\nqueue = "x"\n')
    done = caf("config")
    assert done.code == 0
    assert "[backends.nqs] is not used here: there is no backend called 'nqs'" in done.err
    assert "backends.nqs.queue" in done.out


def test_tables_of_a_sites_file_are_no_mistake(project, caf):
    """A class in a script, a base of many backends and a plugin that is elsewhere may all have tables."""
    (project / "caf.toml").write_text("[backends.batch]\npoll_interval = 90\n[backends.nqs]\nx = 1\n")
    assert "batch" not in caf("config").err
    for words in (("submit", "-q", "--", "true"), ("doctor", "local", "--no-probe", "-q")):
        done = caf(*words)
        assert done.code == 0 and "nqs" not in done.err + done.out
    assert "[backends.nqs] is not used here" in caf("doctor", "local", "--no-probe").out


def test_a_table_that_looks_misspelt_is_told_wherever_it_stands(project, caf, run_caf):
    (project / "caf.toml").write_text("[backends.slrum]\npartition = 'main'\n")
    said = (
        f"{project / 'caf.toml'}: [backends.slrum] is not used here: there is no backend called 'slrum'; "
        "write [backends.slurm] if that is meant, or take the table out."
    )
    for words in (("config",), ("config", "local"), ("submit", "-q", "--", "true")):
        done = caf(*words)
        assert done.code == 0
        assert done.err.splitlines()[0] == f"caf: {said}" and done.err.count("slrum") == 2
    done = caf("doctor", "local", "--no-probe", "-q")
    assert done.code == 0
    assert said in done.out and "local: 1 warning(s)" in done.out
    (project / "script.py").write_text(
        "from caf_core import CAF, Calibration\n"
        "cal = Calibration('cal', print, [print])\ncaf = CAF()\ncaf.add_calibration(cal)\ncaf.run()\n"
    )
    done = run_caf("run", "--check", "script.py")
    assert (done.returncode, done.stderr.count(said)) == (0, 1), done.stderr


def test_what_a_backend_does_not_know_is_refused(project, caf):
    (project / "caf.toml").write_text("[backends.local]\nmax_proceses = 3\n")
    for words in (("config",), ("config", "local"), ("submit", "--", "true")):
        done = caf(*words)
        assert done.code == 2
        assert "max_proceses" in done.err and "'max_processes'" in done.err
        assert str(project / "caf.toml") in done.err


def test_an_unknown_backend(project, caf):
    done = caf("config", "lokal")
    assert done.code == 2
    assert "there is no backend called 'lokal'" in done.err


def test_no_file_is_read_if_that_is_wished(project, caf, monkeypatch):
    (project / "caf.toml").write_text("nonsense")
    monkeypatch.setenv("CAF_CONFIG", "")
    done = caf("config")
    assert done.code == 0
    assert "no file is read" in done.out


def test_a_table_that_is_misspelt_is_refused_where_it_would_hold(project, caf, run_caf):
    (project / "caf.toml").write_text("[backends.locla]\nmax_processes = 3\n[backends.slurmy]\nx = 1\n")
    for words in (("config", "local"), ("submit", "--", "true"), ("doctor", "local")):
        done = caf(*words)
        assert done.code == 2
        assert "there is no backend 'locla'; write [backends.local] if that is meant" in done.err
