"""What submission listens on and takes. Settings import it, so nothing of Django is used here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Configuration:
    """`starttls` and `tls`: host and port to listen on; None: not. `max_bytes`: of a mail."""

    starttls: tuple[str, int] | None
    tls: tuple[str, int] | None
    certificate: Path
    key: Path
    max_bytes: int
    hostname: str
