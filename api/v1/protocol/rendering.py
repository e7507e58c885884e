"""Responses as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja.renderers import JSONRenderer
from ninja.responses import NinjaJSONEncoder


class Encoder(NinjaJSONEncoder):
    """Encodes what JSON does not know."""

    def default(self, o: Any) -> Any:
        """Write times to the microsecond (RFC 3339). Django cuts them to milliseconds; a program that sends such a time
        back, to say which pause or page it saw, would name another time."""
        return o.isoformat().replace("+00:00", "Z") if isinstance(o, datetime) else super().default(o)


class Renderer(JSONRenderer):
    """Renders each response of the API; times have microseconds."""

    encoder_class = Encoder
