"""OpenPBS 23.06, as its commands were seen to behave."""

# ruff: noqa: PTH111
# pathlib takes longer to import than a command may take to start, and os serves as well.

import json
import os

from fakes.engine import (
    CANCELLED,
    ENDED,
    HELD,
    MEMORY,
    NODE,
    PENDING,
    RUNNING,
    WALLTIME,
    Answer,
    Refusal,
    command,
)
from fakes.pbs_family import HOST, LETTERS, QSTAT_USAGE, QSUB_USAGE, USER, Server


class OpenPBS(Server):
    """OpenPBS 23.06. Set ``job_history`` for a server that remembers what has ended."""

    settings = {**Server.settings, "job_history": False}  # noqa: RUF012 - read only

    qsub_letters = "a:A:c:C:e:fhIXj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:z"
    array_option = "-J"
    unknown_queue = "qsub: Unknown queue"
    narrow = (15, 8, 8, 10)

    def environment(self, job):
        index = (
            {}
            if job.index is None
            else {"PBS_ARRAY_INDEX": str(job.index), "PBS_ARRAY_ID": self.array_id(job)}
        )
        return {"PBS_JOBID": self.identity(job), **index}

    def down(self, call):
        if call.args == ["--version"]:
            return Answer("pbs_version = 23.06.06\n")
        rc = 255 if call.name == "qstat" else 162
        return Answer("", f"{call.name}: cannot connect to server {HOST} (errno=15010)\n", rc)

    def _check_range(self, first, last):
        super()._check_range(first, last)
        if not last or int(last) <= int(first):
            raise Refusal(f"qsub: illegal -J value\n{QSUB_USAGE}", 2)

    def _known(self):
        return self._arrays(self.store.jobs(history=True))

    @staticmethod
    def _finished(jobs):
        return all(job.state == ENDED for job in jobs)

    @command
    def qstat(self, call):
        if call.args == ["--version"]:
            return Answer("pbs_version = 23.06.06\n")
        try:
            options, ids = call.options("ainpqrstwxu:fGHJMQEBW:T1F:D:")
        except Refusal as refusal:
            raise Refusal(f"{refusal.answer.stderr}{QSTAT_USAGE}", 2) from refusal
        if "-B" in options:
            return Answer(
                f"Server: {HOST}\n    server_state = Active\n"
                f"    default_queue = {self.store['default_queue']}\n"
                f"    max_array_size = {self.store['max_array_size']}\n    pbs_version = 23.06.06\n\n"
            )
        if "-Q" in options:
            return self._queue_record(ids[0]) if ids else self._queue_listing()
        if "-x" in options and not self.store["job_history"]:
            return Answer("", f"qstat: PBS is not configured to maintain job history {' '.join(ids)}\n")
        return self._jobs(options, ids)

    def _jobs(self, options, ids):
        known, past, apart = self._known(), "-x" in options, "-t" in options
        errors, rc = "", 0
        shown = []
        if ids:
            jobs, errors, rc = self._asked(ids[0], known, past)
            shown = self._expanded(jobs, apart) if jobs and "[]" in ids[0] else [(job, None) for job in jobs]
            if len(ids) > 1 and not rc:
                _, errors, rc = self._asked(ids[1], known, past)  # the others are checked, and not printed
        else:
            for jobs in known.values():
                if past or not self._finished(jobs):
                    # Who asks for his own jobs is told of tasks, and not of their arrays.
                    shown += self._expanded(jobs, apart, parents="-u" not in options or not apart)
        if "-u" in options:
            return self._alternate([(*self._row(entry, known), entry[0]) for entry in shown], "-w" in options)
        if "-f" in options:
            records = {self._row(entry, known)[0]: self._record(entry, known) for entry in shown}
            return Answer(_printed(records, options.get("-F", "default")), errors, rc)
        answer = self._brief([(*self._row(entry, known), entry[0]) for entry in shown])
        return Answer(answer.stdout, errors, rc)

    def _asked(self, text, known, past):
        try:
            jobs = self._chosen(text, known)
        except Refusal as refusal:
            return [], f"qstat: {refusal.answer.stderr}", 1
        if not jobs or (self._finished(known[jobs[0].number]) and not self.store["job_history"]):
            full = text if "." in text else f"{text}.{HOST}"
            return [], f"qstat: Unknown Job Id {full}\n", 153
        if self._finished(known[jobs[0].number]) and not past:
            return (
                [],
                f"qstat: {text} Job has finished, use -x or -H to obtain historical job information\n",
                35,
            )
        return jobs, "", 0

    def _expanded(self, jobs, apart, parents=True):
        """Entries of a listing: a job and, for an array as a whole, all its tasks."""
        if jobs[0].index is None:
            return [(job, None) for job in jobs]
        whole = [(jobs[0], jobs)] if parents else []
        return whole + [(job, None) for job in jobs] if apart else whole

    def _row(self, entry, known):
        job, tasks = entry
        return (self.array_id(job) if tasks else self.identity(job)), job.name, self._letter(entry, known)

    def _letter(self, entry, known):
        job, tasks = entry
        if tasks:
            if self._finished(tasks):
                return "F"
            if all(task.state == HELD for task in tasks):
                return "H"
            return "Q" if all(task.state in (PENDING, HELD) for task in tasks) else "B"
        if job.state == HELD and job.index is not None:
            return "Q"  # that its array is held, only the array's record tells
        if job.state != ENDED:
            return LETTERS[job.state]
        return "F" if self._finished(known[job.number]) else "X"

    def _record(self, entry, known):
        job, tasks = entry
        letter = self._letter(entry, known)
        record = {
            "Job_Name": job.name,
            "Job_Owner": f"{USER}@localhost",
            "job_state": letter,
            "queue": job.spec["queue"],
            "server": HOST,
            "Join_Path": "oe",
            "Rerunable": "True",
            "Resource_List": {"ncpus": 1, "nodect": 1, **job.spec["resources"]},
            "Variable_List": {"PBS_O_HOME": os.path.expanduser("~"), "PBS_O_QUEUE": job.spec["queue"]},
        }
        if tasks or job.index is None:
            record["Hold_Types"] = "n"
        if job.state == HELD and letter == "H":
            record.update(substate=20, Hold_Types="u")
        elif letter == "Q":
            record["substate"] = 10
        if job.reason:
            record["comment"] = job.reason
        if tasks:
            states = [self._letter((task, None), known) for task in tasks]
            counts = (states.count("Q"), states.count("R"), states.count("X") + states.count("F"))
            record["array"] = "True"
            record["array_state_count"] = "Queued:{} Running:{} Exiting:0 Expired:{}".format(*counts)
            record["Exit_status"] = 0
            return record
        if job.index is not None:
            record.update(array_id=self.array_id(job), array_index=job.index)
            if letter in "QR":
                record["Exit_status"] = 0  # its array's
        if job.runs:
            began = f"Job run at Sun Nov 22 at 05:49 on ({job.host}:ncpus=1)"
            record.update(exec_host=f"{job.host}/0", run_count=job.runs, comment=began)
            record["resources_used"] = {"cput": "00:00:00", "mem": "7400kb", "walltime": "00:00:01"}
            if job.state == RUNNING:
                record["substate"] = 42
        if job.state == ENDED:
            self._add_end(record, job)
        return record

    def _add_end(self, record, job):
        if job.ending == CANCELLED:
            record["substate"] = 91
            if job.runs:
                record["comment"] += f" and terminated by {USER}@localhost"
                record["Exit_status"] = 271 if job.exit_code is None else job.exit_code
            return
        codes = {WALLTIME: (-29, "exceeded resource walltime"), MEMORY: (-27, "exceeded resource mem")}
        codes[NODE] = (-4, "failed")
        code = job.exit_code if job.signal is None else 256 + job.signal
        status, words = codes.get(job.ending, (code, "failed" if code else "finished"))
        record.update(substate=93 if status else 92, Exit_status=status, Stageout_status=1)
        record["comment"] = f"{record.get('comment', 'Job run')} and {words}"

    @command
    def qselect(self, call):
        options, _ = call.options("a:A:c:h:HJl:N:p:q:r:s:t:Tu:xP:")
        if "-x" in options and not self.store["job_history"]:
            return Answer("", "qselect: PBS is not configured to maintain job history\n")
        lines = []
        for jobs in self._known().values():
            if jobs[0].name != options.get("-N", jobs[0].name) or options.get("-u", USER) != USER:
                continue
            if self._finished(jobs) and "-x" not in options:
                continue
            lines.append(self.array_id(jobs[0]) if jobs[0].index is not None else self.identity(jobs[0]))
        return Answer("".join(f"{line}\n" for line in lines))

    @command
    def qdel(self, call):
        _, ids = call.options("W:x")
        known, errors, rc = self._known(), [], 0
        for text in ids:
            try:
                jobs = self._chosen(text, known)
            except Refusal as refusal:
                errors.append(f"qdel: {refusal.answer.stderr}")
                rc = 1
                continue
            finished = jobs and self._finished(known[jobs[0].number])
            if not jobs or (finished and not self.store["job_history"]):
                errors.append(f"qdel: Unknown Job Id {text}\n")
                rc = 153
            elif finished:
                errors.append(f"qdel: Job has finished {text}\n")
                rc = 35
            elif len(jobs) == 1 and jobs[0].state == ENDED:
                errors.append(f"qdel: Request invalid for finished array subjob {text}\n")
                rc = 55
            for job in jobs:
                self.store.cancel(job)
        return Answer("", "".join(errors), rc)


def _printed(records, form):
    if form == "json":
        head = {"timestamp": 1795326550, "pbs_version": "23.06.06", "pbs_server": HOST}
        content = {**head, "Jobs": records} if records else head
        return json.dumps(content, indent="\t", separators=(",", ":\t")) + "\n"
    lines = []
    for name, record in records.items():
        lines.append(f"Job Id: {name}\n")
        for key, value in record.items():
            inner = (
                {f"{key}.{one}": two for one, two in value.items()}
                if isinstance(value, dict)
                else {key: value}
            )
            lines += [f"    {one} = {two}\n" for one, two in inner.items()]
        lines.append("\n")
    return "".join(lines)
