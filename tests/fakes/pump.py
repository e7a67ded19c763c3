"""Executes the jobs of a fake scheduler: starts what waits, ends what must end, writes down what came of it.

There is no daemon to manage: a command that leaves something to do forks a pump if there is none, and the
pump ends when nothing is left. The parent of every job is the pump.
"""

# ruff: noqa: PTH103, PTH104, PTH110, PTH112, PTH120, PTH123, PTH208, PTH211
# pathlib takes longer to import than a command may take to start, and os serves as well.

import contextlib
import fcntl
import json
import os
import select
import shlex
import signal
import time

from fakes.store import (
    CANCELLED,
    ENDED,
    EXIT,
    MEMORY,
    NODE,
    PENDING,
    RUNNING,
    SUSPENDED,
    WALLTIME,
    Store,
)

_AT_ONCE = (MEMORY, NODE)
_OFFSPRING = "offspring"
_NICE = (CANCELLED, WALLTIME, "requeue")


def ensure(dialect, folder):
    """Fork a pump, or wake the one that is there."""
    lock = os.open(f"{folder}/pump.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        wake(folder)
        return
    first = os.fork()
    if first:
        os.close(lock)
        os.waitpid(first, 0)
        return
    # The parent of the pump ends at once, so that nothing that ends the command's tree finds the pump.
    try:
        os.setsid()
        if os.fork() == 0:
            _become_pump(dialect, folder, lock)
    finally:
        os._exit(0)


def wake(folder):
    """Make the pump look, if there is one."""
    try:
        pipe = os.open(f"{folder}/wake", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(pipe, b".")
    except BlockingIOError:
        pass  # it has enough to wake it
    finally:
        os.close(pipe)


def _become_pump(dialect, folder, lock):
    # Descriptors of the command, such as the lock of whoever called it, must not live on in here. Its pipes
    # are let go last: whoever reads them to their end takes all the rest for closed.
    os.dup2(lock, 3)
    os.closerange(4, 1024)
    os.set_inheritable(3, False)
    log = os.open(f"{folder}/pump.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(null)
    try:
        Pump(dialect, folder, 3).work()
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(0)


class Pump:
    """See the module.

    Args:
        dialect: The class of the scheduler's dialect.
        folder: Where the state lies.
        lock: The descriptor that says that there is a pump.
    """

    def __init__(self, dialect, folder, lock):
        self._folder = folder
        self._lock = lock
        self._store = Store(folder)
        self._dialect = dialect(self._store)
        if not os.path.exists(f"{folder}/wake"):
            os.mkfifo(f"{folder}/wake")
        self._wake = os.open(f"{folder}/wake", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def work(self):
        """Work until nothing is left."""
        with self._store.transaction():
            # A pump that was killed took the knowledge of its jobs with it, as a crashed node does.
            for job in self._store.every("state IN ('running', 'suspended')"):
                self._store.change(job, state=ENDED, ending=NODE, ended=time.time())
        while (due := self._turn()) is not None:
            select.select([self._wake], [], [], max(0.0, min(due - time.time(), 60.0)))
            try:
                os.read(self._wake, 1 << 16)
            except BlockingIOError:
                continue

    def _turn(self):
        """Do what can be done now; when to look again, or ``None`` if nothing is left."""
        store = self._store
        with store.transaction():
            self._collect()
            due = [self._start_waiting(), self._move_records()]
            due += [self._pursue(job) for job in store.every("state IN ('running', 'suspended')")]
            if all(when is None for when in due):
                fcntl.flock(self._lock, fcntl.LOCK_UN)  # before the lock of the store: see ``ensure``
                return None
            return min(when for when in due if when is not None)

    # Starting

    def _start_waiting(self):
        store = self._store
        ((working,),) = store.sql("SELECT count(*) FROM jobs WHERE state IN ('running', 'suspended')")
        room, now, delay = store["slots"] - working, time.time(), store["start_delay"]
        ripe = "state = 'pending' AND max(appears, submitted + ?) <= ? AND reason = ''"
        chosen = store.sql(
            f"SELECT number, idx FROM jobs WHERE {ripe} ORDER BY number, idx LIMIT ?",
            delay,
            now,
            max(room, 0),
        )
        for number, idx in chosen:
            (job,) = store.every("number = ? AND idx = ?", number, idx)
            self._start(job)
        if room <= len(chosen):
            ((waiting,),) = store.sql("SELECT count(*) FROM jobs WHERE state = 'pending' AND reason = ''")
            return time.time() + 60.0 if waiting else None  # an end will wake us
        ((due,),) = store.sql(
            "SELECT min(max(appears, submitted + ?)) FROM jobs WHERE state = 'pending' AND reason = ''", delay
        )
        return due

    def _start(self, job):
        spec, store = job.spec, self._store
        script = f"{self._folder}/spool/{job.number}.sh"
        script, shadow = self._shadowed(job, script)
        user = {name: os.environ[name] for name in ("HOME", "USER", "LOGNAME", "SHELL") if name in os.environ}
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", **user, **spec["environment"]}
        env.update(self._dialect.environment(job))
        outputs = [self._dialect.output(job, name) or os.devnull for name in ("stdout", "stderr")]
        pid = os.fork()
        if pid == 0:
            _execute(["/bin/sh", script], spec["cwd"], env, outputs)
        store.change(
            job, state=RUNNING, pid=pid, host=store["host"], runs=job.runs + 1, started=time.time(),
            ended=None, wish=None, kill_at=None, shadow=shadow,
        )  # fmt: skip

    def _shadowed(self, job, script):
        """Let the job write its record into a folder of its own, if records shall be late."""
        late = self._store["records"]
        if not late or late["times"] == 0:
            return script, None
        with open(script, encoding="utf-8") as stream:
            text = stream.read()
        task = next((word for word in shlex.split(text, comments=True) if word.endswith("/task.sh")), None)
        if task is None:
            return script, None
        self._store["records"] = {**late, "times": late["times"] - 1}
        real = os.path.dirname(task)
        shadow = f"{self._folder}/spool/{job.number}.{job.idx}.{job.runs}"
        os.makedirs(f"{shadow}/records")
        for name in os.listdir(real):
            if name != "records":
                os.symlink(f"{real}/{name}", f"{shadow}/{name}")
        # A quoted path, or a bare one.
        for form in (shlex.quote(task), task):
            text = text.replace(form, shlex.quote(f"{shadow}/task.sh"))
        with open(f"{shadow}.sh", "w", encoding="utf-8") as stream:
            stream.write(text)
        plan = {"shadow": shadow, "real": real, "after": late["after"]}
        return f"{shadow}.sh", json.dumps(plan)

    # Ending

    def _pursue(self, job):
        """Signal a job that must end; when to look at it again."""
        store, now = self._store, time.time()
        limit = job.spec["walltime"]
        if job.wish is None and limit is not None and now >= job.started + limit:
            store.change(job, wish=WALLTIME)
        if job.wish in _AT_ONCE:
            _kill_tree(job.pid)
            return now + 60.0
        if job.wish == _OFFSPRING:
            if job.kill_at is None:
                _kill_tree(job.pid, spare_root=True)
                store.change(job, kill_at=now)
            return now + 60.0
        if job.wish in _NICE:
            if job.kill_at is None:
                _signal_job(job.pid, signal.SIGTERM)
                _signal_job(job.pid, signal.SIGCONT)
                store.change(job, kill_at=now + store["kill_wait"])
            elif now >= job.kill_at:
                _kill_tree(job.pid)
                return now + 60.0
            return job.kill_at
        if job.wish in ("stop", "continue"):
            stop = job.wish == "stop"
            _signal_job(job.pid, signal.SIGSTOP if stop else signal.SIGCONT)
            store.change(job, wish=None, state=SUSPENDED if stop else RUNNING)
        return now + 60.0 if limit is None else job.started + limit

    def _collect(self):
        """Write down which jobs have ended, and how."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            _signal_group(pid, signal.SIGKILL)  # what it left behind
            for job in self._store.every("pid = ? AND state IN ('running', 'suspended')", pid):
                self._ended(job, os.waitstatus_to_exitcode(status))

    def _ended(self, job, code):
        store, now = self._store, time.time()
        if job.shadow:
            self._schedule_moves(json.loads(job.shadow), now)
        if job.wish == "requeue":
            store.change(job, state=PENDING, pid=None, wish=None, host="")
            return
        ending = MEMORY if job.wish == _OFFSPRING else job.wish or EXIT
        store.change(
            job, state=ENDED, ending=ending, ended=now, pid=None, wish=None,
            exit_code=code if code >= 0 else None, signal=-code if code < 0 else None,
        )  # fmt: skip

    def _schedule_moves(self, plan, now):
        if plan["after"] is None:
            return
        for name in os.listdir(f"{plan['shadow']}/records"):
            if not name.startswith("."):
                paths = f"{plan['shadow']}/records/{name}", f"{plan['real']}/records/{name}"
                self._store.sql("INSERT INTO moves VALUES (?, ?, ?)", *paths, now + plan["after"])

    def _move_records(self):
        store = self._store
        now = time.time()
        for source, target in store.sql("SELECT source, target FROM moves WHERE due <= ?", now):
            if os.path.isdir(os.path.dirname(target)):
                with open(source, "rb") as stream, open(f"{target}.late", "wb") as copy:
                    copy.write(stream.read())
                os.rename(f"{target}.late", target)
        store.sql("DELETE FROM moves WHERE due <= ?", now)
        ((due,),) = store.sql("SELECT min(due) FROM moves")
        return due


def _execute(argv, cwd, env, outputs):
    """In the child: become the job."""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.chdir(cwd if os.path.isdir(cwd) else "/")
        for number, path in enumerate(outputs, 1):
            try:
                target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            except OSError:
                target = os.open(os.devnull, os.O_WRONLY)  # as most schedulers: the output is lost in silence
            os.dup2(target, number)
        os.execve(argv[0], argv, env)
    finally:
        os._exit(127)


def _signal_job(pid, number):
    """Signal a job that was not waited for: it has its group as soon as it has made its session."""
    while True:
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            time.sleep(0.001)
        else:
            return


def _signal_group(pid, number):
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(pid, number)


def _kill_tree(pid, *, spare_root=False):
    """Kill a job and all that descends from it, as the end of a control group does; or all but its first
    process.
    """
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stream:
                    parents[int(name)] = int(stream.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
    doomed = [pid]
    for one in doomed:  # grows while it is walked
        doomed += [child for child, parent in parents.items() if parent == one]
    for one in doomed[1:] if spare_root else doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    if not spare_root:
        _signal_group(pid, signal.SIGKILL)
