"""Reads how long before the scrape something was: `2 days ago`, `gestern`, `3日前`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from meter_pipeline.sync.values.words import words

SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, YEAR = "second", "minute", "hour", "day", "week", "month", "year"

_UNITS = {
    SECOND: """
        second seconds sec secs s sekunde sekunden seconde secondes segundo segundos secondo secondi seconden sekund
        sekunder sekundy sekundę sekúnd sekundami sekunnin sekuntia másodperccel δευτερόλεπτα secunde секунду
        секунды секунд ثانية ثوان ثواني שניות सेकंड sek saniye detik giây 秒 秒钟 秒鐘 초 วินาที
    """,
    MINUTE: """
        minute minutes min mins minuten minuto minutos minuti minut minuter minutter minuty minutę минуту минуты
        минут хвилин хвилини хвилину minutami minuuttia minuutin perccel λεπτά λεπτό دقيقة دقائق דקות דקה मिनट
        dakika menit phút 分 分钟 分鐘 분 นาที
    """,
    HOUR: """
        hour hours hr hrs h stunde stunden heure heures hora horas ora ore uur uren timme timmar time timer godzinę
        godziny godzin hodinou hodinami час часа часов tuntia tunnin órával órája ώρες ώρα oră ساعة ساعات שעות שעה
        घंटे घंटा годину години годин saat jam giờ 時間 小时 小時 시간 ชั่วโมง
    """,
    DAY: """
        day days d tag tagen jour jours día días dia dias giorno giorni dag dagen dagar dage dager dzień dni dnem
        dny день дня дней дні днів gün päivää päivän nappal napja ημέρες ημέρα μέρες zile zi يوم أيام ימים יום दिन
        hari ngày 日 天 일 วัน nap
    """,
    WEEK: """
        week weeks w wk wks woche wochen semaine semaines semana semanas settimana settimane weken vecka veckor uge
        uger uke uker tydzień tygodnie tygodni týdnem týdny неделю недели недель тиждень тижні тижнів hafta viikkoa
        viikon héttel hete εβδομάδες εβδομάδα săptămâni săptămână أسابيع أسبوع שבועות שבוע सप्ताह हफ़्ते minggu tuần
        週間 周 週 주 สัปดาห์
    """,
    MONTH: """
        month months mo mos monat monaten mois mes meses mês mese mesi maand maanden månad månader måned måneder
        miesiąc miesiące miesięcy měsícem měsíci месяц месяца месяцев місяць місяці місяців ay kuukautta kuukauden
        hónappal hónapja μήνες μήνα luni lună أشهر شهر חודשים חודש महीने महीना bulan tháng ヶ月 か月 个月 個月 개월
        เดือน
    """,
    YEAR: """
        year years yr yrs y jahr jahren an ans año años ano anos anno anni jaar år rok lata lat rokem lety год года
        лет рік роки років yıl vuotta vuoden évvel éve χρόνια χρόνο έτη ani سنوات سنة שנים שנה साल वर्ष tahun năm 年
        년 ปี
    """,
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()}
_ONE = words("a an one einer einem eine un une una uno um uma een en ett et eén één én jeden jedna μία ένα ένας")
_BEFORE = "vor|il y a|hace|há|för|for|przed|před|pred|πριν|πριν από|منذ|قبل|לפני|acum|преди"
_AFTER = (
    "ago|fa|geleden|sedan|siden|temu|назад|тому|тому назад|önce|lalu|yang lalu|trước|前|之前|以前|전|ที่แล้ว|"
    "atrás|sitten|ezelőtt|पहले|evvel"
)
_BEGINNINGS, _ENDINGS = tuple(f"{word} " for word in _BEFORE.split("|")), tuple(_AFTER.split("|"))
# Vowel signs of Indian scripts are no letters to `re`.
_UNIT = r"(?P<unit>[^\d\s.]+?)\.?"
_FORMS = (
    re.compile(
        r"(?:posted |published |updated |about |über |noin |около )?"
        rf"(?P<count>\d{{1,4}}|[^\W\d_]+) ?{_UNIT} ?(?:{_AFTER})"
    ),
    re.compile(
        rf"(?:{_BEFORE}) (?:über |etwa |environ |cerca de )?(?P<count>\d{{1,4}}|[^\W\d_]+) ?{_UNIT}(?: sedan| siden)?"
    ),
)
_DAYS = {
    0: """
        today heute aujourd'hui hoy hoje oggi vandaag idag i_dag dzisiaj dziś dnes сегодня сьогодні bugün tänään
        σήμερα azi astăzi اليوم היום hôm_nay วันนี้ 今日 今天 오늘
    """,
    1: """
        yesterday gestern hier ayer ontem ieri gisteren igår i_går wczoraj včera вчера вчора dün eilen tegnap χθες
        أمس אתמול kemarin hôm_qua เมื่อวาน včeraj 昨日 昨天 어제
    """,
    2: """
        vorgestern avant-hier anteayer anteontem l'altro_ieri eergisteren i_förrgår i_forgårs позавчера przedwczoraj
        一昨日 前天 그저께
    """,
}
_NAMED = {word.replace("_", " "): days for days, words in _DAYS.items() for word in words.split()}
_NOW = words("just_now now moments_ago gerade_eben à_l'instant ahora_mismo agora_mesmo только_что 刚刚 たった今 방금")

PATTERNS = _FORMS
WORDS = frozenset([*_UNIT_OF, *_ONE, *_NAMED, *_NOW])
"""Words that this module knows beside those in its patterns."""


class Age(NamedTuple):
    """How long ago something was."""

    number: int
    unit: str

    def before(self, moment: datetime) -> datetime:
        """The time this long before `moment`; midnight of that day for days and more, which say no hour."""
        if self.unit in (SECOND, MINUTE, HOUR):
            return moment - timedelta(**{f"{self.unit}s": self.number})
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.unit in (DAY, WEEK):
            return midnight - timedelta(days=self.number * (7 if self.unit == WEEK else 1))
        months = midnight.year * 12 + midnight.month - 1 - self.number * (12 if self.unit == YEAR else 1)
        year, month = divmod(months, 12)
        # The last day of a month that is shorter.
        for day in range(midnight.day, 27, -1):
            try:
                return midnight.replace(year=year, month=month + 1, day=day)
            except ValueError:
                continue
        return midnight.replace(year=year, month=month + 1, day=min(midnight.day, 28))


def find_age(text: str) -> Age | None:
    """The age that a cleaned text states, or None if the text is not exactly that."""
    if len(text) > 40:
        return None
    text = text.lower()
    if text in _NOW:
        return Age(0, SECOND)
    if (days := _NAMED.get(text)) is not None:
        return Age(days, DAY)
    # Most texts are no age: these words are found in a tenth of the time that the patterns take.
    if not text.endswith(_ENDINGS) and not text.startswith(_BEGINNINGS):
        return None
    for form in _FORMS:
        match = form.fullmatch(text)
        if match is None:
            continue
        unit = _UNIT_OF.get(match["unit"])
        count = match["count"]
        if unit is not None and (count.isdigit() or count in _ONE):
            number = int(count) if count.isdigit() else 1
            # Nothing scraped is older; a larger number is another thing.
            return Age(number, unit) if number <= 1000 else None
    return None
