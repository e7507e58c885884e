"""Decodes EUC-TW and ISO-2022-CN (RFC 1922), which Python's codecs lack. Pure, linear in time for any bytes.

Both write Taiwan's characters by CNS 11643. Its planes 1 and 2 hold the characters of Big5 in nearly the same order, so
each is decoded by the Big5 codec through a table of ranges. Characters of the other planes are rare and become U+FFFD.
ISO-2022-CN also writes mainland China's GB 2312, which Python knows.
"""

from __future__ import annotations

import io
import re
from functools import cache
from itertools import islice

from mailbox.mime.charsets.japanese import MAX_PIECES

_SIDE = 94  # rows of a plane, and cells of a row
_BIG5_ROW = 157
# Ranges that are in the same order in both: position in the plane, position in Big5, number of characters.
_RANGES = {
    1: (
        "0:0:5 6:6:15 21:23:2 24:22:1 29:29:44 73:74:1 74:73:1 75:75:22 98:98:1 100:100:27 127:128:1 128:127:1 "
        "129:129:19 148:149:1 149:148:1 150:150:4 155:21:1 156:158:2 158:158:61 219:13968:4 223:13967:1 224:13951:3 "
        "227:227:7 282:234:29 312:264:1 314:266:142 470:5872:30 571:5905:1 578:5908:1 583:5909:1 3290:471:1412 "
        "4702:1884:424 5126:1883:1 5127:2308:1876 7003:4571:1 7004:4184:387 7391:4572:525 7916:5286:1 7917:5097:105 "
        "8023:5203:83 8106:5287:84 8190:5517:1 8191:5371:54 8245:5426:1 8246:5425:1 8247:5427:90 8337:5518:354"
    ),
    2: (
        "0:6280:10 10:6291:33 43:6372:1 44:6324:48 92:6373:46 138:6586:1 139:6419:167 306:6587:1840 2146:9074:1 "
        "2147:8428:108 2255:8537:537 2792:8427:1 2793:9075:100 2893:8536:1 2894:9175:399 3293:9575:1637 4930:11761:1 "
        "4931:11212:146 5077:11899:1 5078:11358:287 5365:12508:1 5366:11645:116 5482:11762:137 5619:11900:104 "
        "5723:12425:1 5724:12004:222 5946:12227:198 6144:12426:82 6226:12509:86 6312:12226:1 6313:12595:8 "
        "6321:12604:153 6474:12758:56 6530:13114:1 6531:12814:113 6644:12603:1 6645:12927:142 6787:12757:1 "
        "6788:13069:45 6833:13115:71 6904:13380:1 6905:13186:194 7099:13381:490 7589:13914:1 7590:13871:43 "
        "7633:13915:1 7634:13917:11 7645:13916:1 7646:13928:4"
    ),
}
_CODECS = ("cp950", "big5hkscs")
_EUC = re.compile(rb"[\x00-\x7f]++|\x8e([\xa1-\xb0])([\xa1-\xfe]{2})|([\xa1-\xfe]{2})|.", re.S)
# An escape of ISO 2022 that says which set SO, SS2 or SS3 means; SO and SI; SS2 or SS3 with its two bytes; line ends,
# which end SO; the text between.
_CN = re.compile(
    rb"\x1b\$([)*+])([A-Z])|([\x0e\x0f])|\x1b([NO])([\x21-\x7e]{2})|([\r\n]++)|([^\x1b\x0e\x0f\r\n]++)|.", re.S
)
_PAIR = re.compile(rb"([\x21-\x7e]{2})|[\x00-\x20]++|.", re.S)
_PLANES = {b"G": 1, b"H": 2}
_GB_2312 = 0
_UNKNOWN_SET = -1
_UNKNOWN = "\ufffd"


def decode_euc_tw(octets: bytes) -> str:
    """Decode EUC-TW, with U+FFFD for invalid bytes and unknown characters."""
    text = io.StringIO(newline="")  # a list of the pieces would take many times the memory
    for found in islice(_EUC.finditer(octets), MAX_PIECES):
        if found[1]:
            text.write(_letter(found[1][0] - 0xA0, found[2]))
        else:
            text.write(_letter(1, found[3]) if found[3] else _plain(found[0]))
    return text.getvalue()


def decode_iso_2022_cn(octets: bytes) -> str:
    """Decode ISO-2022-CN and ISO-2022-CN-EXT, with U+FFFD for invalid bytes and unknown characters."""
    text = io.StringIO(newline="")
    sets = {b")": _UNKNOWN_SET, b"*": _UNKNOWN_SET, b"+": _UNKNOWN_SET}
    is_out = False
    for found in islice(_CN.finditer(octets), MAX_PIECES):
        if found[1]:
            sets[found[1]] = _GB_2312 if found[2] == b"A" else _PLANES.get(found[2], _UNKNOWN_SET)
        elif found[3]:
            is_out = found[3] == b"\x0e"
        elif found[4]:
            text.write(_letter(sets[b"*" if found[4] == b"N" else b"+"], found[5]))
        elif found[7] and is_out:
            for pair in islice(_PAIR.finditer(found[7]), MAX_PIECES):
                text.write(_letter(sets[b")"], pair[1]) if pair[1] else _plain(pair[0]))
        else:
            is_out = is_out and not found[6]
            text.write(_plain(found[0]))
    return text.getvalue()


def _plain(octets: bytes) -> str:
    return octets.decode("ascii", "replace") if len(octets) > 1 or octets.isascii() else _UNKNOWN


@cache
def _letter(plane: int, pair: bytes) -> str:
    """The character at two bytes, whose highest bits do not count. plane: of CNS 11643, or _GB_2312."""
    if plane == _GB_2312:
        return bytes(each | 0x80 for each in pair).decode("gb18030", "replace")[:1]
    if plane not in _RANGES:
        return _UNKNOWN
    return _plane(plane).get(((pair[0] & 0x7F) - 0x21) * _SIDE + (pair[1] & 0x7F) - 0x21, _UNKNOWN)


@cache
def _plane(number: int) -> dict[int, str]:
    """Position -> character."""
    found: dict[int, str] = {}
    for each in _RANGES[number].split():
        first, in_big5, length = map(int, each.split(":"))
        found |= {first + at: _of_big5(in_big5 + at) for at in range(length)}
    return found


def _of_big5(position: int) -> str:
    row, cell = divmod(position, _BIG5_ROW)
    octets = bytes((row + 0xA1, cell + (0x40 if cell < 63 else 0x62)))
    for codec in _CODECS:
        try:
            return octets.decode(codec)
        except UnicodeDecodeError:
            continue
    return _UNKNOWN
