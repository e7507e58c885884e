"""What the body of a message is: parts in their order, an HTML part for a text only within one alternative."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailbox.mime import html_text, readable_text
from mailbox.mime import message as mime_message
from mailbox.search import index_terms
from tests.mailbox.mime.mime_messages import HEAD, multipart

PNG = b"\x89PNG\r\n\x1a\n...."
TEXT, HTML = b"Content-Type: text/plain\r\n\r\n", b"Content-Type: text/html\r\n\r\n"


def inner(subtype: str, *parts: bytes, edge: str = "inner") -> bytes:
    """A multipart to stand within another."""
    lines = b"".join(b"--%s\r\n%s\r\n" % (edge.encode(), part) for part in parts)
    return f"Content-Type: multipart/{subtype}; boundary={edge}\r\n\r\n".encode() + lines + f"--{edge}--".encode()


def names(parsed: mime_message.ParsedMessage) -> list[str]:
    return [attachment.filename for attachment in parsed.attachments]


def words(parsed: mime_message.ParsedMessage) -> str:
    return html_text.html_words(parsed.body_html, 1000)


def test_a_footer_in_html_follows_the_text_that_it_does_not_stand_for() -> None:
    parsed = mime_message.parse(multipart(TEXT + b"Pay invoice 12.", HTML + b"<p>To leave the list: here</p>"))
    assert words(parsed) == "Pay invoice 12. To leave the list: here"
    assert parsed.body_text.split() == words(parsed).split()
    assert (parsed.snippet[:15], names(parsed)) == ("Pay invoice 12.", [])


def test_a_banner_in_html_stands_above_both_forms_of_the_mail() -> None:
    mail = inner("alternative", TEXT + b"The plain mail.", HTML + b"<p>The <b>rich</b> mail.</p>")
    parsed = mime_message.parse(multipart(HTML + b"<div>CAUTION</div>", mail))
    assert words(parsed) == "CAUTION The rich mail."
    assert parsed.body_text.split() == ["CAUTION", "The", "plain", "mail."]


def test_texts_around_a_picture_are_read_in_order_and_the_picture_between_them() -> None:
    picture = b"Content-Type: image/png; name=image0.png\r\nContent-Disposition: inline\r\n\r\n" + PNG
    pdf = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: inline\r\n\r\n%PDF-1.4"
    raw = multipart(TEXT + b"First.\r\n", picture, TEXT + b"Decision: yes.\r\n", pdf, TEXT + b"Sent from a phone")
    parsed = mime_message.parse(raw)
    assert parsed.body_text.split() == ["First.", "Decision:", "yes.", "Sent", "from", "a", "phone"]
    first, shown, last = (parsed.body_html.index(word) for word in ("First.", 'src="cid:attachment.0"', "Decision"))
    assert first < shown < last
    assert names(parsed) == ["image0.png", "a.pdf"]
    assert mime_message.shown_images(raw)["attachment.0"] == ("image/png", PNG)


def test_a_picture_below_the_text_makes_no_html_of_a_plain_mail() -> None:
    parsed = mime_message.parse(multipart(TEXT + b"See below.", b"Content-Type: image/png; name=x.png\r\n\r\n" + PNG))
    assert (parsed.body_text, parsed.body_html, names(parsed)) == ("See below.", "", ["x.png"])


def test_a_picture_that_the_html_shows_itself_is_not_shown_twice() -> None:
    logo = b"Content-Type: image/png\r\nContent-ID: <logo>\r\n\r\n" + PNG
    parsed = mime_message.parse(multipart(logo, HTML + b'<img src="cid:logo">x'))
    assert parsed.body_html.count("<img") == 1


def test_within_an_alternative_a_group_of_parts_stands_for_the_text() -> None:
    group = inner("mixed", HTML + b"<p>one</p>", b"Content-Type: image/png\r\n\r\n" + PNG, HTML + b"two", edge="g")
    parsed = mime_message.parse(multipart(TEXT + b"plain", group, subtype="alternative"))
    assert parsed.body_text == "plain"
    assert words(parsed) == "one two"
    assert names(parsed) == ["attachment-1.png"]


def test_no_text_behind_html_within_an_alternative_is_lost() -> None:
    group = inner("mixed", HTML + b"<p>mail</p>", TEXT + b"footer", edge="g")
    parsed = mime_message.parse(multipart(TEXT + b"plain", group, subtype="alternative"))
    assert words(parsed) == "mail footer"


def test_a_rich_text_with_a_name_beside_the_page_is_a_file() -> None:
    file = b"Content-Type: text/richtext; name=notes.rtx\r\nContent-Disposition: inline\r\n\r\nnotes"
    page = multipart(HTML + b"<p>rich</p>", file).removeprefix(HEAD).replace(b"cut", b"page")
    parsed = mime_message.parse(multipart(TEXT + b"plain", page, subtype="alternative"))
    assert (parsed.body_text, [each.filename for each in parsed.attachments]) == ("plain", ["notes.rtx"])


@pytest.mark.parametrize("kind", ["text/x-amp-html", "text/watch-html"])
def test_an_alternative_for_other_programs_is_neither_body_nor_attachment(kind: str) -> None:
    amp = f"Content-Type: {kind}\r\n\r\n<html amp4email>".encode()
    parsed = mime_message.parse(multipart(TEXT + b"plain", amp, HTML + b"<p>rich</p>", subtype="alternative"))
    assert (parsed.body_text, parsed.body_html, parsed.attachments) == ("plain", "<p>rich</p>", ())


def test_the_html_of_a_related_group_is_its_body_wherever_it_stands() -> None:
    logo = b"Content-Type: image/png\r\nContent-ID: <logo>\r\n\r\n" + PNG
    parsed = mime_message.parse(multipart(logo, HTML + b'<img src="cid:logo">mail', subtype="related"))
    assert parsed.body_html == '<img src="cid:logo">mail'


@pytest.mark.parametrize("kind", ["text/markdown", "text/x-log"])
def test_a_text_of_another_kind_is_the_body_where_there_is_no_other(kind: str) -> None:
    parsed = mime_message.parse(HEAD + f"Content-Type: {kind}\r\n\r\n# All well".encode())
    assert (parsed.body_text, parsed.attachments) == ("# All well", ())


def test_a_calendar_is_a_file_even_alone() -> None:
    parsed = mime_message.parse(HEAD + b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR")
    assert (parsed.body_text, names(parsed)) == ("", ["invite.ics"])


FORWARDED = (
    b"Content-Type: message/rfc822\r\n\r\nSubject: The lost offer\r\nFrom: Zoe <zoe@example.net>\r\n"
    b"Content-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\n\r\nquokka\r\n"
    b"--f\r\nContent-Type: application/pdf; name=wombat.pdf\r\n\r\nx\r\n--f--"
)


def found_under(parsed: mime_message.ParsedMessage) -> str:
    files = [attachment.filename for attachment in parsed.attachments]
    indexed = index_terms.words_of(parsed, account_id=1, size=1, has_attachments=False, filenames=files)
    return " ".join(indexed.placed)


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ([inner("alternative", TEXT + b"Hello Ann", HTML + b"<p>Hello Ann, Rebate77</p>")], "rebate77"),
        ([TEXT + b"one", TEXT + b"second piece"], "piece"),
        ([TEXT + b"see below", FORWARDED], "quokka"),
        ([TEXT + b"see below", FORWARDED], "lost"),
        ([TEXT + b"see below", FORWARDED], "wombat"),
        ([TEXT + b"see below", FORWARDED], "zoe"),
        ([TEXT + b"x", *(b"Content-Type: image/png; name=p%d.png\r\n\r\nx" % each for each in range(40))], "p39"),
    ],
)
def test_all_that_a_person_reads_is_indexed(parts: list[bytes], word: str) -> None:
    assert word in found_under(mime_message.parse(multipart(*parts)))


def test_a_word_that_text_and_html_share_is_indexed_once() -> None:
    both = inner("alternative", TEXT + b"Hello Ann", HTML + b"<p>Hello Ann</p>")
    assert readable_text.searched(mime_message.parse(multipart(both))) == "Hello Ann"


def test_html_alone_is_quoted_in_the_lines_of_its_blocks() -> None:
    parsed = mime_message.parse(HEAD + HTML + b"<h1>Offer</h1><p>Dear <b>Bob</b>,<br>it costs\r\n5 &euro;.</p>")
    assert readable_text.readable(parsed) == "Offer\n\nDear Bob,\nit costs 5 €."
    assert readable_text.readable(replace(parsed, body_text="the text")) == "the text"


def test_messages_within_messages_are_read_to_a_bound() -> None:
    raw = b"Subject: innermost\r\n\r\nword9"
    for depth in range(8, 0, -1):
        head = f"Subject: level{depth}\r\nContent-Type: multipart/mixed; boundary=b{depth}\r\n\r\n".encode()
        part = b"\r\n--b%d\r\nContent-Type: message/rfc822\r\n\r\n%s\r\n--b%d--\r\n" % (depth, raw, depth)
        raw = head + part
    parsed = mime_message.parse(raw)
    assert "level4" in parsed.attached_text
    assert "level6" not in parsed.attached_text


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", "message/news", "application/eml"])
def test_a_message_that_is_attached_as_a_file_is_found_by_its_words(kind: str) -> None:
    inner = b"Subject: Zebra\r\n\r\nGiraffe"
    attached = f'Content-Type: {kind}\r\nContent-Disposition: attachment; filename="Mail.EML"\r\n\r\n'.encode()
    found = readable_text.searched(
        mime_message.parse(multipart(b"Content-Type: text/plain\r\n\r\nHello", attached + inner))
    )
    assert "Zebra" in found and "Giraffe" in found
