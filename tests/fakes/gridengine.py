"""Grid Engine (Univa and Altair, 8.6), as its manual pages describe its commands."""

import time
from xml.sax.saxutils import escape

from fakes.engine import (
    CANCELLED,
    ENDED,
    HELD,
    MEMORY,
    NODE,
    RUNNING,
    SUSPENDED,
    WALLTIME,
    Answer,
    Dialect,
    Refusal,
    command,
)

USER = "alice"
_LETTERS = {RUNNING: "r", SUSPENDED: "s", HELD: "hqw"}
_FAILED = {
    CANCELLED: "100 : assumedly after job",
    WALLTIME: "44  : execd enforced h_rt limit",
    MEMORY: "52  : h_vmem limit exceeded",
    NODE: "21  : in recognizing job",
}
_WITH_VALUE = {
    "-N",
    "-t",
    "-tc",
    "-o",
    "-e",
    "-j",
    "-S",
    "-wd",
    "-l",
    "-q",
    "-b",
    "-v",
    "-u",
    "-g",
    "-s",
    "-pe",
    "-P",
}
_WITHOUT = {"-terse", "-cwd", "-h", "-V", "-xml"}


class GridEngine(Dialect):
    """Finished jobs leave ``qstat`` at once, and are in the accounting file from then on."""

    submits = ("qsub",)
    asks = ("qstat", "qacct")
    cancels = ("qdel",)
    settings = {"array_max": 75000, "queues": ["all.q", "long.q"], "keep": 0}  # noqa: RUF012 - read only

    @command
    def qsub(self, call):
        options, rest = _options(call)
        name, queue = options.get("-N", "job"), options.get("-q", "all.q")
        if name[:1].isdigit():
            raise _rejected(f'denied: "{name}" is not a valid object name (cannot start with a digit)')
        if any(letter in name for letter in "\n\t\r/:@\\*?"):
            raise _rejected(f'denied: "{name}" is not a valid object name')
        if queue not in self.store["queues"]:
            raise _rejected(f'Job was rejected because job requests unknown queue "{queue}"')
        limits = dict(item.split("=", 1) for item in options.get("-l", "").split(",") if item)
        if unknown := set(limits) - {"h_rt", "h_vmem", "mem_free", "tmpfs"}:
            raise _rejected(f'unknown resource "{min(unknown)}"')
        indices = None
        if "-t" in options:
            first, _, last = options["-t"].partition("-")
            indices = range(int(first), int(last or first) + 1)
            if len(indices) > self.store["array_max"]:
                raise _rejected(f"job rejected: job tasks exceed limit of {self.store['array_max']}")
        number = self.store.submit(
            call.read(rest[0]) if rest else call.stdin,
            indices=indices,
            held="held by the user" if "-h" in options else "",
            name=name,
            cwd=call.cwd if "-cwd" in options else options.get("-wd", "/"),
            stdout=options.get("-o", ""),
            stderr=options.get("-o" if options.get("-j") == "y" else "-e", ""),
            walltime=_seconds(limits["h_rt"]) if "h_rt" in limits else None,
            limits=limits,
            slots=int(options.get("-pe", "smp 1").split()[-1]),
        )
        short = f"{number}" if indices is None else f"{number}.{indices[0]}-{indices[-1]}:1"
        kind = "job" if indices is None else "job-array"
        text = f'Your {kind} {short} ("{name}") has been submitted'
        return Answer(f"{short if '-terse' in options else text}\n")

    @command
    def qstat(self, call):
        options, _ = _options(call)
        jobs = self.store.jobs(ended=False)
        if "-xml" not in options:
            return Answer("".join(f"{self.identity(job)} {job.name} {_letters(job)}\n" for job in jobs))
        running, waiting = [], []
        for job in jobs:
            place = running if job.state in (RUNNING, SUSPENDED) else waiting
            place.append(_element(job))
        return Answer(
            "<?xml version='1.0'?>\n<job_info>\n  <queue_info>\n"
            f"{''.join(running)}  </queue_info>\n  <job_info>\n{''.join(waiting)}  </job_info>\n</job_info>\n"
        )

    @command
    def qdel(self, call):
        said, wrong = [], []
        for word in call.args:
            jobs = [
                job for job in self.store.jobs(ended=False) if word in (str(job.number), self.identity(job))
            ]
            if not jobs:
                wrong.append(f'denied: job "{word}" does not exist\n')
            for job in jobs:
                verb = "registered the job" if job.state == RUNNING else "deleted job"
                self.store.cancel(job)
                said.append(
                    f"{USER} has {verb} {self.identity(job)}{' for deletion' * (job.state == RUNNING)}\n"
                )
        return Answer("".join(said + wrong), rc=1 if wrong else 0)

    @command
    def qacct(self, call):
        wanted = call.args[call.args.index("-j") + 1]
        jobs = [
            job
            for job in self.store.jobs(history=True)
            if job.state == ENDED and job.started and wanted in (str(job.number), job.name)
        ]
        if not jobs:
            kind = "id" if wanted.isdigit() else "name"
            raise Refusal(f"error: job {kind} {wanted} not found")
        return Answer("".join(map(_accounts, jobs)))

    def identity(self, job):
        return str(job.number) if job.index is None else f"{job.number}.{job.index}"

    def environment(self, job):
        task = "undefined" if job.index is None else str(job.index)
        return {
            "JOB_ID": str(job.number),
            "JOB_NAME": job.name,
            "SGE_TASK_ID": task,
            "NSLOTS": str(job.spec["slots"]),
            "QUEUE": "all.q",
        }

    def down(self, call):
        words = 'unable to send message to qmaster using port 6444 on host "master": got send error'
        return Answer(
            stderr=f"error: commlib error: got select error (Connection refused)\nerror: {words}\n", rc=1
        )


def _options(call):
    """Grid Engine's options are words: ``-terse``, ``-N name``."""
    options, words = {}, list(call.args)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in _WITHOUT:
            options[word] = ""
        elif word == "-pe":
            options[word] = f"{words.pop(0)} {words.pop(0)}"
        elif word in _WITH_VALUE and words:
            options[word] = words.pop(0)
        else:
            raise Refusal(f'{call.name}: Unknown option "{word}"', 7)
    return options, words


def _rejected(why):
    return Refusal(f"Unable to run job: {why}.\nExiting.")


def _seconds(text):
    value = 0
    for part in text.split(":"):
        value = 60 * value + int(part)
    return value


def _letters(job):
    if job.state in _LETTERS:
        return ("d" if job.wish else "") + ("R" if job.runs > 1 else "") + _LETTERS[job.state]
    return "Rq" if job.runs else "qw"


def _element(job):
    queue = f"all.q@{job.host}" if job.state == RUNNING else ""
    tasks = "" if job.index is None else f"      <tasks>{job.index}</tasks>\n"
    state = "running" if job.state in (RUNNING, SUSPENDED) else "pending"
    return (
        f'    <job_list state="{state}">\n      <JB_job_number>{job.number}</JB_job_number>\n'
        f"      <JB_name>{escape(job.name)}</JB_name>\n      <JB_owner>{USER}</JB_owner>\n"
        f"      <state>{_letters(job)}</state>\n      <queue_name>{queue}</queue_name>\n"
        f"      <slots>{job.spec['slots']}</slots>\n{tasks}    </job_list>\n"
    )


def _accounts(job):
    status = job.exit_code if job.exit_code is not None else 128 + (job.signal or 9)
    failed = _FAILED.get(job.ending, "0")
    fields = {
        "qname": "all.q",
        "hostname": job.host,
        "owner": USER,
        "jobname": job.name,
        "jobnumber": job.number,
        "taskid": "undefined" if job.index is None else job.index,
        "start_time": time.strftime("%m/%d/%Y %H:%M:%S.000", time.localtime(job.started)),
        "end_time": time.strftime("%m/%d/%Y %H:%M:%S.000", time.localtime(job.ended)),
        "failed": failed,
        "deleted_by": f"{USER}@master" if job.ending == CANCELLED else "NONE",
        "exit_status": status,
        "ru_wallclock": f"{job.ended - job.started:.3f}",
        "maxvmem": "12.000M",
    }
    return "=" * 62 + "\n" + "".join(f"{name:<13}{value}\n" for name, value in fields.items())
