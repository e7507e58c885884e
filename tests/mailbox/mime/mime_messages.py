"""Messages put together for the tests of reading."""

from __future__ import annotations

from mailbox.mime import message as mime_message

HEAD = b"From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: s\r\nMIME-Version: 1.0\r\n"


def multipart(*parts: bytes, subtype: str = "mixed") -> bytes:
    body = b"".join(b"--cut\r\n" + part + b"\r\n" for part in parts)
    return HEAD + f"Content-Type: multipart/{subtype}; boundary=cut\r\n\r\n".encode() + body + b"--cut--\r\n"


def text(charset: str, octets: bytes) -> mime_message.ParsedMessage:
    return mime_message.parse(HEAD + f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + octets)


def field(name: str, value: bytes) -> mime_message.ParsedMessage:
    return mime_message.parse(name.encode() + b": " + value + b"\r\n\r\nbody")
