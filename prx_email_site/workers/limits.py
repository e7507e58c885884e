"""How long what may be silent. All follow from one setting, so that tests shorten all of them together."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class SupervisorLimits:
    """Seconds."""

    silent: float = 45.0  # then the cluster is ended
    stop: float = 930.0  # of a drain

    @classmethod
    def from_settings(cls) -> SupervisorLimits:
        # A task may rightly take its whole time-out; the rest is for django-q2's own end.
        return cls(float(settings.CLUSTER_SILENT_SECONDS), settings.TASK_TIMEOUT_SECONDS + 30.0)

    @property
    def pulse_every(self) -> float:
        return self.silent / 9

    @property
    def pulse_lost_after(self) -> float:
        return self.silent / 3

    @property
    def stopped(self) -> float:
        """How long a process may be stopped by a signal before it is killed."""
        return self.silent / 3

    @property
    def own_sleep(self) -> float:
        """A watcher that was itself away for so long (a frozen machine, a paused container) has seen nothing, and
        begins anew."""
        return self.silent / 9
