"""Responses as JSON."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja.renderers import JSONRenderer
from ninja.responses import NinjaJSONEncoder

from mailbox.plain_words import escaped_json


class Encoder(NinjaJSONEncoder):
    """Encodes what JSON does not know."""

    def default(self, o: Any) -> Any:
        """Write times to the microsecond (RFC 3339). Django cuts them to milliseconds; a program that sends such a time
        back, to say which pause or page it saw, would name another time."""
        return o.isoformat().replace("+00:00", "Z") if isinstance(o, datetime) else super().default(o)


class Renderer(JSONRenderer):
    """Renders each response of the API in UTF-8 (RFC 8259 8.1); times have microseconds."""

    encoder_class = Encoder

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        """Letters stand as they are: escaped, a text of two million of them was 24 MB. What a terminal obeys is
        escaped, and what UTF-8 cannot encode, half of a character that a caller sent and is told of."""
        return escaped_json(json.dumps(data, cls=self.encoder_class, ensure_ascii=False)).encode()
