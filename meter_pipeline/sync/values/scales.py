"""Words and letters that scale the number before them."""

from __future__ import annotations

THOUSAND, MILLION, MILLIARD, BILLION = 10**3, 10**6, 10**9, 10**12

_WORDS: dict[int, str] = {
    THOUSAND: """thousand thousands tausend tsd tsd. mille tusen duizend tysięcy tysiące tys tys. tisíc tis. тысяч
        тысячи тыс тыс. тисяч тис. ribu rb nghìn ngàn พัน هزار ألف हज़ार हजार χιλ. χιλιάδες ezer tuhat 千 천""",
    10**4: "万 萬 만 หมื่น",
    10**5: "lakh lakhs lac lacs लाख แสน",
    MILLION: """million millions mn mln mln. mio mio. millionen millones millón milhões milhão milioni milione miljoen
        miljoner miljon mill. millioner milionów miliony milion milionů milióny milyon milioane millió million.
        миллион миллиона миллионов млн млн. мільйонів мільйони juta jt triệu tr ล้าน میلیون مليون ملايين
        εκατ. εκατομμύρια miljoonaa milj. 百万 百萬 백만""",
    10**7: "crore crores cr करोड़ करोड 千万 千萬 천만",
    10**8: "億 亿 억",
    MILLIARD: """
    mrd mrd. mia mia. mld mld. milliarden milliarde milliard milliards miliardi miliardo miljard
    miljarder milliarder miliardów miliardy miliard miliarde milyar milliárd миллиард миллиарда миллиардов млрд
    млрд. мільярдів мільярди miliar tỷ tỉ میلیارد مليار δισ. δισεκατομμύρια miljardia bilhões bilhão
""",
    BILLION: "billones billón trilhões trilhão",
}
_ENGLISH = {"billion": MILLIARD, "bn": MILLIARD, "trillion": BILLION, "tn": BILLION}
LONG_SCALE = frozenset([*_ENGLISH, "b", "B", "T", "m", "M"])
"""English words and letters that mean other numbers in other languages: *billion* and `bn` are 10^12 in French and
Swedish, `B` is a thousand in Turkish, `M` a milliard in Indonesian."""
# Letters count only at the digits themselves, `5 m` is a length.
_LETTERS = {"k": THOUSAND, "K": THOUSAND, "m": MILLION, "M": MILLION, "b": MILLIARD, "B": MILLIARD, "T": BILLION}
# Of units of currencies: the rest of the word is the sign.
_PREFIXED = {
    "k€": THOUSAND, "K€": THOUSAND, "T€": THOUSAND, "TEUR": THOUSAND, "kEUR": THOUSAND, "KEUR": THOUSAND,
    "tkr": THOUSAND, "M€": MILLION, "MEUR": MILLION, "mkr": MILLION, "Mkr": MILLION, "MSEK": MILLION, "MNOK": MILLION,
    "MDKK": MILLION, "Md€": MILLIARD,
}  # fmt: skip
PREFIXED = frozenset(_PREFIXED)
"""Signs of currencies with a letter before them that scales, as `M€`."""
_EAST_ASIAN = ("千万", "千萬", "百万", "百萬", "천만", "백만", "万", "萬", "億", "亿", "千", "만", "억", "천")

SCALES = {word: size for size, words in _WORDS.items() for word in words.split()}
ENGLISH_WORDS = frozenset([*_ENGLISH, "million", "millions", "mn", "thousand", "K", "k", "M", "B", "T"])


def find_scale(text: str) -> tuple[int, str, str]:
    """Splits what follows a number into the scale at its start and the rest.

    Returns:
        The factor (1 without a scale), the word, and the text after it.
    """
    attached = text[:1] not in ("", " ")
    text = text.lstrip()
    for word in _EAST_ASIAN:
        if text.startswith(word):
            return SCALES[word], word, text[len(word) :]
    if (size := _PREFIXED.get(text)) is not None:
        return size, text, text[2 if text.startswith("Md") else 1 :]
    end = next((place for place, letter in enumerate(text) if not letter.isalpha()), len(text))
    word, rest = text[:end], text[end:]
    if rest.startswith("."):
        word, rest = word + ".", rest[1:]
    small = word.lower()
    if small in SCALES and not (small == "tr" and not attached):
        return SCALES[small], small, rest
    if (size := _ENGLISH.get(small.rstrip("."))) is not None:
        return size, small.rstrip("."), rest
    if attached and (size := _LETTERS.get(word)) is not None:
        return size, word, rest
    return 1, "", text
