"""Reads percentages, ratings and counts from texts that are one of these and nothing else."""

from __future__ import annotations

import re
from typing import NamedTuple

from meter_pipeline.sync.values.numbers import NUMBER, Spelled, spell
from meter_pipeline.sync.values.scales import find_scale
from meter_pipeline.sync.values.words import words

_PERCENT = re.compile(
    rf"(?P<sign>[+-])?(?:% ?(?P<after>{NUMBER})|(?P<number>{NUMBER}) ?"
    r"(?:%|٪|percent|per cent|prozent|pct|procent|процентов|pour cent|por ciento|por cento|per cento))",
    re.IGNORECASE,
)
_RATING = re.compile(
    r"(?:rated |rating:? |bewertung:? |note:? )?(?P<value>\d{1,3}(?:[.,]\d{1,2})?) ?"
    r"(?:(?P<words>out of|von|sur|de un total de|de|su|van de|van|av|af|из|z|of)|(?P<slash>/)) ?(?P<best>5|10|20|100)"
    r"(?:[.,]0)?(?: ?(?:stars?|sternen?|étoiles?|estrellas|estrelas|stelle|sterren|stjärnor|points?|punkten?|звезд))?",
    re.IGNORECASE,
)
_STARS = re.compile(
    r"(?P<value>\d(?:[.,]\d{1,2})?) ?(?:stars?|sterne?|étoiles?|estrellas?|estrelas?|stell[ae]|sterren|★)",
    re.IGNORECASE,
)
_START = re.compile(NUMBER)
NOUNS = words("""
    review reviews rating ratings view views comment comments vote votes like likes follower followers
    subscriber subscribers download downloads sold result results item items answer answers reply replies post
    posts product products job jobs offer offers listing listings member members user users people person point
    points share shares play plays customer customers bewertung bewertungen rezension rezensionen aufrufe
    kommentar kommentare stimme stimmen artikel ergebnis ergebnisse verkauft treffer angebote avis vue vues
    commentaire commentaires résultat résultats évaluation évaluations vendus vendu produits reseña reseñas
    opinión opiniones valoración valoraciones vista vistas visitas comentario comentarios resultado resultados
    vendidos vendido productos avaliação avaliações visualizações recensione recensioni valutazioni
    visualizzazioni commenti risultati venduti prodotti beoordeling beoordelingen reacties weergaven resultaten
    recensioner omdömen visningar kommentarer anmeldelser opinii opinie opinia komentarzy ocen wyświetleń отзыв
    отзыва отзывов просмотр просмотра просмотров комментарий комментария комментариев оценок оценки оценка yorum
    değerlendirme görüntüleme ulasan terjual penilaian đánh_giá lượt_xem customer_reviews global_ratings 件
    件のレビュー 回視聴 条评论 次观看 人评价 개 리뷰 upvotes stars forks commits contributors
""")

"""Nouns of what is counted, and the patterns of the rest."""
PATTERNS = (_PERCENT, _RATING, _STARS)


class Percentage(NamedTuple):
    """A percentage: its number, and whether a minus stands before it."""

    number: Spelled
    negative: bool


class Rating(NamedTuple):
    """A rating: its value, the best possible one (0 where that is not written), whether it is surely no fraction."""

    number: Spelled
    best: int
    worded: bool


class Count(NamedTuple):
    """A count of things, as `1,234 reviews` or `12k`."""

    number: Spelled
    scale: int
    noun: str


def find_percentage(text: str) -> Percentage | None:
    """The percentage in a cleaned text, or None if the text is not exactly one."""
    match = _PERCENT.fullmatch(text)
    if match is None or (number := spell(match["number"] or match["after"])) is None or number.spaced:
        return None
    return Percentage(number, match["sign"] == "-")


def find_rating(text: str) -> Rating | None:
    """The rating in a cleaned text, or None if the text is not exactly one."""
    if match := _RATING.fullmatch(text):
        best = int(match["best"])
        number = spell(match["value"])
        if number is None or number.value() > best:
            return None
        return Rating(number, best, bool(match["words"]) or bool(number.fraction))
    if match := _STARS.fullmatch(text):
        number = spell(match["value"])
        return Rating(number, 0, True) if number is not None and number.value() <= 5 else None
    return None


def find_count(text: str) -> Count | None:
    """The count in a cleaned text, or None if the text is not exactly one with a known noun or a scale."""
    match = _START.match(text)
    if match is None or (number := spell(match[0])) is None:
        return None
    scale, word, rest = find_scale(text[match.end() :])
    # A word of its own scales money; a letter after digits is how counts are shortened.
    noun = rest.strip().lower().rstrip("+").strip()
    if noun and noun not in NOUNS:
        return None
    if not noun and word not in ("k", "K", "M"):
        return None
    if number.spaced and not noun:
        return None
    if scale == 1 and number.fraction and not number.lone:
        return None
    if scale != 1 and number.lone:
        return None
    if rest.rstrip().endswith("+"):
        return None
    return Count(number, scale, noun)
