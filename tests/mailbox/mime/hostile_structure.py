"""Messages built to cost time and memory, and what reading one costs a parser process: a program, prints JSON.

usage: python -m tests.mailbox.mime.hostile_structure SIZE [NAME ...]
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mailbox.parsing.parse_job import ParseJob, read

MIXED = b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary="


def short_fields(size: int) -> bytes:
    return b"Subject: s\r\n" + b"a: b\r\n" * (size // 6) + b"\r\nbody"


def one_field(size: int) -> bytes:
    return b"From: a@example.com\r\nSubject: " + b"x" * size + b"\r\n\r\nbody"


def folded_field(size: int) -> bytes:
    return b"From: a@example.com\r\nSubject: x" + b"\r\n y" * (size // 4) + b"\r\n\r\nbody"


def junk_header(size: int) -> bytes:
    return b"Subject: s\r\n" + b"junk\r\nFrom: a@example.com\r\n" * (size // 26) + b"\r\nbody"


def nested_parts(size: int) -> bytes:
    """Ten thousand at 1 MB: each as large as its mark."""
    depth = size // 100
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(depth)
    )
    return b"From: a@example.com\r\n" + opened + b"\r\ndeep\r\n"


def nested_alike(size: int) -> bytes:
    """A hundred levels, and lines that look like a boundary of each of them."""
    marks = [b"b" * (level + 1) for level in range(100)]
    opened = b"".join(b"Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s\r\n" % (mark, mark) for mark in marks)
    return b"From: a@example.com\r\n" + opened + b"\r\n" + (b"--" + b"b" * 100 + b"x\r\n") * (size // 105)


def flat_parts(size: int) -> bytes:
    """100,000 at 4 MB."""
    return MIXED + b"cut\r\n\r\n" + b"--cut\r\nContent-Type: image/png\r\n\r\nx\r\n" * (size // 39) + b"--cut--\r\n"


def bare_parts(size: int) -> bytes:
    return MIXED + b"c\r\n\r\n" + b"--c\r\n\r\n" * (size // 7)


def part_headers(size: int) -> bytes:
    """Thousands of parts with thousands of fields each."""
    part = b"--cut\r\n" + b"content-a: b\r\n" * 400 + b"\r\nx\r\n"
    return MIXED + b"cut\r\n\r\n" + part * (size // len(part)) + b"--cut--\r\n"


def names_of_no_charset(size: int) -> bytes:
    """Each would be looked at for the charset that it may be in."""
    part = (
        b'--cut\r\nContent-Type: image/png; name="%d\xb7\xa2\xbc\xfe\xc6\xb1\xc7\xeb.png"\r\n\r\n'
        + b"x" * 335
        + b"\r\n"
    )
    return MIXED + b"cut\r\n\r\n" + b"".join(part % number for number in range(size // 400)) + b"--cut--\r\n"


def false_boundaries(size: int) -> bytes:
    return MIXED + b"b\r\n\r\n--b\r\n\r\n" + b"--bx" * (size // 4)


def recipients(size: int) -> bytes:
    """200,000 at 6 MB."""
    names = b", ".join(b"Person <p%d@example.com>" % number for number in range(size // 30))
    return b"From: a@example.com\r\nTo: " + names + b"\r\n\r\nbody"


def folded_recipients(size: int) -> bytes:
    names = b",\r\n\t".join(b"Person <p%d@example.com>" % number for number in range(size // 30))
    return b"From: a@example.com\r\nTo: " + names + b"\r\n\r\nbody"


def base64_with_junk(size: int) -> bytes:
    content = b"QUJD=!\x80*\r\n=" * (size // 11) + b"Q"
    return (
        MIXED
        + b"cut\r\n\r\n--cut\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + content
    )


def empty_lines(size: int) -> bytes:
    return b"From: a@example.com\r\nContent-Type: text/plain; format=flowed\r\n\r\n" + b"\n" * size


def quoted_lines(size: int) -> bytes:
    return b"From: a@example.com\r\nContent-Type: text/plain; format=flowed\r\n\r\n" + b"> \n" * (size // 3)


def uuencoded(size: int) -> bytes:
    return (
        MIXED
        + b"c\r\n\r\n--c\r\nContent-Transfer-Encoding: x-uuencode\r\nContent-Type: a/b\r\n\r\nbegin \n"
        + b"\n" * size
    )


def many_fields_of_recipients(size: int) -> bytes:
    return b"From: a@example.com\r\n" + (b"To: " + b"p@example.com, " * 200 + b"\r\n") * (size // 3000) + b"\r\nbody"


def not_utf8(size: int) -> bytes:
    return b"From: a@example.com\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + (b"a" * 60 + b"\xff") * (
        size // 61
    )


def tags(size: int) -> bytes:
    return b"From: a@example.com\r\nContent-Type: text/html\r\n\r\n" + b"<b>&amp;" * (size // 8)


def marks(size: int) -> bytes:
    """Accents behind one letter, which Unicode's normal form sorts."""
    head = b"From: a@example.com\r\nContent-Type: text/plain; charset=utf-8\r\n\r\na"
    return head + "\u0315\u0300".encode() * (size // 4)


def ligatures(size: int) -> bytes:
    """Each is 18 letters in the index."""
    head = b"From: a@example.com\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    return head + "\ufdfa".encode() * (size // 3)


def carriage_returns(size: int) -> bytes:
    return b"From: a@example.com\r\rbody\r" + b"\r" * size


def encoded_words(size: int) -> bytes:
    return b"From: a@example.com\r\nSubject: " + b"=?utf-8?q?a?= " * (size // 14) + b"\r\n\r\nbody"


MADE: dict[str, Callable[[int], bytes]] = {
    each.__name__: each
    for each in (
        short_fields,
        one_field,
        folded_field,
        junk_header,
        nested_parts,
        nested_alike,
        flat_parts,
        bare_parts,
        part_headers,
        names_of_no_charset,
        false_boundaries,
        recipients,
        folded_recipients,
        base64_with_junk,
        empty_lines,
        quoted_lines,
        uuencoded,
        many_fields_of_recipients,
        not_utf8,
        tags,
        marks,
        ligatures,
        carriage_returns,
        encoded_words,
    )
}


def peak_kilobytes() -> int:
    """Of this program alone: ru_maxrss remembers the parent it was forked from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def cost(raw: bytes) -> dict[str, object]:
    """Seconds of CPU, megabytes beyond the message itself, and what came of it."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM begins anew: making the mail is not meant
    before, started = peak_kilobytes(), time.process_time()
    parsed = read(ParseJob(raw, len(raw), 1, "postgresql")).parsed
    return {
        "seconds": round(time.process_time() - started, 2),
        "megabytes": (peak_kilobytes() - before) // 1000,
        "size": len(raw),
        "defects": list(parsed.defects),
        "attachments": len(parsed.attachments),
    }


def main(size: int, *names: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4_000_000_000, 4_000_000_000))
    print(json.dumps({name: cost(MADE[name](size)) for name in names or MADE}))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
