"""Plain addresses are read without mail-parser, and as it reads them."""

from hypothesis import example, given
from hypothesis import strategies as st
from mailparser.utils import get_addresses

from mailbox.mime import header_fields

ATOMS = st.text("ab1-_Z", min_size=1, max_size=4)
LOCAL, DOMAIN = st.lists(ATOMS, min_size=1).map(".".join), st.lists(ATOMS, min_size=2).map(".".join)
ADDRESSES = st.builds("{}@{}".format, LOCAL, DOMAIN)
NAMED = st.builds("{} <{}>".format, st.lists(ATOMS, min_size=1).map(" ".join), ADDRESSES)
LINES = st.one_of(ADDRESSES, NAMED)


def by_mail_parser(line: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    defects: list[object] = []
    found = get_addresses(line, defects=defects, decode_names=True)
    return tuple(("" if name == address else name, address) for name, address in found if address), not defects


@given(LINES)
@example("Ann Example <ann@example.com>")
@example("ann@example.com")
def test_a_plain_address_is_read_as_mail_parser_reads_it(line: str) -> None:
    assert header_fields._PLAIN_ADDRESS.fullmatch(line)
    assert header_fields._read_addresses(line) == by_mail_parser(line)


@given(LINES, st.integers(0, 40), st.sampled_from(' .,;:<>()"\\@=?\t\u00e9'))
def test_one_that_is_not_plain_is_left_to_it(line: str, place: int, odd: str) -> None:
    line = line[:place] + odd + line[place:]
    assert header_fields._read_addresses(line) == by_mail_parser(line)
