"""Torque 6.1, as its manuals and sources say that its commands behave."""

from fakes.engine import CANCELLED, ENDED, MEMORY, NODE, WALLTIME, Answer, Refusal, command
from fakes.pbs_family import HOST, LETTERS, QSTAT_USAGE, USER, Server


class Torque(Server):
    """Torque 6.1; ``keep`` is its ``keep_completed`` [s]."""

    settings = {**Server.settings, "max_array_size": 100_000}  # noqa: RUF012 - read only

    qsub_letters = "a:A:b:c:C:d:D:e:fhIj:k:l:m:M:N:o:p:P:q:r:S:t:T:u:v:Vw:W:xXz"
    array_option = "-t"
    unknown_queue = "qsub: submit error (Unknown queue MSG=cannot locate queue)"
    narrow = (23, 11, 8, 16)

    def environment(self, job):
        index = {} if job.index is None else {"PBS_ARRAYID": str(job.index)}
        return {"PBS_JOBID": self.identity(job), **index}

    def down(self, call):
        if call.args == ["--version"]:
            return Answer("", "Version: 6.1.2\nCommit: 661e092552de43a785c15d39a3634a541d86898e\n")
        return Answer(
            "", f"{call.name}: cannot connect to server {HOST} (errno=111) Connection refused\n", 111
        )

    @command
    def qstat(self, call):
        if call.args == ["--version"]:
            return self.down(call)
        try:
            options, ids = call.options("acCeE:fgiln1pqrstu:xGMQRBW:")
        except Refusal as refusal:
            raise Refusal(f"{refusal.answer.stderr}{QSTAT_USAGE}", 2) from refusal
        if "-B" in options:
            default = self.store["default_queue"]
            return Answer(f"Server: {HOST}\n    server_state = Active\n    default_queue = {default}\n\n")
        if "-Q" in options:
            return self._queue_record(ids[0]) if ids else self._queue_listing()
        known, errors, rc = self._arrays(self.store.jobs()), "", 0
        shown = [job for jobs in known.values() for job in jobs]
        if ids:
            shown = []
            for text in ids:
                jobs = self._chosen(text, known)
                if not jobs:
                    errors, rc = f"{errors}qstat: Unknown Job Id Error {text}\n", 153
                shown += jobs
        rows = [(self.identity(job), self._name(job), self._letter(job), job) for job in shown]
        if "-t" not in options and not ids:
            rows = [
                (self.array_id(row[3]) if row[3].index == 0 else row[0], *row[1:])
                for row in rows
                if not row[3].index
            ]
        if "-x" in options:
            documents = [[job] for job in shown] if ids else [shown]
            return Answer("".join(map(self._document, documents)) if shown or not ids else "", errors, rc)
        if "-u" in options:
            return self._alternate(rows, wide=False)
        return Answer(self._brief(rows).stdout, errors, rc)

    @staticmethod
    def _name(job):
        return job.name if job.index is None else f"{job.name}-{job.index}"

    @staticmethod
    def _letter(job):
        return "C" if job.state == ENDED else LETTERS[job.state]

    def _document(self, jobs):
        return f'<?xml version="1.0"?>\n<Data>{"".join(map(self._xml, jobs))}</Data>\n'

    def _xml(self, job):
        record = {
            "Job_Id": self.identity(job),
            "Job_Name": self._name(job),
            "Job_Owner": f"{USER}@localhost",
            "job_state": self._letter(job),
            "queue": job.spec["queue"],
            "server": HOST,
            "Resource_List": {"nodect": 1, **job.spec["resources"]},
            "Variable_List": "PBS_O_QUEUE=batch,PBS_O_HOST=vm",
        }
        if job.runs:
            record["resources_used"] = {"cput": "00:00:00", "mem": "7400kb", "walltime": "00:00:01"}
            record["exec_host"] = f"{job.host}/0"
        if job.reason:
            record["comment"] = job.reason
        if job.state == ENDED:
            code = job.exit_code if job.signal is None else 256 + job.signal
            codes = {CANCELLED: 271, WALLTIME: -11, MEMORY: -10, NODE: -4}
            record["exit_status"] = codes.get(job.ending, code)
        return f"<Job>{_elements(record)}</Job>"

    @command
    def qselect(self, call):
        options, _ = call.options("a:A:ec:h:l:N:p:q:r:s:u:")
        wanted = options.get("-N")
        jobs = [job for job in self.store.jobs() if wanted in (None, self._name(job))]
        return Answer("".join(f"{self.identity(job)}\n" for job in jobs))

    @command
    def qdel(self, call):
        _, ids = call.options("aW:m:pt:")
        known, errors, rc = self._arrays(self.store.jobs()), [], 0
        for text in ids:
            try:
                jobs = self._chosen(text, known)
            except Refusal as refusal:
                errors.append(f"qdel: {refusal.answer.stderr}")
                rc = 1
                continue
            if not jobs:
                errors.append(f"qdel: Unknown Job Id Error {text}\n")
                rc = 153
            if len(jobs) == 1 and jobs[0].state == ENDED:
                words = "Request invalid for state of job MSG=invalid state for job - COMPLETE"
                errors.append(f"qdel: {words} {text}\n")
                rc = 170
            for job in jobs:
                self.store.cancel(job)
        return Answer("", "".join(errors), rc)


def _elements(record):
    return "".join(
        f"<{name}>{_elements(value) if isinstance(value, dict) else _escaped(value)}</{name}>"
        for name, value in record.items()
    )


def _escaped(value):
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
