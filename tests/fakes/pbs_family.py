"""What the fakes of OpenPBS and Torque have in common."""

# ruff: noqa: PTH111, PTH119
# pathlib takes longer to import than a command may take to start, and os serves as well.

import os
import pwd
import shlex

from fakes.engine import ENDED, HELD, PENDING, RUNNING, SUSPENDED, Answer, Dialect, Refusal, command

HOST = "vm"
USER = pwd.getpwuid(os.getuid()).pw_name
LETTERS = {PENDING: "Q", RUNNING: "R", HELD: "H", SUSPENDED: "S"}

QSUB_USAGE = """\
usage: qsub [-a date_time] [-A account_string] [-c interval]
\t[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]
\t[-k keep] [-l resource_list] [-m mail_options] [-M user_list]
\t[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]
\t[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]
\t[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]
       qsub --version
"""
QSTAT_USAGE = (
    "usage: \nqstat [-f] [-J] [-p] [-t] [-x] [-E] [-F format | -w] [-D delim] [ job_identifier... ]\n"
)
_RESOURCES = {
    "select",
    "place",
    "ncpus",
    "mem",
    "vmem",
    "walltime",
    "cput",
    "nodes",
    "procs",
    "ppn",
    "file",
    "pmem",
}


class Server(Dialect):
    """What both have."""

    submits = ("qsub",)
    asks = ("qstat",)
    searches = ("qselect",)
    cancels = ("qdel",)
    settings = {  # noqa: RUF012 - read only
        "queues": {"workq": {}, "short": {"walltime": 3600}},
        "default_queue": "workq",
        "max_array_size": 10_000,
        "max_queued": None,  # refuse further jobs beyond so many
        "never": "",  # what the scheduler says of jobs that it cannot start
    }

    qsub_letters = ""
    array_option = ""
    unknown_job = ""

    # Ids

    def identity(self, job):
        return f"{job.number}.{HOST}" if job.index is None else f"{job.number}[{job.index}].{HOST}"

    def array_id(self, job):
        return f"{job.number}[].{HOST}"

    def _arrays(self, jobs):
        """Jobs by their numbers, each with all its elements."""
        arrays = {}
        for job in jobs:
            arrays.setdefault(job.number, []).append(job)
        return arrays

    def _chosen(self, text, arrays):
        """The jobs that an id means: one, or all of an array; ``Refusal`` if it is no id."""
        key, _, server = text.partition(".")
        number, bracket, index = key.partition("[")
        if not number.isdigit() or (server and server != HOST):
            raise Refusal(f"illegally formed job identifier: {text}", 1)
        jobs = arrays.get(int(number), [])
        if bracket:
            index = index.rstrip("]")
            return [job for job in jobs if job.index is not None and index in ("", str(job.index))]
        return [job for job in jobs if job.index is None]

    # qsub

    @command
    def qsub(self, call):
        options, files = self._qsub_options(call, call.args)
        script = call.read(files[0]) if files else call.stdin
        for words in _directives(script):
            written, _ = self._qsub_options(call, words)
            for name, value in written.items():
                options[name] = value + options.get(name, []) if name == "-l" else options.get(name, value)
        name = options.get("-N", os.path.basename(files[0]) if files else "STDIN")
        if any(not (char.isalnum() or char in "._-+") for char in name) or len(name) > 236:
            raise Refusal(f"qsub: illegal -N value\n{QSUB_USAGE}", 2)
        queue = options.get("-q", self.store["default_queue"])
        if queue not in self.store["queues"]:
            raise Refusal(self.unknown_queue, 170)
        resources = self._resources(options.get("-l", []))
        limit = self.store["queues"][queue].get("walltime")
        walltime = resources.get("walltime")
        if limit and walltime and _seconds(walltime) > limit:
            raise Refusal("qsub: Job violates queue and/or server resource limits", 188)
        indices = self._indices(options.get(self.array_option))
        queued = sum(job.state != ENDED for job in self.store.every())
        if self.store["max_queued"] is not None and queued + len(indices or [0]) > self.store["max_queued"]:
            raise Refusal("qsub: would exceed complex's per-user limit of jobs in 'Q' state", 38)
        number = self.store.submit(
            script,
            indices=indices,
            held="held by the user" if "-h" in options else "",
            name=name,
            cwd=os.path.expanduser("~"),
            stdout=_local(options.get("-o", "")),
            walltime=_seconds(walltime) if walltime else None,
            environment={"PBS_O_WORKDIR": call.cwd, "PBS_ENVIRONMENT": "PBS_BATCH", "PBS_JOBNAME": name},
            queue=queue,
            resources=resources,
            account=options.get("-A", ""),
        )
        if self.store["never"]:
            for job in self.store.every("number = ?", number):
                self.store.change(job, reason=self.store["never"])
        return Answer(f"{number}{'' if indices is None else '[]'}.{HOST}\n")

    def _qsub_options(self, call, words):
        try:
            options, rest = call.options(self.qsub_letters, words, many="l")
        except Refusal as refusal:
            raise Refusal(f"{refusal.answer.stderr}{QSUB_USAGE}", 2) from refusal
        if any(char in options.get("-v", "") for char in "'\"{}"):
            raise Refusal("qsub: cannot parse -v", 1)
        return options, rest

    def _resources(self, lists):
        resources = {}
        for part in ",".join(lists).split(","):
            name, _, value = part.partition("=")
            if not part:
                continue
            if name not in _RESOURCES:
                raise Refusal(f"qsub: Unknown resource Resource_List.{name}", 187)
            resources[name] = value
        return resources

    def _indices(self, text):
        if text is None:
            return None
        first, _, last = text.partition("-")
        self._check_range(first, last)
        if int(last or first) - int(first) + 1 > self.store["max_array_size"]:
            raise Refusal("qsub: Array job exceeds server or queue size limit", 3)
        return list(range(int(first), int(last or first) + 1))

    def _check_range(self, first, last):
        if not first.isdigit() or not (last or first).isdigit():
            raise Refusal(f"qsub: illegal {self.array_option} value\n{QSUB_USAGE}", 2)

    # qstat

    def _alternate(self, rows, wide):
        """The listing of ``-u``: id, name, letter and job a row."""
        if not rows:
            return Answer()
        widths = (30, 15, 15, 15) if wide else self.narrow
        rule = " ".join("-" * width for width in widths) + " ------ --- --- ------ ----- - -----\n"
        lines = [f"\n{HOST}: \n", "Job ID          Username Queue    Jobname\n", rule]
        for identity, name, letter, job in rows:
            words = (identity, USER, job.spec["queue"], name)
            cut = " ".join(f"{word[:width]:{width}}" for word, width in zip(words, widths, strict=True))
            lines.append(f"{cut}    --    1   1    --    --  {letter}   -- \n")
        return Answer("".join(lines))

    def _brief(self, rows):
        """The listing without options."""
        lines = ["Job id            Name             User              Time Use S Queue\n"]
        lines += ["----------------  ---------------- ----------------  -------- - -----\n"]
        for identity, name, letter, job in rows:
            lines.append(
                f"{identity[:22]:22} {name[:15]:16} {USER[:16]:16}  00:00:00 {letter} {job.spec['queue']}\n"
            )
        return Answer("".join(lines) if rows else "")

    def _queue_listing(self):
        lines = ["Queue              Max   Tot Ena Str   Que   Run   Hld   Wat   Trn   Ext Type\n"]
        lines += ["---------------- ----- ----- --- --- ----- ----- ----- ----- ----- ----- ----\n"]
        lines += [
            f"{name:16}     0     0 yes yes     0     0     0     0     0     0 Exec\n"
            for name in self.store["queues"]
        ]
        return Answer("".join(lines))

    def _queue_record(self, name):
        if name not in self.store["queues"]:
            raise Refusal(f"qstat: Unknown queue {name}", 170)
        extra = "".join(
            f"    {key} = {value}\n" for key, value in self.store["queues"][name].items() if key != "walltime"
        )
        return Answer(
            f"Queue: {name}\n    queue_type = Execution\n    total_jobs = 0\n{extra}    enabled = True\n\n"
        )


def _directives(script):
    """The options of the ``#PBS`` lines before the first command."""
    for line in script.splitlines():
        if line.startswith("#PBS"):
            yield shlex.split(line[4:])
        elif line.strip() and not line.startswith("#"):
            return


def _local(path):
    return path.rpartition(":")[2]


def _seconds(text):
    seconds = 0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds
