"""Detects the charset of 8-bit text that states none, or a wrong one, by letter frequencies. Pure, and bounded.

For each charset the octets are decoded, and the log-likelihood of the letters in the charset's languages is summed up;
the highest sum wins. General detectors need a paragraph, but a subject or a file name may have five letters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import log

LOOKED_AT = 1_500  # octets

# Letters in the order of their frequency, the most frequent first.
_RUSSIAN = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъ"
_UKRAINIAN = "оаинвіерсткдмлупяьзбгйчхжшюцєїщфґ"
_GREEK = "αοιετσνηυρπκμλςωγδχθφβξζψάέήίόύώ"
_HEBREW = "יוהלארתבשמםנכדעחפקטגזסןצךףץ"
_ARABIC = "اليمونرتبةعدسفهكقأحجشصىخإطذزضغثئءظؤآ"
_THAI = (
    "านรอกเงมยลวดทสตะปบคหแจพชขใไโผถณซศธฟษฉภญฐฝฮฆ\u0e31\u0e34\u0e35\u0e48\u0e49\u0e47\u0e4c\u0e38\u0e39\u0e36\u0e37ำๆฯ"
)
_WESTERN = "éäüöàßèçãáíó¿¡£êñåøæôâîúõìòùëïûœ"  # above ASCII
_CENTRAL = "óąęłśćżźńáíéčřžšěýůúďťňőűöüäôĺľŕăâîșțđ"
_TURKISH = "ıüşğçöİâî"
_HIRAGANA = (
    "いしのんたにとかなるてがはれでうをすこもらりまさっけくそあよきつめせわだじどえおみろやほちねへひげびばごずよゅょ"
    "ぶふむぐぎざぼべぜぞづゆぬぁぱぷぽぺぴぃぅぇぉ"
)
_KATAKANA = (
    "ンースルトリアイラクドレジフロシッタマムグュテメプサデコパカキチナニバミオセビワモウエソヤボガポヘノゴブャョハベ"
    "ホダペケツピザギネヴゼァィェォユゲゾヌズヨ"
)
_KANJI = (
    "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四定今回新場金員九入"
    "選立開手米力学問高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意法不来作性的要用制治度務強"
    "気小七成期公野協取都和統以機平総加山思家話世受区領多県続進正安設保改数記院女初北午指権心界支第産結百派点教報済書"
    "府活原先共得解名交資予川向際査勝面委告軍文反元重近千考判認画海参売利組知案道信策集在件団別物側任引使求所次水半品"
    "昨論計死官増係感特情投示変打男基私各始島直両朝革価式確村提運終果西勢減台広容必応演電歳住争談能無再位置企真流格有"
    "疑口過局少放税検藤町常校料沢裁状工建語球営空職証土与急止送援供可役構木割聞身費付施切由説転食比難防補車優夫研収断"
    "井何南石足違消境神番規術護展態導鮮備宅害配副算視条幹独警宮究育席輸訪楽起万着乗店述残想線率病農州武声質念待試族象"
    "域助労例衛然早張映限親額監環験追審商葉義伝働形景落好担準積請添様願致株振込依頼完了届"
)
_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家"
    "种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十"
    "民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯"
    "月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女"
    "变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基"
    "眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今"
    "切院让识候带导争运查收请票附谢邮送邀议单价订货款项您账号码密验证登录退申审批销售客户网站支付优惠欢迎注册"
)
_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家"
    "種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十"
    "民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯"
    "月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女"
    "變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決治展馬科司五基"
    "眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊死張該交規萬取拉格望覺術領共確傳師觀清今"
    "切院讓識候帶導爭運查收請票附謝郵送邀議單價訂貨款項您帳號碼密驗證登錄退申審批銷售客戶網站支付優惠歡迎註冊"
)
_KOREAN = (
    "이다의가는에을를하고기지로사은인한리도어시아자대서수들과있나그일장정해제스전보부원안주여라구소만상동공경용선문신"
    "성조방치회관무세진오년우위개국미유중내계연물학생화적발비면입니습드려요감메첨파님료청결견송합확련금체품접현설명양"
    "단통실업간격표불모당등할된되운타후외재음바필환최김박강민영광호남북저트터크프카페링램본처택배알림예약변건번식까버"
    "못및또많같맞없였했겠십셨께"
)
_SIGNS = "’“”–—…«»„‘°€•·№©§´`®™\xa0"  # noqa: RUF001
_WIDE_SIGNS = "，。、：；！？（）「」『』《》“”・～－／　【】…〜＝＋％０１２３４５６７８９"  # noqa: RUF001

_NO_LETTER = -14.0  # natural logarithms, as all that follow
_SIGN = -7.5
_CAPITAL = 0.12  # share of capital letters, outside of headings
_WITHIN_ASCII = -3.0  # a letter of another script beside one of ASCII
_CAPITAL_WITHIN = -6.0  # a capital directly behind a small letter
_SIDE_BY_SIDE = -3.2  # two adjacent letters above ASCII, in a Latin script
_CUT = -7.0  # the last character is incomplete

_BESIDE_ASCII = re.compile(r"(?<=[A-Za-z])[^\x00-\x7f]|[^\x00-\x7f](?=[A-Za-z])")
_ABOVE_ASCII = re.compile(rb"[\x80-\xff]")
_RUN = re.compile(r"[^\x00-\x7f]{2,}")


@dataclass(frozen=True)
class _Model:
    """Log-likelihood of letters in the languages of a charset. prior: log-likelihood of the charset itself."""

    codec: str
    letters: Mapping[str, float]
    prior: float = 0.0
    others: Callable[[bytes], float] | None = None  # log-likelihood of a letter not in `letters`, by its octets
    is_latin: bool = False


def likeliest(octets: bytes) -> str | None:
    """The most likely codec; None if there are fewer than two octets above ASCII."""
    head = octets[:LOOKED_AT]
    if len(_ABOVE_ASCII.findall(head)) < 2:
        return None  # one letter is too little evidence
    scores = [(score, model.codec) for model in _models() if (score := _score(head, model)) is not None]
    return max(scores)[1] if scores else None


def _score(octets: bytes, model: _Model) -> float | None:
    text, cut = _read(octets, model)
    if text is None:
        return None
    score = model.prior + cut
    if model.others is None:
        text, heading = _without_capitals(text)
        score += heading + _CAPITAL_WITHIN * _capitals_within(text)
    if model.is_latin:
        score += _SIDE_BY_SIDE * sum(len(run) - 1 for run in _RUN.findall(text))
    else:
        score += _WITHIN_ASCII * len(_BESIDE_ASCII.findall(text))
    for letter, count in Counter(text).items():
        if letter >= "\x80":
            score += count * _of_letter(letter, model)
    return score


def _of_letter(letter: str, model: _Model) -> float:
    found = model.letters.get(letter)
    if found is not None:
        return found
    return model.others(letter.encode(model.codec, "replace")) if model.others else _NO_LETTER


def _read(octets: bytes, model: _Model) -> tuple[str | None, float]:
    """The decoded text, or None if it is invalid, and the penalty for an incomplete last character.

    A Latin charset is not excluded by an invalid octet.
    """
    if model.is_latin:
        return octets.decode(model.codec, "replace"), 0.0
    for cut in (0, 1):
        try:
            return octets[: len(octets) - cut].decode(model.codec), cut * _CUT
        except UnicodeDecodeError:
            continue
    return None, 0.0


def _without_capitals(text: str) -> tuple[str, float]:
    """The text, in lower case if it is a heading in capitals, and the penalty for being one."""
    capitals = sum(letter.isupper() for letter in text if letter >= "\x80")
    small = sum(letter.islower() for letter in text if letter >= "\x80")
    return (text.lower(), -5 - 0.3 * capitals) if capitals > max(3, 2 * small) else (text, 0.0)


def _capitals_within(text: str) -> int:
    return sum(before.islower() and letter.isupper() and letter >= "\x80" for before, letter in pairwise(text))


@cache
def _models() -> tuple[_Model, ...]:
    russian, ukrainian, arabic = _alphabet(_RUSSIAN), _alphabet(_UKRAINIAN), _alphabet(_ARABIC)
    western, central, turkish = _alphabet(_WESTERN), _alphabet(_CENTRAL), _alphabet(_TURKISH)
    japanese = _frequent((_HIRAGANA, 0.45, 4), (_KATAKANA, 0.15, 4), (_KANJI, 0.25, 20))
    return (
        _Model("cp1251", russian),
        _Model("cp1251", ukrainian, -1),
        _Model("koi8_r", russian, -1),
        _Model("koi8_u", ukrainian, -2),
        _Model("iso8859_5", russian, -2),
        _Model("cp866", russian, -2),
        _Model("mac_cyrillic", russian, -3),
        _Model("cp1253", _alphabet(_GREEK)),
        _Model("cp1255", _alphabet(_HEBREW)),
        _Model("cp1256", arabic),
        _Model("iso8859_6", arabic, -1),
        _Model("cp874", _alphabet(_THAI)),
        _Model("cp1252", western, 3, is_latin=True),
        _Model("cp1250", central, is_latin=True),
        _Model("iso8859_2", central, -0.5, is_latin=True),
        _Model("cp1254", turkish, -0.5, is_latin=True),
        _Model("gb18030", _frequent((_SIMPLIFIED, 0.6, 20)), others=_of_gb2312),
        _Model("big5hkscs", _frequent((_TRADITIONAL, 0.6, 20)), others=_of_big5),
        _Model("cp949", _frequent((_KOREAN, 0.75, 15)), others=_of_ksx1001),
        _Model("euc_jp", japanese, others=_of_euc_jp),
        _Model("cp932", japanese, others=_of_shift_jis),
    )


def _shares(letters: str, mass: float, flat: float) -> dict[str, float]:
    """Letter -> its share of `mass`, which falls with its rank by Zipf's law. A larger `flat` evens the shares out."""
    weights = [1 / (rank + flat) for rank in range(len(letters))]
    return {letter: mass * weight / sum(weights) for letter, weight in zip(letters, weights, strict=True)}


def _alphabet(letters: str) -> dict[str, float]:
    found = dict.fromkeys(_SIGNS, _SIGN)
    for letter, share in _shares(letters, 0.97, 8).items():
        found[letter] = log(share * (1 - _CAPITAL))
        if len(capital := letter.upper()) == 1 and capital != letter:
            found[capital] = log(share * _CAPITAL)
    return found


def _frequent(*classes: tuple[str, float, float]) -> dict[str, float]:
    found = dict.fromkeys(_WIDE_SIGNS, log(0.08 / len(_WIDE_SIGNS)))
    for letters, mass, flat in classes:
        found |= {letter: log(share) for letter, share in _shares(letters, mass, flat).items()}
    return found


# Log-likelihood of rarer letters by their level in the charset's table: the standards list the frequent ones first.


def _of_gb2312(letter: bytes) -> float:
    is_old = len(letter) == 2 and letter[1] >= 0xA1
    return -9.2 if is_old and 0xB0 <= letter[0] <= 0xD7 else -12.6 if is_old and 0xD8 <= letter[0] <= 0xF7 else -17.0


def _of_big5(letter: bytes) -> float:
    return -9.2 if 0xA4 <= letter[0] <= 0xC6 else -12.6 if 0xC9 <= letter[0] <= 0xF9 else -17.0


def _of_ksx1001(letter: bytes) -> float:
    return -9.6 if len(letter) == 2 and 0xB0 <= letter[0] <= 0xC8 and letter[1] >= 0xA1 else -15.0


def _of_euc_jp(letter: bytes) -> float:
    return -17.0 if len(letter) != 2 or letter[0] < 0xB0 else -10.5 if letter[0] <= 0xCF else -14.0


def _of_shift_jis(letter: bytes) -> float:
    if len(letter) == 1:
        return -12.0  # half-width katakana
    return -17.0 if letter[0] < 0x88 else -10.5 if letter[0] <= 0x97 else -14.0
