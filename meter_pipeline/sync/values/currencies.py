"""Currency codes and signs, and how amounts in them are usually written."""

from __future__ import annotations

from meter_pipeline.sync.values.numbers import COMMA, POINT
from meter_pipeline.sync.values.words import words

_CODES = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
    CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL
    HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN
    PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SYP SZL THB TJS TMT TND TOP TRY TTD
    TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
CODES = words(_CODES)
COINS = words("BTC ETH USDT USDC LTC XRP DOGE")
"""Usual codes of money that ISO 4217 does not list."""

# Signs and words by currency. Those that several currencies share stand for themselves.
_SIGNS = """
    USD: U$S U$D US-$ dollars_US US_dollars US_dollar EUR: € euro euros Euro Euros EURO ευρώ евро GBP: £ pounds
    UKP CAD: CAN$ $CAN CDN$ Can$ $_CA $_CAD AUD: A$ HKD: 港幣 港元 SGD: S$ TWD: NT$ NTD 新臺幣 新台幣 MXN: Mex$ BRL: R$
    reais BRL$ UYU: $U COP: COL$ DOP: RD$ JMD: J$ JA$ BBD: Bds$ XCD: EC$ NAD: N$ GYD: G$ CHF: SFr. SFr Sfr. Fr. Fr
    sFr. CHf. Franken JPY: 円 日元 日圓 CNY: RMB 人民币 元人民币 人民幣 KRW: ₩ 원 INR: ₹ ₹. रु रु. रुपये INR₹ PLN: zł zl zł.
    złotych PLN. CZK: Kč Kc Kčs korun CZK. HUF: Ft Ft. forint RUB: ₽ UAH: ₴ грн грн. гривень BGN: лв лв. лева
    RSD: дин дин. din din. RSD. MKD: ден ден. TRY: ₺ TL lira ILS: ₪ ש"ח שח ש״ח NIS KZT: ₸ тг тг. тенге GEL: ₾
    ლარი AZN: ₼ THB: ฿ บาท Baht baht VND: ₫ đ Đ đồng VNĐ vnđ dong IDR: Rp Rp. MYR: RM PHP: ₱ Php PhP KHR: ៛ LAK:
    ₭ MNT: ₮ BDT: ৳ Tk Tk. টাকা AED: د.إ د.إ. درهم Dhs Dhs. AED. SAR: ر.س ر.س. ⃁ QAR: ر.ق ر.ق. KWD: د.ك د.ك.
    BHD: د.ب د.ب. OMR: ر.ع ر.ع. JOD: د.أ د.أ. EGP: ج.م ج.م. E£ LE L.E. NGN: ₦ GHS: GH₵ GH¢ GHC KES: KSh KSh. Ksh
    Ksh. KES. TZS: TSh UGX: USh PAB: B/. B/ PEN: S/ S/. GTQ: Q CRC: ₡ PYG: ₲ Gs. Gs VES: Bs.S Bs.D Bs.F VEF ZAR:
    R AFN: ؋ IRR: ر.إ. ر.إ IQD: د.ع MAD: د.م د.م. TND: د.ت LYD: د.ل YER: ر.ي DZD: د.ج DA LBP: ل.ل SYP: ل.س SDG:
    ج.س ETB: ብር ALL: Lekë lekë Lek lek LKR: රු රු. NPR: नेरू रू UZS: so'm сўм BAM: KM КМ XPF: FCFP MOP: MOP$
    TOP: T$ WST: WS$ AOA: Kz MVR: Rf ERN: Nfk MZN: MTn MT CUP: CUC$ ISK: ISK. íkr Ikr SEK: Skr NOK: Nkr DKK: Dkr
    GBP: UK£ MAD: MAD. TND: DT KWD: KD AMD: ֏ դր. MMK: MMK. BTC: ₿ XBT ETH: Ξ
"""
_SHARED = """
    $ kr kr. Kr Kr. KR ¥ Rs Rs. RS. ₨ lei Lei LEI leu 元 руб руб. р. р сом сум C$ B$ Bs Bs. ﷼ ريال ریال تومان
    CFA F_CFA FCFA L L. Br $b dollars dollar DH Dh dh SR جنيه
"""
# Signs that are words or letters of other meanings too: they need an amount that looks like one.
WEAK = words(
    """Q L L. R Fr. Fr Ft Ft. LE DT RM TL Bs B/ Gs р din lira pounds dong F SR KM КМ DA KD Kz Rf Br MT Lek lek"""
) | words("""ALL TOP TRY CUP PEN MAD GEL BAM SOS MOP COP BOB SAR AMD ERN DOP RON SEK STN LAK CAD EUR""")
# Lower-case codes that are no words.
_SMALL = words(
    """usd eur gbp chf aud pln czk huf inr jpy cny brl mxn nok dkk rub uah php idr thb vnd krw hkd sgd nzd"""
)

_FAMILIES = {
    "$": """
    USD CAD AUD NZD HKD SGD TWD MXN ARS CLP COP UYU DOP JMD TTD BBD XCD BZD FJD NAD GYD BSD BMD KYD LRD BND SRD SBD
    CUP
""",
    "¥": "JPY CNY",
    "元": "CNY TWD HKD",
    "kr": "SEK NOK DKK ISK",
    "Rs": "INR PKR LKR NPR MUR SCR",
    "lei": "RON MDL",
    "руб": "RUB BYN",
    "C$": "CAD NIO",
    "Bs": "BOB VES",
    "﷼": "IRR SAR QAR OMR YER",
    "CFA": "XOF XAF",
    "L": "HNL MDL",
    "Br": "ETB BYN",
    "DH": "AED MAD",
    "SR": "SAR SCR",
    "جنيه": "EGP SDG SSP",
}
_ALSO_SHARED = {"£": ["GBP", "EGP", "LBP", "SYP", "SDG", "SSP", "GIP", "FKP", "SHP"]}
FAMILIES = {sign: frozenset(codes.split()) for sign, codes in _FAMILIES.items()}
"""The currencies that a shared sign can mean."""
_SPELLINGS = {
    **dict.fromkeys(["kr.", "Kr", "Kr.", "KR"], "kr"),
    **dict.fromkeys(["Rs.", "RS.", "₨"], "Rs"),
    **dict.fromkeys(["Lei", "LEI", "leu"], "lei"),
    **dict.fromkeys(["руб.", "р.", "р"], "руб"),
    **dict.fromkeys(["ريال", "ریال"], "﷼"),
    **dict.fromkeys(["F CFA", "FCFA"], "CFA"),
    **dict.fromkeys(["Bs.", "$b"], "Bs"),
    **{"L.": "L", "Br.": "Br", "Dh": "DH", "dh": "DH", "dollars": "$", "dollar": "$"},
}

WITHOUT_DECIMALS = words(
    """JPY KRW VND CLP PYG ISK HUF IDR XOF XAF XPF UGX RWF GNF KMF DJF BIF VUV LAK MMK IRR IQD CFA UZS تومان KHR COP"""
)
"""Currencies whose prices have no decimals, by law or by custom."""
THREE_DECIMALS = words("BHD IQD JOD KWD LYD OMR TND")
"""Currencies whose prices have three decimals by law."""
# Either mark groups: their units are so small that rates of exchange have no three decimals either, as those of yen do.
_ALWAYS_GROUPED = words("VND IDR LAK KHR MMK UGX IRR IQD PYG GNF UZS XOF XAF CFA RWF BIF DJF KMF VUV XPF تومان")
# Where three digits after the only mark are thousands although no other value says so: prices in these currencies are
# written with two decimals or none, and this mark groups wherever they are used.
_POINT_GROUPS = words("""EUR BRL TRY IDR VND HUF DKK NOK SEK ISK kr ARS CLP COP UYU PYG RSD RON lei VES CRC""")
_COMMA_GROUPS = words("""
    $ USD GBP AUD NZD HKD SGD INR Rs PKR LKR NPR BDT PHP THB MYR TWD CNY ¥ JPY KRW ILS AED SAR QAR KES NGN GHS
    EGP MXN GTQ HNL TTD JMD DOP BBD
""")
ENGLISH = words("""$ USD GBP AUD NZD CAD HKD SGD INR Rs PKR PHP MYR KES NGN ZAR VND THB AED SAR QAR ILS JPY CNY KRW""")
"""Currencies beside which *billion* is the English word."""


def _table() -> dict[str, str]:
    table = {code: code for code in CODES | COINS} | {code: code.upper() for code in _SMALL}
    code = ""
    for word in _SIGNS.split():
        if word.endswith(":") and word[:-1] in CODES | COINS:
            code = word[:-1]
        else:
            table[word.replace("_", " ").strip()] = code
    for sign in _SHARED.split():
        sign = sign.replace("_", " ")
        table[sign] = _SPELLINGS.get(sign, sign)
    # `£GB`, `MX$`, `CNY¥`: a shared sign with the country or the code at it.
    for sign, codes in (FAMILIES | _ALSO_SHARED).items():
        for mark in (
            (code[:length] for code in codes for length in (2, 3)) if len(sign) == 1 and not sign.isalpha() else ()
        ):
            code = next(code for code in codes if code.startswith(mark))
            table.setdefault(mark + sign, code)
            table.setdefault(sign + mark, code)
    return table


SIGNS = _table()
"""ISO 4217 code by sign, word or code as written; a sign that several currencies share has its usual spelling."""


def usual_decimal(currency: str, before: bool, spaced: bool, mark: str) -> str | None:
    """The decimal mark by custom if `mark` then groups thousands; None where custom leaves it open.

    Args:
        currency: Code or shared sign.
        before: Whether it stands before the amount.
        spaced: Whether a space is between them.
        mark: The only mark of the amount.
    """
    if currency in _ALWAYS_GROUPED:
        return COMMA if mark == "." else POINT
    if mark == "." and currency in _POINT_GROUPS and not (currency == "EUR" and before and not spaced):
        return COMMA
    if mark == "," and currency in _COMMA_GROUPS and not (currency in ("$", "USD") and not before):
        return POINT
    return None


def may_mean(currency: str, codes: frozenset[str]) -> str | None:
    """The only currency of the source that a shared sign can mean, or None."""
    family = FAMILIES.get(currency, frozenset())
    return next(iter(codes)) if len(codes) == 1 and codes <= family else None
