"""``caf.toml``: what it may say, who wins, and what it says when something is wrong."""

from datetime import timedelta
from typing import ClassVar

import pytest

from caf_core.errors import ConfigurationError
from caf_core.jobs.backend import Capabilities
from caf_core.jobs.batch.settings import Setting
from caf_core.jobs.batch.template import Batch
from caf_core.jobs.config.places import SITE_FILE, existing, places
from caf_core.jobs.config.reading import Config, load_config, read_config
from caf_core.jobs.config.typed import pairs, typed
from caf_core.jobs.ledger import FailureKind
from caf_core.jobs.retry import Remedy, RetryPolicy
from caf_core.jobs.task import Resources


class Toy(Batch):
    """A scheduler that is never asked."""

    scheduler = "Toy"
    settings: ClassVar = {
        "queue": Setting((str,), "the queue"),
        "priority": Setting((int,), "the priority"),
        "share": Setting((int, float), "the share"),
        "hold": Setting((bool,), "whether to hold"),
        "lines": Setting((list, tuple), "further lines"),
    }
    default_backend_args: ClassVar = {"command_timeout": 30.0, "queue": "short", "priority": 1}

    def limits(self, site):
        return Capabilities()

    def submitting(self, submission):
        yield from ()

    polling = cancelling = finding = submitting


class Sub(Toy):
    """Another one like it."""


@pytest.fixture
def write(tmp_path):
    def write(text, name="caf.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_a_later_file_wins_key_by_key(write):
    site = write(
        """
        backend = "slurm"
        [backends.slurm]
        partition = "main"
        account = "belle"
        [resources]
        memory_mb = 2000
        walltime = "2h"
        [retry]
        memory_cap_mb = 8000
        [retry.attempts]
        exit_code = 2
        """,
        "site.toml",
    )
    user = write(
        """
        [backends.slurm]
        partition = "test"
        [resources]
        walltime = "1d 30min"
        """,
        "user.toml",
    )
    config = read_config([site, user])
    assert config.default_backend == "slurm" and config.backend.file == site
    found = {key: (one.value, one.file) for key, one in config.arguments("slurm").items()}
    assert found == {"partition": ("test", user), "account": ("belle", site)}
    assert config.make_resources() == Resources(memory_mb=2000, walltime=timedelta(days=1, minutes=30))
    policy = config.make_retry()
    assert policy.memory_cap_mb == 8000
    assert policy.rule(FailureKind.EXIT_CODE).attempts == 2
    assert policy.rule(FailureKind.EXIT_CODE).remedy is Remedy.AGAIN
    assert policy.rule(FailureKind.WALLTIME) == RetryPolicy().rule(FailureKind.WALLTIME)


def test_nothing_is_said_without_files():
    config = read_config([])
    assert config == Config()
    assert config.make_resources() == Resources()
    assert config.make_retry() == RetryPolicy()
    assert config.default_backend is None


def test_places(tmp_path):
    home = tmp_path / "home"
    project = tmp_path / "project"
    assert places({"HOME": str(home)}, project) == (
        SITE_FILE,
        home / ".config" / "caf" / "caf.toml",
        project / "caf.toml",
    )
    elsewhere = places({"HOME": str(home), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}, project)
    assert elsewhere[1] == tmp_path / "xdg" / "caf" / "caf.toml"
    # The specification wants a relative one ignored.
    assert places({"HOME": str(home), "XDG_CONFIG_HOME": "xdg"}, project)[1].is_relative_to(home)
    chosen = places({"CAF_CONFIG": "/a.toml:b.toml", "HOME": str(home)}, project)
    assert [str(path) for path in chosen] == ["/a.toml", str(project / "b.toml")]
    assert places({"CAF_CONFIG": ""}, project) == ()


def test_the_user_and_the_project_are_read(tmp_path, write):
    write("[resources]\nmemory_mb = 1\ncpus = 2\n", "xdg/caf/caf.toml")
    write("[resources]\nmemory_mb = 2\n", "project/caf.toml")
    config = load_config({"XDG_CONFIG_HOME": str(tmp_path / "xdg")}, tmp_path / "project")
    assert config.make_resources() == Resources(cpus=2, memory_mb=2)


def test_a_file_that_was_chosen_must_exist(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere.toml does not exist; correct CAF_CONFIG"):
        existing({"CAF_CONFIG": "nowhere.toml"}, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("backends = 3", "'backends' holds tables"),
        ('bakend = "local"', "there is no 'bakend'; do you mean 'backend'?"),
        ("[resource]\ncpus = 1", "there is no 'resource'; do you mean 'resources'?"),
        ("[resources]\nmemory = 1", "there is no 'resources.memory'; do you mean 'memory_mb'?"),
        ("[resources]\nxyz = 1", "there are: cpus, disk_mb, memory_mb, walltime"),
        ("[resources]\ncpus = 0", "resources.cpus is 0; it is a whole number of at least 1"),
        ("[resources]\ncpus = true", "resources.cpus is True"),
        ("[resources]\nmemory_mb = 2.5", "it is a whole number"),
        ("[resources]\nwalltime = 120", "it is a text with a unit, such as '2h'"),
        ('[resources]\nwalltime = "120"', "is no time span"),
        ("resources = 3", "write [resources] above its keys"),
        ("[retry.attempts]\nexitcode = 2", "do you mean 'exit_code'?"),
        ('[backend.slurm]\npartition = "x"', "stand under [backends.NAME]"),
        ('[backends]\nslurm = "x"', "write [backends.slurm] above its arguments"),
        ("backend = 3", "backend is 3; it is a text"),
        ("this is not TOML", "it is not TOML"),
        ("x = 'a", "it is not TOML"),
    ],
)
def test_what_cannot_be_names_file_key_and_alternatives(write, text, words):
    path = write(text)
    with pytest.raises(ConfigurationError) as error:
        read_config([path])
    assert str(path) in str(error.value)
    assert words in str(error.value)
    assert str(error.value).count("\n") == 0


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "caf.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="it is not TOML"):
        read_config([path])


def test_an_instance_wins_over_the_files(write):
    config = read_config([write('[backends.toy]\nqueue = "long"\npriority = 5\nshare = 0.5\n')])
    made, changed, said = Toy(), Toy(backend_args={"priority": 9}), Toy(backend_args={"queue": "short"})
    changed.backend_args["queue"] = "mine"
    for backend in (made, changed, said):
        config.configure(backend)
        config.configure(backend)
    assert made.backend_args["queue"] == "long" and made.backend_args["priority"] == 5
    assert changed.backend_args["queue"] == "mine" and changed.backend_args["priority"] == 9
    assert said.backend_args["queue"] == "short" and said.backend_args["share"] == 0.5
    said.configure({"queue": "other"}, overrule=True)
    assert said.backend_args["queue"] == "other"


def test_what_was_chosen_is_told_apart_from_what_is_configured(write):
    config = read_config([write('[backends.toy]\nqueue = "long"\npriority = 5\nshare = 0.5\n')])
    backend = Toy(backend_args={"queue": "short"})
    config.configure(backend)
    assert backend.chosen_args() == {"queue": "short"}
    backend.backend_args["priority"] = 7
    backend.configure({"share": 0.25}, overrule=True)
    assert backend.chosen_args() == {"queue": "short", "priority": 7, "share": 0.25}


def test_a_subclass_has_the_arguments_of_its_base(write):
    config = read_config(
        [write('[backends.toy]\nqueue = "long"\npriority = 5\n[backends.sub]\npriority = 6\n')]
    )
    backend = Sub()
    config.configure(backend)
    assert (backend.backend_args["queue"], backend.backend_args["priority"]) == ("long", 6)


def test_an_argument_that_the_backend_does_not_know_names_the_file(write):
    path = write('[backends.toy]\nqeue = "long"\n')
    with pytest.raises(ConfigurationError, match=r"caf.toml: Toy has no backend argument 'qeue'.*'queue'"):
        read_config([path]).configure(Toy())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("queue=long", "long"),
        ("queue=5", "5"),
        ("queue=a=b", "a=b"),
        ("queue=", ""),
        ("queue=true", "true"),
        ("priority=-3", -3),
        ("share=3", 3),
        ("share=0.5", 0.5),
        ("hold=yes", True),
        ("hold=False", False),
        ("lines=a, b", ["a", "b"]),
        ('lines=["a,b"]', ["a,b"]),
        ("command_timeout=10", 10),
    ],
)
def test_arguments_on_the_command_line_have_the_declared_type(text, value):
    (found,) = typed(pairs([text], "--backend-arg"), Toy, "toy").values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("priority=high", "must be int: the priority"),
        ("priority=1.5", "must be int"),
        ("hold=maybe", "must be bool"),
        ("qeue=long", "do you mean 'queue'?"),
        ("queue", "has no value; write NAME=VALUE"),
        ("=x", "has no value"),
    ],
)
def test_arguments_that_cannot_be(text, words):
    with pytest.raises(ConfigurationError) as error:
        typed(pairs([text], "--backend-arg"), Toy, "toy")
    assert words in str(error.value)
