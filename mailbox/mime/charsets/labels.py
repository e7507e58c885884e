"""Maps charset names, as senders write them, to Python codecs. Pure.

The labels are those of the WHATWG Encoding Standard ("Names and labels"), which replaces some charsets by a superset
(ISO-8859-1 is read as windows-1252), and the spellings of Python, Java, PHP, .NET and iconv.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

# Decoded by modules of this package and not by Python's codecs: see decoding.OWN_DECODERS.
ISO_2022_JP = "iso-2022-jp"
EUC_JP = "euc-jp"
EUC_TW = "euc-tw"
ISO_2022_CN = "iso-2022-cn"
VISCII = "viscii"
WINDOWS_1258 = "windows-1258"

# Codec -> its labels without punctuation and a leading "x", "cs" or "windows", as codec_for() looks them up.
_LABELS = {
    "utf-8": "utf8 unicode11utf8 unicode20utf8 utf8mb3 utf8mb4 utf8mac utf8bom default unknown8bit unknown 8bit 7bit "
    "binary 65001 cp65001 cesu8 utf8mobiledocomo utf8mobilesoftbank utf8mobilekddia utf8mobilekddib "
    "usascii ascii ansi_x341968 iso646us 646 us 20127 isoir6",
    "utf-7": "utf7 unicode11utf7 unicode20utf7 65000",
    "cp858": "pcmultilingual850euro",
    "utf-16": "utf16 unicode unicodebig ucs2 iso10646ucs2 csunicode 1200",
    "utf-16-le": "utf16le unicodelittle unicodefeff 1200le ucs2le utf16lebom",
    "utf-16-be": "utf16be unicodefffe 1201 ucs2be utf16bebom",
    "utf-32": "utf32 ucs4 iso10646ucs4",
    "utf-32-le": "utf32le ucs4le utf32lebom",
    "utf-32-be": "utf32be ucs4be utf32bebom",
    "cp1252": "ansi_x341986 1252 iso88591 88591 iso885911987 isoir100 l1 latin1 isolatin1 cp819 ibm819 819 28591 "
    "western ansi ansi1252 westeuropean",
    "iso8859-2": "iso88592 88592 iso885921987 isoir101 l2 latin2 isolatin2 28592",
    "iso8859-3": "iso88593 88593 iso885931988 isoir109 l3 latin3 isolatin3 28593",
    "iso8859-4": "iso88594 88594 iso885941988 isoir110 l4 latin4 isolatin4 28594",
    "iso8859-5": "iso88595 88595 iso885951988 isoir144 cyrillic isolatincyrillic 28595",
    "iso8859-6": "iso88596 88596 iso885961987 iso88596e iso88596i isoir127 arabic asmo708 ecma114 isolatinarabic 28596",
    "iso8859-7": "iso88597 88597 iso885971987 isoir126 greek greek8 ecma118 elot928 suneugreek isolatingreek 28597",
    "iso8859-8": "iso88598 88598 iso885981988 iso88598e iso88598i isoir138 hebrew visual logical isolatinhebrew 28598 "
    "38598",
    "cp1254": "1254 iso88599 88599 iso885991989 isoir148 l5 latin5 isolatin5 28599 turkish",
    "iso8859-10": "iso885910 885910 isoir157 l6 latin6 isolatin6 iso8859101992",
    "cp874": "874 iso885911 885911 tis620 tis6202533 dos874 thai macthai 10021",
    "iso8859-13": "iso885913 885913 l7 latin7 28603",
    "iso8859-14": "iso885914 885914 l8 latin8 isoceltic",
    "iso8859-15": "iso885915 885915 l9 latin9 28605 isolatin9",
    "iso8859-16": "iso885916 885916 l10 latin10",
    "koi8-r": "koi8r koi koi8 20866",
    "koi8-u": "koi8u koi8ru 21866",
    "mac-roman": "mac macroman macintosh 10000",
    "mac-cyrillic": "maccyrillic macukrainian macukraine 10007 10017",
    "mac_romanian": "macromanian macromania 10010",
    "mac-arabic": "macarabic 10004",
    "mac-croatian": "maccroatian 10082",
    "mac-farsi": "macfarsi",
    "mac-latin2": "maclatin2 macce maccentraleurope macceneastern maccentraleuroman 10029",
    "mac-greek": "macgreek 10006",
    "mac-turkish": "macturkish 10081",
    "mac-iceland": "maciceland macicelandic 10079",
    "gb18030": "gb18030 54936 gb2312 gb231280 chinese isoir58 gbk 936 euccn gb gb2312eucgb isogb231280 macchinesesimp "
    "mac-chinesesimp ms936",
    "hz": "hz hzgb2312 52936",
    "big5hkscs": "big5 big5hkscs big5tw cnbig5 bigfive 950 ms950 big5eten eucbig5 big5hkscs2001 big5hkscs1999 "
    "big5solaris ms950hkscs ms950hkscsxp 950hkscs",
    EUC_TW: "euctw cns11643 cns116431992",
    ISO_2022_CN: "iso2022cn iso2022cnext 50227",
    VISCII: "viscii viscii111",
    WINDOWS_1258: "1258 vietnamese",
    "cp949": "949 ms949 euckr ksc56011987 ksc5601 ksc56011989 isoir149 korean uhc ks c5601 51949 ksx1001 ks_c56011987 "
    "ksc56011992 5601 970",
    "johab": "johab 1361 ms1361",
    "iso2022_kr": "iso2022kr 50225",
    "cp932": "932 ms932 31j shiftjis sjis ms kanji mskanji pck sjiswin sjisopen sjismac shiftjisx0213 943 943c ibm943 "
    "942 942c ms9320213 sjis0213 shiftjis2004 sjis2004 sjismobiledocomo sjismobilekddi sjismobilesoftbank jisx0201",
    ISO_2022_JP: "iso2022jp iso2022jp1 iso2022jp2 iso2022jp3 iso2022jp2004 iso2022jpext iso2022jpms jis jisms jisx0208 "
    "50220 50221 50222 cp50220 cp50221 cp50222 cp50220raw iso2022jpesc jis7 jis8 jisencoding "
    "iso2022jpmobilekddi iso2022jpkddi",
    EUC_JP: "eucjp eucjpms eucjpwin eucpkdfmtjapanese 51932 20932 ujis eucjisx0213 eucjis2004 eucjplinux eucjpopen "
    "eucjp2004",
}
_CODECS = {label.replace("_", ""): codec for codec, labels in _LABELS.items() for label in labels.split()}
# Text codecs of Python that mail does not use, some of them slow, or expanding escapes: treated as unknown.
_NOT_CHARSETS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "palmos"}
_AROUND = " \t\r\n\v\f\0\"'<>()[]=:"
_BEHIND = re.compile(r"[;,(\"'*]|//")  # begins a language (RFC 2231 section 5), an option of iconv ("//IGNORE"), etc.
_PREFIX = re.compile(r"(?:x|cs|windows|win|cp|ibm|ansi|codepage|mswin|dos|oem|pc|ccsid)+(?=\d|[a-z]{2})")
_PAGE = re.compile(r"(?:x|cs|windows|win|cp|ibm|ansi|codepage|mswin|ms|dos|oem|pc|ccsid)*0*(\d{3,5})")


@lru_cache(maxsize=500)
def codec_for(label: str) -> str | None:
    """The codec for text with this charset label; None for an unknown charset."""
    stated = label.strip(_AROUND).lower().removeprefix("charset").strip(_AROUND)
    name = _BEHIND.split(stated, maxsplit=1)[0].strip()
    if " " in name:  # "windows 1252"; "utf-8 and more"
        return codec_for(name.replace(" ", "-")) or codec_for(name.partition(" ")[0])
    key = re.sub(r"[^a-z0-9]", "", name)[:60]
    if not key:
        return None
    for known in (key, key.removeprefix("x"), key.removeprefix("cs"), _PREFIX.sub("", key, count=1)):
        if known in _CODECS:
            return _CODECS[known]
    page = _PAGE.fullmatch(key)
    if page and page[1] in _CODECS:
        return _CODECS[page[1]]
    return _of_python(name) or (_of_python(f"cp{page[1]}") if page else None) or _of_python(key)


def _of_python(name: str) -> str | None:
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    if not getattr(found, "_is_text_encoding", True) or found.name.replace("-", "_") in _NOT_CHARSETS:
        return None
    return _CODECS.get(re.sub(r"[^a-z0-9]", "", found.name), found.name)
