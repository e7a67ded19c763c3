"""LSF as it was seen to behave: Volclava 2.2 by recorded answers, IBM's and OpenLava by their documentation.

Source: https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=reference-commands
"""

import json
import os
import re
import time

from fakes.engine import (
    CANCELLED,
    ENDED,
    HELD,
    MEMORY,
    NODE,
    PENDING,
    RUNNING,
    SUSPENDED,
    WALLTIME,
    Answer,
    Dialect,
    Refusal,
    command,
)

_STATES = {PENDING: "PEND", RUNNING: "RUN", HELD: "PSUSP", SUSPENDED: "USUSP"}
_REASONS = {
    CANCELLED: "TERM_OWNER: job killed by owner",
    WALLTIME: "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
    MEMORY: "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
    NODE: "TERM_ZOMBI: zombie job was killed after its host came back",
}
_ACTIONS = {
    CANCELLED: "Signal <KILL> requested by user or administrator <caluser>",
    WALLTIME: "RUNLIMIT termination action initiated",
    MEMORY: "MEMLIMIT termination action initiated",
}


class Family(Dialect):
    """What all have in common."""

    submits = ("bsub",)
    asks = ("bjobs",)
    cancels = ("bkill",)
    settings = {  # noqa: RUF012 - read only
        "keep": 3600.0,  # CLEAN_PERIOD
        "array_max": 1000,  # MAX_JOB_ARRAY_SIZE
        "array_told": None,  # what bparams says it is, if it is wrong
        "queues": ["normal", "short"],
        "unit": "",  # LSF_UNIT_FOR_LIMITS
        "per_task": False,  # RESOURCE_RESERVE_PER_TASK
        "shown": {},  # key of a job -> a state that no job of the engine has
        "refusal": "",  # why bsub refuses everything
        "quiet": False,  # BSUB_QUIET
        "summaries": True,  # whether bjobs -A works
    }
    version = ""
    letters = "E:T:a:w:f:k:R:m:J:L:u:i:o:e:n:q:b:t:s:c:v:p:W:F:D:S:C:M:O:P:X:IrHxNBhVKG:"
    columns = ()
    """Those that -o knows."""
    forms = ("json",)
    """What -o can print; without any there is no -o."""
    tells_reasons = False
    commas = True
    """Whether a comma may stand in -R."""

    def identity(self, job):
        return str(job.number) if job.index is None else f"{job.number}[{job.index}]"

    # bsub

    @command
    def bsub(self, call):
        options, words = self.bsub_options(call, call.args)
        script = f"exec {' '.join(words)}\n" if words else call.stdin
        if not script.strip():
            raise Refusal("No command is specified. Job not submitted.", 255)
        for line in script.splitlines():
            if line.startswith("#BSUB"):
                embedded, _ = self.bsub_options(call, re.sub(r"[\"']", "", line[5:]).split())
                options = {**embedded, **options}
        if self.store["refusal"]:
            raise Refusal(f"{self.store['refusal']}. Job not submitted.", 255)
        if "," in options.get("-R", "") and not self.commas:
            raise Refusal("Bad resource requirement syntax. Job not submitted.", 255)
        queue = options.get("-q", "")
        if queue and queue not in self.store["queues"]:
            raise Refusal(f"{queue}: No such queue. Job not submitted.", 255)
        name = options.get("-J") or script.split("\n")[0]
        plain, indices = self.indices(name)
        number = self.store.submit(
            script,
            indices=indices,
            name=plain,
            spec_name=name,
            held="submitted with hold" if "-H" in options else "",
            cwd=call.cwd,
            environment=dict(os.environ),
            stdout=options.get("-o", ""),
            stderr=options.get("-e", options.get("-o", "")),
            walltime=_seconds(options["-W"]) if "-W" in options else None,
            options=options,
        )
        where = f"queue <{queue}>" if queue else f"default queue <{self.store['queues'][0]}>"
        return Answer("" if self.store["quiet"] else f"Job <{number}> is submitted to {where}.\n")

    def bsub_options(self, call, args):
        try:
            return call.options(self.letters, args)
        except Refusal as refusal:
            usage = "Usage: bsub [options] command [arguments]\n"
            raise Refusal(f"{refusal.answer.stderr}{usage}. Job not submitted.", 255) from refusal

    def indices(self, name):
        """The name without indices, and those; ``None`` for a plain job."""
        match = re.fullmatch(r"(.*?)\[([^\]]*)\](%\d+)?", name)
        if not match:
            return name, None
        chosen = []
        for part in match[2].split(","):
            first, _, last = part.partition("-")
            if not first.isdecimal() or not (last or first).isdecimal():
                return self.bad_array(name, "Bad job name")
            chosen += range(int(first), int(last or first) + 1)
            if int(last or first) < int(first):
                return self.bad_array(name, "Job array index error")
        if len(chosen) > self.store["array_max"]:
            return self.bad_array(name, "Job array index too large")
        return match[1], chosen

    def bad_array(self, name, problem):
        raise Refusal(f"{problem}. Job not submitted.", 255)

    def environment(self, job):
        index = str(job.index or 0)
        return {
            "LSB_JOBID": str(job.number),
            "LSB_JOBINDEX": index,
            "LSB_BATCH_JID": self.identity(job),
            "LSB_JOBNAME": job.spec["spec_name"],
        }

    def output(self, job, stream):
        return job.spec[stream].replace("%J", str(job.number)).replace("%I", str(job.index or 0))

    # bjobs

    @command
    def bjobs(self, call):
        try:
            options, ids = call.options("VladpsrwWgRAhJ:q:u:m:N:P:SU:o:j:")
        except Refusal as refusal:
            raise Refusal(f"{refusal.answer.stderr}Usage: bjobs [-h] [-V] [-w |-l] [-a]", 255) from refusal
        if "-V" in options:
            return Answer(stderr=f"{self.version}\n")
        if ("-o" in options and not self.forms) or ("-j" in options and "json" not in self.forms):
            raise Refusal("bjobs: illegal option\nUsage: bjobs [-h] [-V] [-w |-l] [-a]", 255)
        every = "-a" in options or ids
        jobs = [job for job in self.store.jobs() if every or job.state != ENDED]
        if "-J" in options:
            jobs = [job for job in jobs if job.name == options["-J"]]
        wanted, unknown = chosen(jobs, ids)
        if "-A" in options:
            return self.summary(wanted, ids)
        if "-l" in options:
            return self.long(wanted, unknown)
        if "-p" in options:
            wanted = [job for job in wanted if self.state(job) == "PEND"]
        if "-o" in options:
            return self.customized(options, wanted, unknown, ids)
        if not wanted:
            what = [f"Job <{one}> is not found" for one in unknown]
            what = what or ["No job found" if every else "No unfinished job found"]
            raise Refusal("\n".join(what), 255 if ids else 254)
        lines = ["JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"]
        for job in wanted:
            field = self.fields(job)
            host = field["exec_host"] or "   -    "
            lines.append(
                f"{job.number:<7} caluser {field['stat']:<5} normal     vm          {host:<11} "
                f"{field['job_name']:<10} {stamp(job.submitted, '%b %d %H:%M')}"
            )
            if "-p" in options:
                lines.append(f" {job.reason or 'New job is waiting for scheduling'};")
        complaints = "".join(f"Job <{one}> is not found\n" for one in unknown)
        return Answer("\n".join(lines) + "\n", complaints, 255 if unknown else 0)

    def state(self, job):
        shown = self.store["shown"].get(job.key)
        if shown:
            return shown
        if job.state != ENDED:
            return _STATES[job.state]
        return "DONE" if job.ending == "exit" and job.exit_code == 0 else "EXIT"

    def fields(self, job):
        code = job.exit_code if job.signal is None else 128 + job.signal
        ended = job.state == ENDED
        name = job.name if job.index is None else f"{job.name}[{job.index}]"
        return {
            "jobid": str(job.number),
            "stat": self.state(job),
            "job_name": name,
            "exec_host": job.host or "",
            "jobindex": str(job.index or 0),
            "exit_code": str(code or "") if ended else "",
            "exit_reason": _REASONS.get(job.ending, "") if ended else "",
            "max_mem": "12 Mbytes" if ended else "-",
        }

    def customized(self, options, jobs, unknown, ids):
        text, _, delimiter = options["-o"].partition(" delimiter=")
        names = [name.lower() for name in text.split()]
        for name in names:
            # Only when there is a job to show it for.
            if jobs and name not in self.columns:
                message = f"<{name.upper()}> in the format string is not a valid field name."
                raise Refusal(message, 99)
        rows = [[(name.upper(), self.fields(job)[name]) for name in names] for job in jobs]
        if "-j" not in options:
            mark = delimiter.strip("'\"") or " "
            lines = [mark.join(name.upper() for name in names)]
            lines += [mark.join(value for _, value in row) for row in rows]
            complaints = "".join(f"Job <{one}> is not found\n" for one in unknown)
            if not jobs:
                raise Refusal(complaints or "No job found", 255)
            return Answer("\n".join(lines) + "\n", complaints)
        if not jobs:
            unknown = [one for one in unknown for _ in range(min(len(unknown), 2))]
        rows += [[("JOBID", one), ("ERROR", f"Job <{one}> is not found")] for one in unknown]
        return Answer(listing(rows), rc=0 if jobs else 255)

    def summary(self, jobs, ids):
        if not self.store["summaries"]:
            raise Refusal("bjobs: illegal option -- A\nUsage: bjobs [-h] [-V]", 255)
        head = "JOBID    ARRAY_SPEC  OWNER   NJOBS PEND DONE  RUN EXIT SSUSP USUSP PSUSP\n"
        arrays = {}
        for job in jobs:
            if job.index is not None:
                arrays.setdefault(job.number, []).append(job)
        if not arrays:
            raise Refusal("\n".join(f"Job array <{one}> is not found" for one in ids), 255)
        text = head
        for number, elements in arrays.items():
            states = [self.state(job) for job in elements]
            names = ("PEND", "DONE", "RUN", "EXIT", "SSUSP", "USUSP", "PSUSP")
            counts = [len(states)] + [states.count(name) for name in names]
            text += f"{number:<7}  {elements[0].spec['spec_name']} caluser   {' '.join(map(str, counts))}\n"
        return Answer(text)

    # What became of jobs

    def long(self, jobs, unknown):
        text = ""
        for job in jobs:
            text += (
                f"\nJob <{self.identity(job)}>, Job Name <{self.fields(job)['job_name']}>, User <caluser>, "
                f"Project <default>, Status <{self.state(job)}>, Queue <normal>, Command <#!/bin/sh>\n"
                f"{stamp(job.submitted)}: Submitted from host <vm>, CWD </>, Output File </dev/null>"
                f"{self.asked(job)};\n{self.story(job)}"
            )
        if not text:
            raise Refusal("\n".join(f"Job <{one}> is not found" for one in unknown), 255)
        return Answer(text + "\n")

    def asked(self, job):
        """What the job asked for."""
        options = job.spec["options"]
        text = f", {options['-n']} Processors Requested" if "-n" in options else ""
        return text + (f", Requested Resources <{options['-R']}>" if "-R" in options else "")

    def story(self, job, actions=False):
        """The events of a job after its submission."""
        text = ""
        if job.started:
            text += (
                f"{stamp(job.started)}: Started on <{job.host}>, Execution Home </home>, Execution CWD </>;\n"
            )
        if job.state != ENDED:
            return text
        when = stamp(job.ended or time.time())
        if actions and job.ending in _ACTIONS:
            text += f"{when}: {_ACTIONS[job.ending]};\n"
        if self.state(job) == "DONE":
            return f"{text}{when}: Done successfully. The CPU time used is 0.0 seconds;\n"
        how = "."
        if job.signal:
            how = f" by signal {job.signal}."
        elif job.exit_code:
            how = f" with exit code {job.exit_code}."
        text += f"{when}: Exited{how} The CPU time used is 0.0 seconds;\n"
        if self.tells_reasons and job.ending in _REASONS:
            text += f"{when}: Completed <exit>; {_REASONS[job.ending]}.\n"
        return text

    @command
    def bhist(self, call):
        options, ids = call.options("VaAhwlbdepstrf:q:m:u:C:D:S:N:J:P:T:n:")
        jobs = self.store.jobs(history=True)
        if "-J" in options:
            jobs = [job for job in jobs if job.name == options["-J"]]
        wanted, _ = chosen(jobs, ids)
        text = "".join(
            f"\nJob <{self.identity(job)}>, Job Name <{self.fields(job)['job_name']}>, User <caluser>, "
            f"Project <default>, Command <#!/bin/sh;exec true>\n"
            f"{stamp(job.submitted)}: Submitted from host <vm>, to Queue <normal>, CWD </>, Output File\n"
            f"                     </dev/null>;\n{self.story(job, actions=True)}"
            f"\nSummary of time in seconds spent in various states by  {stamp(time.time())}\n"
            "  PEND     PSUSP    RUN      USUSP    SSUSP    UNKWN    TOTAL\n"
            "  0        0        0        0        0        0        0           \n"
            for job in wanted
        )
        return Answer(f"{text}\n") if text else Answer("No matching job found\n", rc=255)

    # Ending

    @command
    def bkill(self, call):
        _, ids = call.options("hVlq:m:u:r:s:J:")
        jobs = self.store.jobs()
        said, wrong = [], []
        for one in ids:
            if not re.fullmatch(r"\d+(\[[\d,-]+\])?", one):
                raise Refusal(f"{one}: Illegal job ID.", 255)
            if len(one) > 512:
                raise Refusal("Segmentation fault", 139)
            mine, unknown = chosen(jobs, [one])
            whole = "[" not in one and len(mine) > 1
            wrong += [f"Job <{name}>: No matching job found" for name in unknown]
            changed = [job for job in mine if self.store.cancel(job)]
            if whole:
                (said if changed else wrong).append(
                    f"Job <{one}> is being terminated"
                    if changed
                    else f"Job <{one}>: Job has already finished"
                )
                continue
            said += [f"Job <{self.identity(job)}> is being terminated" for job in changed]
            wrong += [
                f"Job <{self.identity(job)}>: Job has already finished" for job in mine if job not in changed
            ]
        return Answer("".join(f"{x}\n" for x in said), "".join(f"{x}\n" for x in wrong), 255 if wrong else 0)

    # The site

    @command
    def bparams(self, call):
        call.options("Vhl")
        per_task = "Y" if self.store["per_task"] else "N"
        most = self.store["array_told"] or self.store["array_max"]
        return Answer(
            "\nSystem default queues for automatic queue selection:\n    DEFAULT_QUEUE = normal\n\n"
            "The maximum number of jobs in a job array.\n"
            f"    MAX_JOB_ARRAY_SIZE = {most}\n\n"
            "Mbatchd reserves resources based on job tasks:\n"
            f"    RESOURCE_RESERVE_PER_TASK = {per_task}\n\n"
        )

    @command
    def bqueues(self, call):
        head = "QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP\n"
        row = "{:<15}  30  Open:Active       -    -    -    -     0     0     0     0\n"
        return Answer(head + "".join(row.format(name) for name in self.store["queues"]))

    @command
    def badmin(self, call):
        return Answer(stderr=f"badmin: illegal command {call.args[:1]}\n", rc=255)


class Volclava(Family):
    """An open descendant with ``bjobs -o ... -json`` and few columns; a bad array is a plain job to it."""

    version = "volclava project 2.2, Jul 1 2026"
    commas = False
    columns = ("jobid", "user", "stat", "queue", "exec_host", "job_name", "mem")

    def bad_array(self, name, problem):
        return name, None


class OpenLava(Volclava):
    """An older one: only the fixed table."""

    version = "OpenLava project 3.3, Jan 15 2016"
    forms = ()


class IBM(Family):
    """IBM LSF 10.1."""

    version = "IBM Spectrum LSF Standard 10.1.0.11, Jun 10 2021"
    columns = ("jobid", "stat", "job_name", "exec_host", "jobindex", "exit_code", "exit_reason", "max_mem")
    forms = ("json", "delimited")
    tells_reasons = True
    settings = {**Family.settings, "unit": "MB"}  # noqa: RUF012 - read only

    def bsub_options(self, call, args):
        words, kept = {}, []
        args = list(args)
        while args:
            word = args.pop(0)
            if word in ("-app", "-oo", "-eo", "-cwd", "-env", "-sla"):
                words[word] = args.pop(0)
            else:
                kept.append(word)
        options, rest = super().bsub_options(call, kept)
        return {**options, **words}, rest

    @command
    def badmin(self, call):
        unit = self.store["unit"]
        text = "MBD configuration at Sun Nov 22 05:00:00 2026\n\tLSB_SHAREDIR = /lsf/work\n"
        return Answer(text + (f"\tLSF_UNIT_FOR_LIMITS = {unit}\n" if unit else ""))


class IBM91(IBM):
    """An older one without JSON, and without a reason for the exit."""

    version = "IBM Platform LSF 9.1.3.0, Jul 04 2014"
    columns = ("jobid", "stat", "job_name", "exec_host", "jobindex", "exit_code")
    forms = ("delimited",)


def chosen(jobs, ids):
    """The jobs of these ids, and the ids that are no job's."""
    if not ids:
        return jobs, []
    wanted, unknown = [], []
    for one in ids:
        number, _, rest = one.partition("[")
        if not number.isdecimal():
            raise Refusal(f"{one}: Illegal job ID.", 255)
        indices = set()
        for part in filter(None, rest.rstrip("]").split(",")):
            first, _, last = part.partition("-")
            indices |= set(range(int(first), int(last or first) + 1))
        mine = [job for job in jobs if job.number == int(number) and (not rest or job.index in indices)]
        wanted += mine
        if not mine:
            unknown.append(one)
    return wanted, unknown


def listing(rows):
    """JSON as Volclava prints it."""
    records = ", ".join(
        "{\n"
        + ",\n".join(f"\t\t\t{json.dumps(name)}:\t{json.dumps(value)}" for name, value in row)
        + "\n\t\t}"
        for row in rows
    )
    return f'{{\n\t"COMMAND":\t"bjobs",\n\t"JOBS":\t{len(rows)},\n\t"RECORDS":\t[{records}]\n}}\n'


def stamp(when, form="%a %b %d %H:%M:%S"):
    """A time as LSF writes it."""
    return time.strftime(form, time.localtime(when))


def _seconds(limit):
    """``90`` or ``1:30`` [min] in seconds."""
    hours, _, minutes = limit.rpartition(":")
    return 60.0 * (60 * int(hours or 0) + int(minutes))
