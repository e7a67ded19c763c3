"""Tiny: the smallest scheduler that there can be, for the tests of the engine and of the batch template."""

from fakes.engine import ENDED, Answer, Dialect, Refusal, command


class Tiny(Dialect):
    """``tsub [-N NAME] [-a SIZE] [-w SECONDS] [-m MB] FILE`` prints ``ID``; ``tstat [-N NAME] [ID ...]``
    prints ``ID|NAME|state|ending|exit|signal|host|reason`` a task; ``tdel``, ``thold``, ``trls ID ...``. A
    task of an array is ``ID.INDEX`` from 0.
    """

    submits = ("tsub",)
    asks = ("tstat",)
    cancels = ("tdel",)
    settings = {"array_max": 1000, "start_delay": 0.0}  # noqa: RUF012 - read only

    @command
    def tsub(self, call):
        options, files = call.options("N:a:w:m:q:")
        if options.get("-q", "all") != "all":
            raise Refusal(f"tsub: there is no queue {options['-q']}", 3)
        size = int(options["-a"]) if "-a" in options else None
        if size is not None and not 1 < size <= self.store["array_max"]:
            raise Refusal(f"tsub: arrays have 2 to {self.store['array_max']} elements", 2)
        walltime = float(options["-w"]) if "-w" in options else None
        number = self.store.submit(
            call.read(files[0]) if files else call.stdin,
            indices=None if size is None else range(size),
            name=options.get("-N", "tiny"),
            cwd=call.cwd,
            walltime=walltime,
            memory=options.get("-m"),
        )
        return Answer(f"{number}\n")

    @command
    def tstat(self, call):
        options, ids = call.options("N:")
        jobs = self.store.jobs(name=options.get("-N"))
        wanted = set(ids)
        lines = [self._line(job) for job in jobs if not ids or {str(job.number), name(job)} & wanted]
        return Answer("".join(lines))

    @command
    def tdel(self, call):
        for job in self._chosen(call.args):
            self.store.cancel(job)
        return Answer()

    @command
    def thold(self, call):
        for job in self._chosen(call.args):
            self.store.hold(job)
        return Answer()

    @command
    def trls(self, call):
        for job in self._chosen(call.args):
            self.store.release(job)
        return Answer()

    def _chosen(self, ids):
        return [job for job in self.store.jobs() if {str(job.number), name(job)} & set(ids)]

    def _line(self, job):
        ended = (job.ending, job.exit_code, job.signal) if job.state == ENDED else ("", "", "")
        fields = (name(job), job.name, job.state, *ended, job.host, job.reason)
        return "|".join("" if field is None else str(field) for field in fields) + "\n"

    def identity(self, job):
        return name(job)

    def environment(self, job):
        return {"TINY_JOB": name(job), "TINY_INDEX": str(job.index or 0)}


def name(job):
    """The id of a task."""
    return str(job.number) if job.index is None else f"{job.number}.{job.index}"
