"""Parses the Date field (RFC 5322 sections 3.3 and 4.3), also in the other forms that senders write. Pure.

An ambiguous date is not read: a wrong date would silently sort and thread a mail wrongly. Other forms are first
rewritten into RFC 5322's, which mail-parser parses.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from mailparser.dates import parse_mail_date

from mailbox.mime import charsets

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
    *("november", "december", "sept"),
)
# Months in languages of Europe, Hebrew and Arabic. A name that stands for different months in two of them is left out,
# such as "lip" (July in Polish, June in Croatian) and "listopada" (November and October).
_OTHER_NAMES = (
    "januar jänner janv janvier ene enero gen gennaio janeiro januari oca ocak янв января январь січ січня "
    "ian sty styczeń stycznia led leden ledna sij siječnja tammi tammikuuta jaan saus ιαν ιανουαρίου яну "  # noqa: RUF001
    "ינו ינואר يناير",
    "februar fév févr février febrero febbraio fev fevereiro februari şub şubat фев февр февраля февраль лют лютого "
    "febr lut luty lutego úno únor února velj veljače helmi helmikuuta veebr vas φεβ φεβρουαρίου פבר פברואר فبراير",
    "mär märz mrz mars marzo mrt maart março мар мрт марта март бер березня "  # noqa: RUF001
    "márc marca bře březen března ožu ožujka maalis maaliskuuta märts kov μαρ μαρτίου מרץ مارس",
    "avr avril abr abril aprile nis nisan апр апреля апрель квіт квітня "
    "ápr kwi kwiecień kwietnia dub duben dubna tra travnja huhti huhtikuuta bal απρ απριλίου אפר אפריל أبريل إبريل",
    "mai mayo mag maggio maio mei maj mayıs мая май трав травня "  # noqa: RUF001
    "máj maja kvě květen května svi svibnja touko toukokuuta geg μαι μαΐ μάι μαΐου מאי مايو",
    "juni juin junio giu giugno junho haz haziran июн июня июнь черв червня "
    "jún iun cze czerwiec czerwca kesä kesäkuuta juuni jūn birž ιουν ιούν ιουνίου юни יונ יוני يونيو",  # noqa: RUF001
    "juli juil juillet julio lug luglio julho tem temmuz июл июля июль лип липня "
    "júl iul lipiec lipca heinä heinäkuuta juuli jūl liep ιουλ ιούλ ιουλίου юли יול יולי يوليو",
    "août ago agosto aug augustus augusti ağu ağustos авг августа август серп серпня "
    "avg sie sierpień sierpnia kol kolovoza elo elokuuta rugp αυγ αύγ αυγούστου אוג אוגוסט أغسطس",  # noqa: RUF001
    "septembre septiembre set settembre setembro eyl eylül сен сент сентября сентябрь вер вересня "
    "szept wrz wrzesień września zář září ruj rujna syys syyskuuta rugs σεπ σεπτεμβρίου сеп ספט ספטמבר سبتمبر",
    "okt oktober octobre octubre ott ottobre out outubro eki ekim окт октября октябрь жовт жовтня "
    "paź październik października říj říjen října loka lokakuuta spal οκτ οκτωβρίου אוק אוקטובר أكتوبر",
    "novembre noviembre novembro kas kasım ноя нояб ноября ноябрь лист листопада "  # noqa: RUF001
    "noi marras marraskuuta lapkr νοε νοέ νοεμβρίου ное נוב נובמבר نوفمبر",
    "dez dezember des desember déc décembre dic diciembre dicembre dezembro ara aralık дек декабря декабрь груд грудня "  # noqa: RUF001
    "gru grudzień grudnia pro prosinec prosince joulu joulukuuta dets gruod δεκ δεκεμβρίου דצמ דצמבר ديسمبر",
)
_OTHER_MONTHS = {name: month for month, names in enumerate(_OTHER_NAMES, 1) for name in names.split()}
# Zones with one meaning, in minutes (CST is always America's). Ambiguous ones such as BST, IST, AST and SST are left
# out, so a date with one of them is not read. So are the military letters, which RFC 822 had with the wrong sign.
_ZONES = {
    **{"ut": 0, "utc": 0, "gmt": 0, "z": 0, "wet": 0, "etc/utc": 0, "etc/gmt": 0},
    **{"est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360, "pst": -480, "pdt": -420},
    **{"cet": 60, "cest": 120, "met": 60, "mest": 120, "mez": 60, "mesz": 120, "west": 60, "eet": 120, "eest": 180},
    **{"msk": 180, "jst": 540, "kst": 540, "hkt": 480, "aest": 600, "aedt": 660, "acst": 570, "awst": 480},
    **{"nzst": 720, "nzdt": 780, "hst": -600, "akst": -540, "akdt": -480, "sast": 120, "wib": 420},
}
_USUAL = re.compile(r"[A-Za-z]{3}, \d{1,2} [A-Za-z]{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}")  # needs no clean-up
_COMMENT = re.compile(r"\([^()]*+\)?")
_TIME = re.compile(r"(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,]\d{1,9})?)?(?: ?([ap])\.?m\.?)?(?![\d:])", re.I)
_DAY_FIRST = re.compile(
    r"(\d{1,2})(?:st|nd|rd|th)?\.?[ -]+([^\W\d_]{3,12})\.?,?[ -]+(\d{4}|\d{2}|1\d\d)(?![\d:])", re.I
)
_MONTH_FIRST = re.compile(r"([a-z]{3,9})\.? +(\d{1,2})(?:st|nd|rd|th)?,? +(\d{4})(?![\d:])", re.I)
_ASCTIME = re.compile(r"([a-z]{3,9}) +(\d{1,2}) +(?=\d{1,2}:)", re.I)
# Chinese, Japanese and Korean: a number before the sign for month, or Chinese digits.
_WIDE_MONTH = re.compile(r"(1[0-2]|0?[1-9]|十[一二]?|[一二三四五六七八九])(?:月|월)")
_WIDE_DIGITS = "一二三四五六七八九十"
_WIDE_DAY = re.compile(r"(\d{4}) ?[年년] ?(\d{1,2}) ?[月월] ?(\d{1,2}) ?[日일]")
_ISO = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:t| )", re.I)
_NUMBERS = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?![\d:])")
_HALF_DAYS = {"오전": "AM", "午前": "AM", "上午": "AM", "오후": "PM", "午後": "PM", "下午": "PM"}
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}|(?!))?+"
_HALF_DAY = re.compile(rf"({'|'.join(_HALF_DAYS)}) ?({_CLOCK})|({_CLOCK}) ?({'|'.join(_HALF_DAYS)})")
_OF = re.compile(r"(?<=[^\W_]) de (?=[^\W_])", re.I)  # 15 de julio de 2025
_BASIC_ISO = re.compile(r"\A(\d{4})(\d{2})(\d{2})t(\d{2})(\d{2})(\d{2})", re.I)
_AROUND = re.compile(r"\A\s*+date\s*+:|[\"\0\u200b-\u200f\ufeff]", re.I)
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))
_SPACED_COLON = re.compile(r"(?<=\d) ?: ?(?=\d)")  # RFC 5322 section 4.3, obs-hour
_ONE_DIGIT = re.compile(r"(?<=\d:)(\d)(?!\d)")  # 9:5:03, as programs write it that do not pad numbers
_YEAR = re.compile(r"(?<![\d+:.-])(\d{4})(?![\d:])")
_WEEKDAY = re.compile(r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,? *|[^\W\d_]{1,12}\.?[,\u060c] *)", re.I)
_ZONE_COMMENT = re.compile(r"\(((?:GMT|UTC?)?[+-]\d{1,2}:?(?:\d\d)?|[A-Za-z]{1,5})\)\s*\Z", re.I)
_OFFSET = re.compile(r"(?:(?:gmt|utc?) ?)?([+-]) ?(\d{1,2}):?(\d{2})?(?: \(?[a-z ]{1,40}\)?)?", re.I)


def read(stated: str) -> datetime | None:
    """The date as an aware datetime; None if it is invalid or ambiguous. Without a zone it is read as UTC (section
    3.3, -0000)."""
    line = stated if _USUAL.fullmatch(stated) else " ".join(_COMMENT.sub(" ", _plain(stated)).split()).rstrip(" ;,.")
    line = _ONE_DIGIT.sub(r"0\1", _SPACED_COLON.sub(":", line))
    line = line[weekday.end() :] if (weekday := _WEEKDAY.match(line)) else line
    day = _day(line)
    if day is None:
        return None
    year, month, number, rest = day
    time = _TIME.search(rest)
    if time is None:
        return None
    hour, minute, second = int(time[1]), int(time[2]), min(int(time[3] or 0), 59 if time[3] == "60" else 99)
    if time[4]:
        if (hour > 12 and time[4].lower() == "a") or (hour == 0 and time[4].lower() == "p"):
            return None
        hour = hour % 12 + 12 * (time[4].lower() == "p") if hour <= 12 else hour
    before, zone = rest[: time.start()].strip(" ,-"), rest[time.end() :].strip(" ,")
    if not zone and (in_comment := _ZONE_COMMENT.search(stated)):
        zone = in_comment[1]
    minutes = _minutes(zone)
    if before.lower() not in ("", "at") or minutes is None or not 1900 <= year <= 9998:
        return None
    sign, apart = "-" if minutes < 0 else "+", abs(minutes)
    plain = f"{number} {_MONTHS[month - 1].title()} {year} {hour:02}:{minute:02}:{second:02} "
    try:
        datetime(year, month, number, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    found: datetime | None = parse_mail_date(f"{plain}{sign}{apart // 60:02}{apart % 60:02}").value
    return found


def _plain(stated: str) -> str:
    """The date without the field's name, quotes, control characters and unusual dashes, which scripts and gateways
    add."""
    text = charsets.decode_words(stated) if "=?" in stated else stated
    text = _AROUND.sub("", text.translate(_DASHES)).replace("+-", "-").replace("--", "-")
    if text.isascii():
        return text
    text = _HALF_DAY.sub(lambda found: f"{found[2] or found[3]} {_HALF_DAYS[found[1] or found[4]]}", text, count=1)
    text = _WIDE_DAY.sub(r"\3 \2月 \1 ", text, count=1)
    return _WIDE_MONTH.sub(lambda found: _MONTHS[_of_wide(found[1]) - 1], text, count=1)


def _of_wide(month: str) -> int:
    return int(month) if month.isdecimal() else sum(_WIDE_DIGITS.index(digit) + 1 for digit in month)


def _day(line: str) -> tuple[int, int, int, str] | None:
    """Year, month, day, and the rest of the line."""
    line = _BASIC_ISO.sub(r"\1-\2-\3 \4:\5:\6", line, count=1)
    if (found := _ISO.match(line)) and 1 <= int(found[3]) <= 12:
        return int(found[1]), int(found[3]), int(found[4]), line[found.end() :]
    if (found := _NUMBERS.match(line)) and (sure := _sure_day(found)):
        return int(found[4]), *sure, line[found.end() :]
    line = _OF.sub(" ", line)
    if (found := _DAY_FIRST.search(line)) and (month := _month(found[2])):
        return _full_year(found[3]), month, int(found[1]), _without(line, found)
    if (found := _MONTH_FIRST.search(line)) and (month := _month(found[1])):
        return int(found[3]), month, int(found[2]), _without(line, found)
    found, year = _ASCTIME.match(line), _YEAR.search(line)
    if found and year and (month := _month(found[1])):
        return int(year[1]), month, int(found[2]), f"{line[found.end() : year.start()]}{line[year.end() :]}"
    return None


def _sure_day(found: re.Match[str]) -> tuple[int, int] | None:
    """Month and day of a date in numbers, whose order is sure: between dots the day is first, else it is above 12."""
    first, second = int(found[1]), int(found[3])
    if found[2] == "." or first > 12 or first == second:
        return (second, first) if 1 <= second <= 12 else None
    return (first, second) if second > 12 and first else None


def _without(line: str, found: re.Match[str]) -> str:
    return f"{line[: found.start()]} {line[found.end() :]}".strip()


def _month(word: str) -> int:
    """The month's number, 1 to 12; 0 for other words."""
    word = word.lower()
    if word in _MONTHS or word in _FULL_MONTHS:
        return _MONTHS.index(word[:3]) + 1
    return _OTHER_MONTHS.get(word, 0)


def _full_year(digits: str) -> int:
    """The year with four digits (RFC 5322 section 4.3): 00 to 49 are 2000 to 2049; other years of two or three digits
    count from 1900."""
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (2000 if len(digits) == 2 and year < 50 else 1900)


def _minutes(zone: str) -> int | None:
    """The zone's offset in minutes east of UTC; None for an unknown or ambiguous zone."""
    if not zone:
        return 0
    if zone.lower() in _ZONES:
        return _ZONES[zone.lower()]
    found = _OFFSET.fullmatch(zone)
    if found is None or int(found[2]) > 14 or int(found[3] or 0) > 59:
        return None
    return (int(found[2]) * 60 + int(found[3] or 0)) * (-1 if found[1] == "-" else 1)
