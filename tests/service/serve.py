"""A service in a process of its own, for tests that kill it: ``serve.py DATA PORT DATABASE``."""

import sys
from pathlib import Path

from caf_core.control.stopping import stop_signals
from caf_core.jobs.inbox import Inbox
from caf_service.config import ServiceConfig
from caf_service.limits import Limits
from caf_service.server import Server
from service.bench import ROOT

if __name__ == "__main__":
    data, port, database = sys.argv[1:]
    plans = {"toy": "service.scale_plan:PLAN"}
    # Its workers are simulated: this machine needs no room for them.
    config = ServiceConfig(
        data=Path(data),
        port=int(port),
        database=database,
        plans=plans,
        input_roots=(ROOT,),
        limits=Limits(local_workers=10_000),
    )
    stopped = Inbox[bool]()
    with stop_signals(lambda: stopped.put(True)), Server(config):
        stopped.get()
