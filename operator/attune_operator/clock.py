"""What time it is for schedules and TunedModels.

It is the machine's time, but in tests: there, `ATTUNE_CLOCK_CONFIG_MAP` names a ConfigMap in the operator's namespace
whose key `offsetSeconds` is added to it. Runs go by the machine's time always.
"""

from datetime import UTC, datetime, timedelta

from attune_operator.cluster.client import Kube
from attune_operator.cluster.objects import config_map

LOOK_SECONDS = 1.0


class Clock:
    """A clock that tests can move."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC) + self._offset

    async def read(self, client: Kube, namespace: str, name: str) -> bool:
        """Reads the ConfigMap.

        Returns:
            Whether the clock was moved: everything that waits for a time must be looked at again.
        """
        found = await config_map(client, namespace, name)
        text = (found or {}).get("data", {}).get("offsetSeconds", "0")
        before, self._offset = self._offset, timedelta(seconds=float(text))
        return self._offset != before
