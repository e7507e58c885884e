"""Names of charsets, Japanese beyond the standard's rows, and 8-bit text that names no charset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbox.mime import charsets
from mailbox.mime import message as mime_message
from mailbox.mime.charsets.labels import codec_for
from tests.mailbox.mime.mime_messages import HEAD, multipart

# The names of the WHATWG Encoding Standard that Python does not know by itself, or reads in a smaller set.
WHATWG = {
    "unicode11utf8": "utf-8", "x-unicode20utf8": "utf-8", "csibm866": "cp866", "866": "cp866", "l2": "iso8859-2",
    "csisolatin3": "iso8859-3", "iso-ir-144": "iso8859-5", "asmo-708": "iso8859-6", "csiso88596i": "iso8859-6",
    "sun_eu_greek": "iso8859-7", "visual": "iso8859-8", "logical": "iso8859-8", "csisolatin9": "iso8859-15",
    "koi": "koi8-r", "koi8-ru": "koi8-u", "x-mac-roman": "mac-roman", "dos-874": "cp874", "tis-620": "cp874",
    "ansi_x3.4-1968": "utf-8", "iso-8859-1": "cp1252", "x-cp1252": "cp1252", "iso-8859-9": "cp1254",
    "x-mac-ukrainian": "mac-cyrillic", "gb2312": "gb18030", "x-gbk": "gb18030", "big5": "big5hkscs",
    "x-x-big5": "big5hkscs", "cseucpkdfmtjapanese": "euc-jp", "csiso2022jp": "iso-2022-jp", "ms_kanji": "cp932",
    "windows-31j": "cp932", "ks_c_5601-1989": "cp949", "windows-949": "cp949", "unicodefffe": "utf-16-be",
    "iso-10646-ucs-2": "utf-16",
}  # fmt: skip


@pytest.mark.parametrize(("label", "codec"), WHATWG.items())
def test_labels_are_those_of_the_encoding_standard(label: str, codec: str) -> None:
    assert codec_for(label) == codec


# Other names of the same encodings in Java and PHP.
ELSEWHERE = {
    "x-MS950-HKSCS": "big5hkscs", "x-Big5-HKSCS-2001": "big5hkscs", "x-Big5-Solaris": "big5hkscs",
    "x-MS932_0213": "cp932", "x-SJIS_0213": "cp932", "SJIS-2004": "cp932", "SJIS-Mobile#DOCOMO": "cp932",
    "x-IBM942C": "cp932", "JIS_X0201": "cp932", "EUC-JP-2004": "euc-jp", "ISO-2022-JP-MOBILE#KDDI": "iso-2022-jp",
    "x-IBM970": "cp949", "CESU-8": "utf-8", "UTF-8-Mobile#SOFTBANK": "utf-8", "UCS-2BE": "utf-16-be",
    "UCS-2LE": "utf-16-le", "x-UTF-16LE-BOM": "utf-16-le", "UCS-4BE": "utf-32-be", "X-UTF-32LE-BOM": "utf-32-le",
    "PC-Multilingual-850+euro": "cp858", "x-unicode-2-0-utf-7": "utf-7",
    "x-MacRomania": "mac_romanian", "x-mswin-936": "gb18030", "x-PCK": "cp932",
}  # fmt: skip


@pytest.mark.parametrize(("label", "codec"), ELSEWHERE.items())
def test_labels_are_also_those_of_other_languages(label: str, codec: str) -> None:
    assert codec_for(label) == codec


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [
        ("gbk", "价格 ".encode("gbk") + b"\x80 5", "价格 € 5"),
        ("gb2312", b"\x80 5", "€ 5"),
        ("big5", b"\xa3\xe1 5", "€ 5"),
        ("big5", "香港".encode("big5") + b"\xc6\xcf", "香港に"),
        ("big5", "香港發票".encode("big5") + b"\xa3\xe1\xff", "香港發票€\ufffd"),
        ("gbk", "发票请查收".encode("gbk") + b"\x80\xff", "发票请查收€\ufffd"),
    ],
)
def test_chinese_has_the_characters_that_the_standard_has_and_python_has_not(
    label: str, octets: bytes, text: str
) -> None:
    assert charsets.decode_text(octets, label)[0] == text


def test_an_emoji_alone_shows_that_it_is_utf8() -> None:
    assert charsets.decode_text("👍".encode() + b"\xf0\x9f", "utf-8")[0] == "👍\ufffd"


@pytest.mark.parametrize("text", ["Grüße 発", "Привет", "障害", "Angebot für März, fällig am 3. Mä"])
def test_utf8_that_was_cut_within_a_letter_is_read_to_there(text: str) -> None:
    for label in ("", "us-ascii", "utf-8"):
        assert charsets.decode_text(text.encode()[:-1], label) == (f"{text[:-1]}\ufffd", False)


@pytest.mark.parametrize(
    ("label", "first", "second"),
    [
        ("utf-8", "utf-8", "cp1252"),
        ("us-ascii", "utf-8", "cp1252"),
        ("", "utf-8", "cp1252"),
        ("iso-8859-1", "cp1252", "utf-8"),
        ("iso-8859-2", "iso8859-2", "utf-8"),
    ],
)
def test_a_footer_in_another_charset_is_read_beside_the_mail(label: str, first: str, second: str) -> None:
    """Lists and gateways append it as it is."""
    mail, footer = "Grüße an alle Schüler,\nöffnen Sie bitte.\n", "--\nListe für Prüfungen"
    said, is_true = charsets.decode_text(mail.encode(first) + footer.encode(second), label)
    assert said == mail + footer and not is_true


@pytest.mark.parametrize("codec", ["gbk", "cp932", "cp949"])
def test_lines_of_another_charset_that_look_like_utf8_by_chance_change_nothing(codec: str) -> None:
    text = {"gbk": "发票请查收谢谢", "cp932": "障害のお知らせです", "cp949": "회의 안내입니다"}[codec]
    octets = b"\n".join((text.encode(codec), b"\xc3\xbc", text.encode(codec)))
    assert charsets.decode_text(octets, "utf-8")[0].split("\n")[0] == text


@pytest.mark.parametrize("codec", ["gbk", "big5", "cp949", "cp932", "euc_jp", "cp1251", "koi8-r", "cp1253"])
def test_what_is_no_utf8_at_all_is_not_taken_for_damaged_utf8(codec: str) -> None:
    text = {
        "gbk": "发票请查收谢谢", "big5": "發票請查收謝謝", "cp949": "회의 안내입니다", "cp932": "障害のお知らせです",
        "euc_jp": "障害のお知らせです", "cp1253": "Καλημέρα σας",
    }.get(codec, "Привет из Москвы")  # fmt: skip
    for label in ("utf-8", "iso-8859-15"):
        assert "\ufffd" not in charsets.decode_text(text.encode(codec), label)[0]
    assert charsets.decode_text(text.encode(codec), "utf-8")[0] == text


@pytest.mark.parametrize("label", ["zlib", "unicode_escape", "idna", "punycode", "rot13", "", "x", "nonsense", "99999"])
def test_what_is_no_charset_has_no_codec(label: str) -> None:
    assert codec_for(label) is None


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [
        ("iso-2022-jp", b"\x1b$B-j;3ED\x1b(B x", "㈱山田 x"),
        ("iso-2022-jp", b'\x1b$B-!-"-#', "①②③"),
        ("iso-2022-jp", b"\x1b$By!\x1b(B x", "纊 x"),
        ("iso-2022-jp", b"\x1b(I1\x1b(B", "ｱ"),
        ("iso-2022-jp", b"\x1b$B;3~~ED\x1b(B ok", "山\ufffd田 ok"),
        ("iso-2022-jp", b"\x1b$B;3\x7f\x7f\x7fED", "山\ufffd\ufffd\ufffd田"),
        ("iso-2022-jp", b"\x1b$B;3 \n\xffED", "山 \n\ufffd田"),
        ("euc-jp", b"\xad\xea\xbb\xb3\xfc\xe2", "㈱山髙"),
        ("euc-jp", b"\xbb\xb3\xff\xc5\xc4 ok", "山\ufffd田 ok"),
    ],
)
def test_japanese_is_read_with_the_rows_of_nec_and_ibm_and_one_odd_letter_spoils_no_other(
    label: str, octets: bytes, text: str
) -> None:
    assert charsets.decode_text(octets, label)[0] == text


PIECES = st.sampled_from(
    [b"\x1b$B", b"\x1b(B", b"\x1b(I", b"\x1b$(D", b"\x1b.A", b"\x1b", b";3", b"\x7f\x7f", b"\n ", b"\x8f", b"\x8e"]
)


@given(pieces=st.lists(st.one_of(PIECES, st.binary(max_size=3)), max_size=12))
def test_no_octets_of_japanese_raise(pieces: list[bytes]) -> None:
    for label in ("iso-2022-jp", "euc-jp", "shift_jis"):
        charsets.decode_text(b"".join(pieces), label)[0].encode()


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Größe", "cp1252"),
        ("naïve café, déjà vu", "cp1252"),
        ("Привет из Москвы", "cp1251"),
        ("会議のお知らせ", "cp932"),
        ("회의 안내", "cp949"),
        ("Θεσσαλονίκη", "cp1253"),
        ("Отчет", "cp1251"),
        ("Счёт за март", "koi8-r"),
        ("Надсилаю рахунок", "koi8-u"),
        ("Привет из Москвы", "iso8859-5"),
        ("Договор", "cp866"),
        ("שלום לכולם", "cp1255"),
        ("مرحبا بالعالم", "cp1256"),
        ("السلام عليكم", "iso8859-6"),
        ("สวัสดีครับ", "cp874"),
        ("Zażółć gęślą jaźń", "iso8859-2"),
        ("Příliš žluťoučký kůň", "cp1250"),
        ("İstanbul şehri", "cp1254"),
        ("請求書", "euc_jp"),
        ("発注の件", "cp932"),
        ("報價單", "big5"),
        ("会议通知", "gbk"),
        ("견적서", "euc_kr"),
        ("à", "cp1252"),
        ("Größe" + "x" * 3000, "cp1252"),
    ],
)
def test_eight_bit_text_of_no_charset_is_read_as_it_looks(text: str, codec: str) -> None:
    assert charsets.decode_text(text.encode(codec))[0] == text


def test_a_file_name_in_eight_bit_text_is_read_in_the_charset_of_the_body() -> None:
    parsed = mime_message.parse(
        multipart(
            b"Content-Type: text/plain; charset=gb2312\r\n\r\n" + "你好".encode("gb2312"),
            b'Content-Type: application/pdf; name="' + "报告".encode("gb2312") + b'.pdf"\r\n\r\nx',
        )
    )
    assert parsed.attachments[0].filename == "报告.pdf"
    assert "EightBitHeaderDefect" in parsed.defects


def test_raw_utf8_in_a_header_is_no_defect() -> None:
    assert mime_message.parse(HEAD.replace(b"Subject: s", "Subject: Grüße".encode()) + b"\r\nx").defects == ()


@pytest.mark.parametrize("codec", ["utf-8", "shift_jis", "gb18030", "euc_kr", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", range(5))
def test_a_text_that_is_cut_is_cut_between_its_characters(codec: str, before: int) -> None:
    octets = ("x" * before + "한日本\n" * 2000).encode(codec, "ignore")
    whole = charsets.cut(octets, 10_001)
    assert 9_000 < len(whole) <= 10_001 and octets.startswith(whole)
    text, is_true = charsets.decode_text(whole, codec)
    assert is_true and "\ufffd" not in text


def test_utf8_without_line_ends_is_cut_at_a_whole_character() -> None:
    for most in range(3001, 3008):
        text, is_true = charsets.decode_text(charsets.cut(("日é𒀀" * 1000).encode(), most), "utf-8")
        assert is_true and text[-1] in "日é𒀀"


def test_a_text_longer_than_what_is_shown_has_no_defect_but_that_it_is_cut() -> None:
    raw = HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "日本語".encode() * 1_000_000
    assert mime_message.parse(raw).defects == ("BodyCut",)
