"""The agent's desk in a service elsewhere: what ``caf agent`` works with."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from caf_service.desk import Crew, Seen
from caf_service.snapshot import State
from caf_service.transport import Address, Transport


class RemoteDesk:
    """An ``AgentDesk`` over HTTP, with a token of role agent or admin; ``wait`` may be called from another
    thread than the rest.

    Args:
        address: The service.
    """

    def __init__(self, address: Address) -> None:
        self._transport = Transport(address)
        self._waiting = Transport(address)
        self._count = 0

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
        self._waiting.close()

    def crews(self) -> Sequence[Crew]:
        """See ``AgentDesk``."""
        return [crew_of(one) for one in self._transport.get("/agent/crews")]

    def wait(self, seconds: float) -> bool:
        """See ``AgentDesk``."""
        told = self._waiting.get("/agent/changes", wait=min(seconds, 60.0), seen=self._count)
        before, self._count = self._count, int(told["count"])
        return self._count != before

    def tokens(self, calibration: int, workers: Sequence[int], *, revoke: bool = True) -> Mapping[int, str]:
        """See ``AgentDesk``."""
        content = {"workers": list(workers), "revoke": revoke}
        told = self._transport.post(f"/agent/{calibration}/tokens", content)
        return {int(worker): token for worker, token in told["tokens"].items()}

    def note(self, calibration: int, job: str) -> None:
        """See ``AgentDesk``."""
        self._transport.post(f"/agent/{calibration}/note", {"job": job})

    def died(self, calibration: int, workers: Mapping[int, str], *, excused: Collection[int] = ()) -> None:
        """See ``AgentDesk``."""
        content = {
            "workers": {str(worker): reason for worker, reason in workers.items()},
            "excused": list(excused),
        }
        self._transport.post(f"/agent/{calibration}/died", content)

    def resubmitted(self, calibration: int, workers: Sequence[int]) -> None:
        """See ``AgentDesk``."""
        self._transport.post(f"/agent/{calibration}/resubmitted", {"workers": list(workers)})

    def broken(self, calibration: int, message: str) -> None:
        """See ``AgentDesk``."""
        self._transport.post(f"/agent/{calibration}/broken", {"message": message})

    def dismissed(self, calibration: int) -> None:
        """See ``AgentDesk``."""
        self._transport.post(f"/agent/{calibration}/dismissed")


def crew_of(told: Mapping[str, Any]) -> Crew:
    """A crew from its JSON."""
    return Crew(
        **{
            **told,
            "state": State(told["state"]),
            "dead": {int(worker): since for worker, since in told["dead"].items()},
            "resubmit": tuple(told["resubmit"]),
            "reported": tuple(told["reported"]),
            "seen": {int(worker): Seen(**one) for worker, one in told["seen"].items()},
        }
    )
