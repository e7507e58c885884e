"""The addresses that submission listens on, and its limits. Settings import it, so it does not use Django."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Configuration:
    """`starttls`, `tls`: host and port to listen on; None: do not listen.

    max_bytes: the largest mail; 0: as the attachment policy makes it.
    """

    starttls: tuple[str, int] | None
    tls: tuple[str, int] | None
    certificate: Path
    key: Path
    max_bytes: int
    hostname: str
