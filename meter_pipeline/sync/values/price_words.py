"""Words that stand beside prices: those that leave them as they are, those in place of a price, units of a price."""

from __future__ import annotations

import re

from meter_pipeline.sync.values.words import words

# Whole phrases before or after a single price that do not change its meaning: from, price, now and only; tax, delivery
# without a price of its own, and how it is paid.
_BEFORE = """
    v.a. vanaf_prijs
    from from: starting_at starting_from starts_at prices_from as_low_as price price: now now: only only: just sale
    sale: sale_price special_price current_price our_price your_price regular_price list_price retail_price price_from
    mrp m.r.p. mrp: m.r.p.: msrp rrp total total: nur ab schon_ab bereits_ab jetzt preis preis: einzelpreis
    aktionspreis sonderpreis angebotspreis verkaufspreis gesamtpreis à_partir_de a_partir_de dès prix prix: seulement
    desde precio precio: solo sólo solo_por ahora a_partire_da da prezzo prezzo: solo vanaf prijs prijs: nu nu_voor
    från pris pris: fra kun bara nu_endast alkaen hinta hinta: vain od cena cena: ceny_od cena_od już_od tylko jen
    pouze již_od už_od běžná_cena bežná_cena naše_cena naša_cena len p.v.p. pvp pvp: de_la preț pret preț: pret: doar
    ár ár: bruttó nettó csak már od_samo cijena cijena: от цена цена: только всего от_само само від ціна ціна: лише
    тільки por por_apenas por_só só apenas preço preço: από τιμή τιμή: μόνο fiyat fiyat: fiyatı sadece yalnızca
    mulai_dari mulai harga harga: hanya dari bermula giá giá: giá_bán giá_bán: giá_từ từ chỉ chỉ_từ ราคา ราคา:
    เริ่มต้น เริ่มต้นที่ เพียง החל_מ- החל_מ מחיר מחיר: רק ابتداء_من ابتداءً_من من السعر السعر: سعر فقط قیمت قیمت: از
    कीमत कीमत: मात्र केवल 价格 价格: 售价 售价: 仅售 现价 现价: 優惠價 优惠价 特价 特價 促销价 活动价 到手价 券后价
    券后 定价 定價 售價 仅 僅 只要 価格 価格: 販売価格 販売価格: 通常価格 税込価格 本体価格 定価 特価 税込 税抜 税込み
    税別 정가 판매가 판매가: 할인가 가격 가격: 최저가 특가 쿠폰가
"""
_AFTER = """
    incl._of_all_taxes inclusive_of_all_taxes
    only each ea ea. each. apiece now onwards and_up nett ono o.n.o. o.n.o or_best_offer negotiable tax_included
    tax_incl. tax_incl incl._tax incl_tax inc_tax inc._tax incl._taxes including_tax plus_tax plus_taxes +_tax +_taxes
    before_tax inc_vat inc._vat incl_vat incl._vat including_vat ex_vat ex._vat excl_vat excl._vat exc_vat exc._vat
    excluding_vat +_vat +vat plus_vat vat_included inc_gst inc._gst incl_gst incl._gst ex_gst ex._gst +_gst plus_gst
    +_free_shipping &_free_shipping with_free_shipping free_shipping +_free_delivery free_delivery inkl. inkl incl.
    incl inkl._mwst inkl._mwst. inkl_mwst inkl._ust. inkl._ust zzgl._mwst. zzgl._mwst exkl._mwst. exkl._mwst
    zzgl._versand zzgl._versandkosten zzgl_versand zzgl._versandkosten. versandkostenfrei inkl._versand inkl._moms
    exkl._moms inkl_moms ex._moms ekskl._moms ex_moms inkl._mva inkl_mva ink._mva eks._mva inkl._mva. fri_frakt
    fri_fragt sis._alv alkaen ttc ht hors_taxes hors_taxe taxes_incluses +_taxes livraison_gratuite port_compris
    iva_incluido iva_incluído iva_inclusa iva_incl. iva_incl iva_inc. i.v.a._incluido con_iva sin_iva +_iva más_iva
    iva_esclusa impuestos_incluidos envío_gratis c/u cada_uno cada_una al_contado cad. cadauno spedizione_gratuita
    à_vista a_vista à_vista_no_pix no_pix no_boleto frete_grátis com_iva incl._btw excl._btw incl_btw ex._btw btw k.k.
    v.o.n. gratis_verzending brutto netto bez_dph s_dph včetně_dph vč._dph vrátane_dph z_vat bez_vat sztuki kdv_dahil
    dahil kdv_hariç +_kdv cu_tva fără_tva tva_inclus +_tva +_áfa -tól -től -tol с_ндс без_ндс с_ддс без_ддс з_пдв
    без_пдв с_доставкой με_φπα p.p. p.p pp per_person pro_person par_personne por_persona a_persona od bez_pdv
    s_pdv-om termasuk_ppn đã_bao_gồm_vat chưa_vat รวม_vat से_शुरू כולל_מע"מ شامل_الضريبة شاملة_الضريبة فقط 税込 税抜
    税込み 税別 内税 外税 +税 送料無料 送料込 送料込み 起 起售 含税 含稅 未稅 未税 包邮 免運 から より 부터 vat_포함
    vat포함 vat_별도 부가세_포함 부가세포함 부가세_별도 무료배송 ~
"""
# What a price is for. Prices of a measure have three decimals at times, as those of fuel do.
_MEASURES = (
    r"kg|g|gr|mg|lb|lbs|oz|l|ltr|litre|liter|litro|ml|cl|dl|m|m²|m2|m³|qm|km|ft|ft²|sq ?ft|sqft|sqm|sf|kwh|mwh|gal|"
    r"gallon|min|mile|公斤|斤|кг|г|л|м|м²|кв\.? ?м"
)
_TIMES = (
    r"hour|hr|h|hora|heure|stunde|std|ora|uur|tim|час|saat|jam|day|tag|jour|día|dia|giorno|dag|dzień|den|день|сутки|gün|hari|"
    r"ngày|วัน|日|night|nt|nacht|nuit|noche|noite|notte|natt|nat|noc|ночь|нощ|gece|malam|đêm|คืน|晚|泊|박|week|wk|woche|semaine|"
    r"semana|settimana|uge|uke|vecka|tydzień|týden|неделю|month|mo|mth|mon|mes|mois|monat|mese|mês|maand|mnd|md|mdr|måned|"
    r"mån|månad|kk|kuukausi|miesiąc|mies|měsíc|měs|mesiac|lună|hó|hónap|мес|месяц|міс|місяць|месец|μήνα|ay|bulan|bln|tháng|"
    r"เดือน|月|월|year|yr|annum|an|jahr|año|anno|ano|jaar|år|rok|год|yıl|tahun|năm|ปี|年|년"
)
_PIECES = (
    r"pc|pcs|pce|piece|unit|item|stk|stück|stuk|st|styck|stck|ks|kus|szt|sztukę|sztuka|шт|штуку|бр|buc|db|kpl|kom|adet|pièce|"
    r"pieza|unidad|ud|un|unidade|pezzo|person|pers|personne|persona|pessoa|osobę|osobu|os|чел|pax|kişi|orang|người|คน|ชิ้น|"
    r"user|seat|ticket|lot|ea|each|台|个|件|個|本|人|名|개|인|명|cái|chiếc"
)
_PER = r"per|pro|pr\.?|je|par|por|al|a|an|each|na|za|за|в|la"
UNIT = re.compile(
    rf" ?(?:(?:/ ?|\b(?:{_PER}) )(?P<unit>(?:\d+(?:[.,]\d+)? ?)?(?:{_MEASURES}|{_TIMES}|{_PIECES}))"
    r"|(?P<often>\b(?:pcm|pm|p/m|pw|pppn|p\.m\.?|p\. m|p\.a|monthly|weekly|yearly|monatlich|mtl|"
    r"jährlich|mensuels?|miesięcznie|měsíčně|mesačne|شهريا|شهريًا|شهرياً)))\.?$",
    re.IGNORECASE,
)
"""A unit of measure after a price: `/kg`, `/ 300g`, `per month`."""
_MEASURED = re.compile(rf"(?:\d+(?:[.,]\d+)? ?)?(?:{_MEASURES})", re.IGNORECASE)
NOTES = re.compile(
    r"(?:(?<=\s)|^|\()-\d{1,2}(?:[.,]\d+)? ?%\)?(?:\s|$)"
    r"|\(?\b(?:incl?\.?|inkl\.?|plus|zzgl\.?) \d{1,2}(?:[.,]\d+)? ?% ?(?:vat|mwst|ust|moms|btw|tax|gst|iva)\b\.?\)?",
    re.IGNORECASE,
)
"""A discount in per cent or a rate of tax beside a price."""
_REGULAR = r"rrp|reg\.?|regular(?: price)?|list(?: price)?|uvp"
WAS_NOW = re.compile(
    rf"(?:was|{_REGULAR}|old price|statt|vorher|avant|antes|prima|van|före|før|de|было):? (?P<old>.*?)[,;.]? ?"
    r"(?:now(?: only)?|sale(?: price)?|jetzt(?: nur)?|nur|nu|maintenant|ahora|ora|agora|por|voor|сейчас|стало):? "
    r"(?P<new>.*)",
    re.IGNORECASE,
)
"""A price that was, and the one that is."""
NOW_WAS = re.compile(
    rf"(?P<new>.*?\S),? \(?(?:was|{_REGULAR}|statt|instead of|au lieu de|en vez de|invece di|in plaats van|"
    r"i stället för|zamiast|вместо|yerine):? (?P<old>[^()]*)\)?",
    re.IGNORECASE,
)
"""A price that is, and the one that was."""
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
    while text:
        shorter = _without_last_phrase(text).rstrip(" ,;|·")
        if shorter == text:
            break
        text = shorter
    return text


def _without_last_phrase(text: str) -> str:
    if text.endswith(")") and text.count("(") == 1:
        bare, _, inside = text[:-1].partition("(")
        return text if without_phrases_after(inside.strip()) else bare
    small = text.lower()
    if not small.endswith(AFTER):
        return text
    for phrase in AFTER:
        # Scripts without spaces put words together.
        joined = phrase[0].isalpha() and phrase[0] < "\u0590" and small[: -len(phrase)][-1:].isalpha()
        if small.endswith(phrase) and not joined:
            return text[: -len(phrase)]
    return text


def is_measured(unit: str) -> bool:
    """Whether the unit of a price is a measure, as `kg` is and `month` is not."""
    return _MEASURED.fullmatch(unit) is not None


def is_free(text: str) -> bool:
    """Whether a cleaned text says that something costs nothing."""
    return text.lower() in FREE


def is_empty(text: str) -> bool:
    """Whether a cleaned text stands in place of a value."""
    return not text or text.lower() in EMPTY
