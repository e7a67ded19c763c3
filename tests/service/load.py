"""Many simulated workers against a service in a process of its own: ``load.py [WORKERS]``.

It prints how long after a step's beginning the workers heard of it, how long the steps took, and the memory
of the service.
"""

import asyncio
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from service.bench import wish  # noqa: E402 - its folder has to be on the path
from service.scale_plan import measured  # noqa: E402
from service.test_service_restart import Killable  # noqa: E402


class Simulated:
    """A worker on one connection that is kept open."""

    def __init__(self, port: int, number: int, token: str) -> None:
        self.number = number
        self.heard: list[tuple[int, float]] = []
        self.counted = 0
        self._port = port
        self._head = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n"

    async def live(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        after = 0
        while True:
            work = await self._ask(reader, writer, "GET", f"/worker/work?after={after}&wait=50", b"")
            if work["kind"] == "end":
                break
            if work["kind"] == "work":
                self.heard.append((work["serial"], time.time()))
                body = measured(self.number, work["serial"], work["parameters"])
                path = f"/worker/results/{work['serial']}?sha256={hashlib.sha256(body).hexdigest()}"
                self.counted += (await self._ask(reader, writer, "PUT", path, body))["status"] == "counted"
                after = work["serial"]
        writer.close()

    async def _ask(self, reader: Any, writer: Any, method: str, path: str, body: bytes) -> Any:
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        size = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return json.loads(await reader.readexactly(size))


async def crew(service: Killable, tokens: dict[str, str]) -> list[Simulated]:
    workers = [Simulated(service.port, int(number), token) for number, token in tokens.items()]
    await asyncio.gather(*(one.live() for one in workers))
    return workers


def main(number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        service = Killable(Path(folder), os.environ.get("CAF_POSTGRESQL_URL", ""))
        service.start()
        try:
            ada, robot = service.patient(service.ada), service.patient(service.robot)
            settings = {"start": 0.1, "accuracy": 0.001}
            calibration = ada.post("/calibrations", wish(workers=number, settings=settings), 201)["id"]
            tokens = robot.post(f"/agent/{calibration}/tokens", {"workers": list(range(number))})["tokens"]
            begin = time.monotonic()
            workers = asyncio.run(crew(service, tokens))
            seconds = time.monotonic() - begin
            told = ada.get(f"/calibrations/{calibration}")
            process = psutil.Process(service.pid)
            memory, cpu = process.memory_info().rss / 1e6, sum(process.cpu_times()[:2])
        finally:
            service.close()
    steps = len(told["steps"])
    began = {one["serial"]: one["began"] for one in told["steps"]}
    delays = sorted(when - began[serial] for one in workers for serial, when in one.heard if serial > 1)
    assert told["state"] == "finished", told["message"]
    assert sum(one.counted for one in workers) == steps * number
    print(f"{number} workers, {steps} steps in {seconds:.1f} s: {steps / seconds * 60:.0f} steps a minute")
    median, last = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    print(f"heard of a step after {median:.3f} s (median), {last:.3f} s (99 %)")
    print(f"memory of the service: {memory:.0f} MB")
    print(f"processor: {cpu / steps / number * 1e3:.2f} ms a worker and step, its beginning included")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
