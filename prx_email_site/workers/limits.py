"""The time limits of the supervisor. All derive from one setting, so that tests can shorten them together."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class SupervisorLimits:
    """Time limits in seconds."""

    silent: float = 45.0  # a cluster that is silent for longer is ended
    stop: float = 930.0  # the longest drain

    @classmethod
    def from_settings(cls) -> SupervisorLimits:
        """The limits by PRX_EMAIL_CLUSTER_SILENT_SECONDS and the time-out of tasks."""
        # A task may use its whole time-out; 30 s are for django-q2 to end.
        return cls(float(settings.CLUSTER_SILENT_SECONDS), settings.TASK_TIMEOUT_SECONDS + 30.0)

    @property
    def pulse_every(self) -> float:
        """How often the pulse is sent through the queue."""
        return self.silent / 9

    @property
    def pulse_lost_after(self) -> float:
        """When a pulse that has not come back is taken for lost, and another one sent."""
        return self.silent / 3

    @property
    def stopped(self) -> float:
        """How long a process may be stopped (SIGSTOP) before it is killed."""
        return self.silent / 3

    @property
    def own_sleep(self) -> float:
        """A watcher that did not run for this time itself (a frozen machine, a paused container) starts its
        observation again."""
        return self.silent / 9
