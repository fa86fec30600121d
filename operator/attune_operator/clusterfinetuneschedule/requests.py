"""What a wave writes into the status of FineTuneSchedules: that their turn has come, and whether their runs wait."""

from dataclasses import dataclass
from typing import Any

from attune_operator import naming
from attune_operator.api.clusterfinetuneschedule import asker
from attune_operator.api.enums import WaveState
from attune_operator.api.finetuneschedule import FineTuneSchedule, FineTuneScheduleStatus, WaveRequest
from attune_operator.cluster import apply, objects
from attune_operator.cluster.client import Kube
from attune_operator.clusterfinetuneschedule.places import HELD
from attune_operator.clusterfinetuneschedule.snapshot import Name
from attune_operator.reporting import about_status
from attune_operator.workqueue import Key

JSON = dict[str, Any]


@dataclass(frozen=True)
class Requests:
    """Writes requests, each into a status that was just read; one that cannot be read is left as it is."""

    client: Kube

    async def ask(self, name: Name, wave: str) -> None:
        """Tells a schedule that its turn has come; it is asked once only for each wave."""
        if (found := await self._read(name)) is None:
            return
        raw, status = found
        asked = status.wave
        if asked is not None and (asked.state in HELD or _asked_already(asked.wave, wave)):
            return
        await self._write(raw, status, WaveRequest(wave=wave, state=WaveState.CLAIMED))

    async def turn(self, name: Name, wave: str, *, paused: bool) -> None:
        """Tells a schedule whether runs of this wave that have not begun wait; one of another wave is left to it."""
        if (found := await self._read(name)) is None:
            return
        raw, status = found
        asked = status.wave
        if asked is not None and asked.wave == wave and asked.state in HELD and asked.paused is not paused:
            await self._write(raw, status, asked.model_copy(update={"paused": paused}))

    async def release(self, schedule: str) -> None:
        """Ends every pause that waves of a ClusterFineTuneSchedule left behind when it went: nobody else would."""
        async for key, raw in objects.everywhere(self.client, naming.SCHEDULES):
            asked = FineTuneSchedule.parse(raw)[0].status.wave
            if asked is not None and asked.paused and asker(asked.wave) == schedule:
                await self.turn(Name(*key), asked.wave, paused=False)

    async def _read(self, name: Name) -> tuple[JSON, FineTuneScheduleStatus] | None:
        raw = await objects.get(self.client, naming.SCHEDULES, Key(name.namespace, name.name))
        if raw is None:
            return None
        schedule, problems = FineTuneSchedule.parse(raw)
        # What cannot be read is missing from what was read, and the next write would take it away.
        return None if about_status(problems) else (raw, schedule.status)

    async def _write(self, raw: JSON, status: FineTuneScheduleStatus, request: WaveRequest) -> None:
        new = status.model_copy(update={"wave": request})
        await apply.write_status(self.client, raw, new.dump(), naming.SCHEDULES)


def _asked_already(last: str, wave: str) -> bool:
    """Whether a schedule was asked by this wave, or by a later one of the same object: then this reader is late."""
    return asker(last) == asker(wave) and last >= wave
