"""Words that stand beside prices: those that leave them as they are, those in place of a price, units of a price."""

from __future__ import annotations

import re

from meter_pipeline.sync.values.words import words

# Whole phrases before or after a single price that do not change its meaning.
_BEFORE = """
    from starting_at starting_from as_low_as price price: now now: only just sale sale_price our_price
    your_price běžná_cena bežná_cena naše_cena naša_cena p.v.p. pvp total total: nur ab schon_ab jetzt preis
    preis: à_partir_de a_partir_de dès prix prix: desde precio precio: solo a_partire_da da prezzo prezzo: solo
    vanaf prijs prijs: från pris pris: fra od cena cena: już_od от цена цена: a_partir_de por_apenas preço
    preço: por mulai_dari harga: giá giá: chỉ ราคา 价格 价格: 售价 售价: 仅售 価格 価格: 특가
"""
_AFTER = """
    only each ea ea. now tax_included incl._tax incl_tax inc_tax inc._tax inc_vat inc._vat incl_vat incl._vat
    including_vat ex_vat ex._vat excl_vat excl._vat excluding_vat +_vat plus_vat vat_included inkl._mwst
    inkl._mwst. inkl_mwst inkl._ust. inkl._ust zzgl._mwst. zzgl._versand inkl._moms exkl._moms inkl_moms ttc ht
    iva_incluido iva_inclusa iva_incl. iva_incl i.v.a._incluido incl._btw excl._btw incl_btw btw brutto netto
    bez_dph s_dph z_vat kdv_dahil dahil p.p. p.p pp per_person pro_person par_personne por_persona a_persona
    (税込) 税込 (税抜) 税抜 (税込み) 税込み (税別) 起 から より onwards 부터 с_ндс od sztuki each. inkl. incl.
    incl
"""
_MIDDLE = (
    r"(?:kg|g|gr|mg|lb|lbs|oz|l|ltr|litre|liter|ml|cl|m|m²|m2|qm|km|ft|sq ?ft|sqft|pc|pcs|piece|unit|item|stk|stück|st|"
    r"ks|szt|шт|person|night|nacht|nuit|noche|day|tag|jour|día|week|woche|month|mo|mes|mois|monat|mese|year|yr|an|jahr|"
    r"año|anno|hour|hr|h|user|ea|each|台|seat|日|月|年|个|件|個|本|公斤|斤|晚|人)"
)
UNIT = re.compile(
    rf" ?(?:/ ?|\b(?:per|pro|je|par|por|al|a|each) )(?P<unit>(?:\d+(?:[.,]\d+)? ?)?{_MIDDLE})\.?$", re.IGNORECASE
)
"""A unit of measure after a price: `/kg`, `/ 300g`, `per month`."""
NOTES = re.compile(
    r"(?:(?<=\s)|^|\()-\d{1,2}(?:[.,]\d+)? ?%\)?(?:\s|$)"
    r"|\(?\b(?:incl?\.?|inkl\.?|plus|zzgl\.?) \d{1,2}(?:[.,]\d+)? ?% ?(?:vat|mwst|ust|moms|btw|tax|gst|iva)\b\.?\)?",
    re.IGNORECASE,
)
"""A discount in per cent or a rate of tax beside a price."""
WAS_NOW = re.compile(
    r"(?:was|rrp|reg\.?|regular(?: price)?|old price|list(?: price)?|statt|uvp|vorher|avant|antes|prima|van|før|före)"
    r":? (?P<old>.*?)[,;.]? ?"
    r"(?:now(?: only)?|sale(?: price)?|jetzt(?: nur)?|nur|nu|maintenant|ahora|ora|agora|voor):? (?P<new>.*)",
    re.IGNORECASE,
)
"""A price that was, and the one that is."""
FREE = words("""
    free gratis gratuit gratuito gratuita kostenlos umsonst gratuitement grátis za_darmo zdarma ingyen ingyenes
    ilmainen бесплатно безкоштовно безплатно ücretsiz bedava 免费 免費 無料 무료 miễn_phí ฟรี مجاني مجانا חינם
    मुफ़्त δωρεάν gratuiti besplatno brezplačno zadarmo darmowe free! free_of_charge no_charge
""")
EMPTY = words("""
    poa tbc tba tbd n/a na n.a. none null unknown - -- --- ... … ? price_on_request price_upon_request
    on_request on_application price_on_application call contact_us call_for_price contact_for_price
    request_a_quote ask sold_out out_of_stock unavailable not_available currently_unavailable coming_soon
    auf_anfrage preis_auf_anfrage ausverkauft sur_demande prix_sur_demande épuisé indisponible consultar
    a_consultar agotado a_convenir sob_consulta esgotado su_richiesta esaurito op_aanvraag uitverkocht
    pris_på_forespørsel slutsåld na_zapytanie wyprzedane na_dotaz vyprodáno договорная цена_по_запросу
    нет_в_наличии 面议 询价 売り切れ 要問合せ 품절 문의 liên_hệ hết_hàng
""")
"""Texts in place of a value: nothing is known from them."""


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(sorted(words(text), key=lambda phrase: (-len(phrase), phrase)))


BEFORE, AFTER = _phrases(_BEFORE), _phrases(_AFTER)


def without_phrases_before(text: str) -> str:
    """What stands before a number, without a phrase that does not matter."""
    while (small := text.lower()).startswith(BEFORE):
        for phrase in BEFORE:
            if small.startswith(phrase) and not small[len(phrase) :][:1].isalpha():
                text = text[len(phrase) :].lstrip(" :")
                break
        else:
            break
    return text


def without_phrases_after(text: str) -> str:
    """What stands after a number, without phrases that do not matter."""
    if text.endswith(")") and text.count("(") == 1:
        bare, _, inside = text[:-1].partition("(")
        text = bare.rstrip() if inside.strip().lower() in AFTER else text
    while (small := text.lower()).endswith(AFTER):
        for phrase in AFTER:
            # Scripts without spaces put words together.
            joined = "a" <= phrase[0] <= "z" and small[: -len(phrase)][-1:].isalpha()
            if small.endswith(phrase) and not joined:
                text = text[: -len(phrase)].rstrip()
                break
        else:
            break
    return text


def is_free(text: str) -> bool:
    """Whether a cleaned text says that something costs nothing."""
    return text.lower() in FREE


def is_empty(text: str) -> bool:
    """Whether a cleaned text stands in place of a value."""
    return not text or text.lower() in EMPTY
