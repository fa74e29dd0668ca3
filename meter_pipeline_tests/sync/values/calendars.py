"""Dates, times and ages as sites of many languages write them, with the moment that each of them means."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple


class Language(NamedTuple):
    """How dates are written: names from January and Monday on, and forms.

    Forms have `{d}` and `{dd}` for the day, `{B}` and `{b}` for the month, `{A}` and `{a}` for the weekday, `{y}`.
    """

    months: str
    short: str
    days: str
    short_days: str
    forms: str


LANGUAGES = {
    "english": Language(
        "January February March April May June July August September October November December",
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "Mon Tue Wed Thu Fri Sat Sun",
        "{B} {d}, {y}|{b} {d}, {y}|{d} {B} {y}|{A}, {B} {d}, {y}|{a}, {dd} {b} {y}|{th} {B} {y}|{B} {th}, {y}|"
        "{b}. {d}, {y}|{dd}-{b}-{y}|{a} {b} {dd} {y}|{A} {d} {B} {y}|{a} {d} {b} {y}|the {th} of {B} {y}|"
        "{A}, {th} {B} {y}",
    ),
    "german": Language(
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
        "Mo Di Mi Do Fr Sa So",
        "{d}. {B} {y}|{A}, {d}. {B} {y}|{a}., {d}. {b} {y}|{dd}. {b} {y}|am {d}. {B} {y}|{A}, den {d}. {B} {y}|"
        "{a} {d}. {B} {y}",
    ),
    "french": Language(
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        "lun. mar. mer. jeu. ven. sam. dim.",
        "{er} {B} {y}|{d} {b} {y}|{A} {er} {B} {y}|le {er} {B} {y}|{a} {d} {b} {y}|le {A} {er} {B} {y}",
    ),
    "spanish": Language(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "ene feb mar abr may jun jul ago sept oct nov dic",
        "lunes martes miércoles jueves viernes sábado domingo",
        "lun mar mié jue vie sáb dom",
        "{d} de {B} de {y}|{A}, {d} de {B} de {y}|{d} {b} {y}|{a}, {d} {b} {y}|{d} {B} {y}|{d} de {B} del {y}|"
        "{d}-{b}-{y}",
    ),
    "portuguese": Language(
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "jan fev mar abr mai jun jul ago set out nov dez",
        "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
        "seg ter qua qui sex sáb dom",
        "{d} de {B} de {y}|{A}, {d} de {B} de {y}|{d} de {b} de {y}|{d} de {b}. de {y}|{o} de {B} de {y}|{d} {b} {y}",
    ),
    "italian": Language(
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "gen feb mar apr mag giu lug ago set ott nov dic",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
        "lun mar mer gio ven sab dom",
        "{d} {B} {y}|{A} {d} {B} {y}|{d} {b} {y}|{A}, {d} {B} {y}|{a} {d} {b} {y}|{deg} {B} {y}",
    ),
    "dutch": Language(
        "januari februari maart april mei juni juli augustus september oktober november december",
        "jan. feb. mrt. apr. mei jun. jul. aug. sep. okt. nov. dec.",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
        "ma di wo do vr za zo",
        "{d} {B} {y}|{A} {d} {B} {y}|{d} {b} {y}|{a} {d} {b} {y}|{d}-{B}-{y}",
    ),
    "swedish": Language(
        "januari februari mars april maj juni juli augusti september oktober november december",
        "jan. feb. mars apr. maj juni juli aug. sep. okt. nov. dec.",
        "måndag tisdag onsdag torsdag fredag lördag söndag",
        "mån tis ons tors fre lör sön",
        "{d} {B} {y}|den {d} {B} {y}|{A} {d} {B} {y}|{A} den {d} {B} {y}|{d} {b} {y}|{a} {d} {b} {y}",
    ),
    "danish": Language(
        "januar februar marts april maj juni juli august september oktober november december",
        "jan. feb. mar. apr. maj jun. jul. aug. sep. okt. nov. dec.",
        "mandag tirsdag onsdag torsdag fredag lørdag søndag",
        "man. tirs. ons. tors. fre. lør. søn.",
        "{d}. {B} {y}|{A} den {d}. {B} {y}|{A} d. {d}. {B} {y}|{d}. {b} {y}|d. {d}. {B} {y}|{a} {d}. {b} {y}",
    ),
    "norwegian": Language(
        "januar februar mars april mai juni juli august september oktober november desember",
        "jan. feb. mars apr. mai juni juli aug. sep. okt. nov. des.",
        "mandag tirsdag onsdag torsdag fredag lørdag søndag",
        "man. tir. ons. tor. fre. lør. søn.",
        "{d}. {B} {y}|{A} {d}. {B} {y}|{d}. {b} {y}|{a} {d}. {b} {y}",
    ),
    "finnish": Language(
        "tammikuuta helmikuuta maaliskuuta huhtikuuta toukokuuta kesäkuuta heinäkuuta elokuuta syyskuuta lokakuuta "
        "marraskuuta joulukuuta",
        "tammi helmi maalis huhti touko kesä heinä elo syys loka marras joulu",
        "maanantaina tiistaina keskiviikkona torstaina perjantaina lauantaina sunnuntaina",
        "ma ti ke to pe la su",
        "{d}. {B} {y}|{A} {d}. {B} {y}|{a} {d}. {B} {y}",
    ),
    "polish": Language(
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
        "sty lut mar kwi maj cze lip sie wrz paź lis gru",
        "poniedziałek wtorek środa czwartek piątek sobota niedziela",
        "pon. wt. śr. czw. pt. sob. niedz.",
        "{d} {B} {y}|{A}, {d} {B} {y}|{d} {b} {y}|{d} {B} {y} r.|{A}, {d} {B} {y} r.|{a}, {d} {b} {y}",
    ),
    "czech": Language(
        "ledna února března dubna května června července srpna září října listopadu prosince",
        "led úno bře dub kvě čvn čvc srp zář říj lis pro",
        "pondělí úterý středa čtvrtek pátek sobota neděle",
        "po út st čt pá so ne",
        "{d}. {B} {y}|{A} {d}. {B} {y}|{d}. {b} {y}|{a} {d}. {B} {y}",
    ),
    "hungarian": Language(
        "január február március április május június július augusztus szeptember október november december",
        "jan. febr. márc. ápr. máj. jún. júl. aug. szept. okt. nov. dec.",
        "hétfő kedd szerda csütörtök péntek szombat vasárnap",
        "h k sze cs p szo v",
        "{y}. {B} {d}.|{y}. {B} {d}., {A}|{y}. {b} {d}.|{y}. {B} {d}",
    ),
    "romanian": Language(
        "ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie decembrie",
        "ian. feb. mar. apr. mai iun. iul. aug. sept. oct. nov. dec.",
        "luni marți miercuri joi vineri sâmbătă duminică",
        "lun. mar. mie. joi vin. sâm. dum.",
        "{d} {B} {y}|{A}, {d} {B} {y}|{d} {b} {y}|{a}, {d} {b} {y}",
    ),
    "russian": Language(
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
        "янв. февр. мар. апр. мая июн. июл. авг. сент. окт. нояб. дек.",
        "понедельник вторник среда четверг пятница суббота воскресенье",
        "пн вт ср чт пт сб вс",
        "{d} {B} {y}|{d} {B} {y} г.|{A}, {d} {B} {y} г.|{d} {b} {y}|{d} {B} {y} года|{a}, {d} {b} {y}|{d} {B} {y}г.",
    ),
    "ukrainian": Language(
        "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
        "січ. лют. бер. квіт. трав. черв. лип. серп. вер. жовт. лист. груд.",
        "понеділок вівторок середа четвер п'ятниця субота неділя",
        "пн вт ср чт пт сб нд",
        "{d} {B} {y}|{d} {B} {y} р.|{A}, {d} {B} {y} р.|{d} {b} {y}|{d} {B} {y} року",
    ),
    "turkish": Language(
        "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık",
        "Oca Şub Mar Nis May Haz Tem Ağu Eyl Eki Kas Ara",
        "Pazartesi Salı Çarşamba Perşembe Cuma Cumartesi Pazar",
        "Pzt Sal Çar Per Cum Cmt Paz",
        "{d} {B} {y}|{d} {B} {y} {A}|{d} {b} {y}|{d} {B} {y}, {A}|{A}, {d} {B} {y}",
    ),
    "greek": Language(
        "Ιανουαρίου Φεβρουαρίου Μαρτίου Απριλίου Μαΐου Ιουνίου Ιουλίου Αυγούστου Σεπτεμβρίου Οκτωβρίου Νοεμβρίου "
        "Δεκεμβρίου",
        "Ιαν Φεβ Μαρ Απρ Μαΐ Ιουν Ιουλ Αυγ Σεπ Οκτ Νοε Δεκ",
        "Δευτέρα Τρίτη Τετάρτη Πέμπτη Παρασκευή Σάββατο Κυριακή",
        "Δευ Τρί Τετ Πέμ Παρ Σάβ Κυρ",
        "{d} {B} {y}|{A}, {d} {B} {y}|{A} {d} {B} {y}|{d} {b} {y}",
    ),
    "bulgarian": Language(
        "януари февруари март април май юни юли август септември октомври ноември декември",
        "яну фев март апр май юни юли авг сеп окт ное дек",
        "понеделник вторник сряда четвъртък петък събота неделя",
        "пн вт ср чт пт сб нд",
        "{d} {B} {y}|{d} {B} {y} г.|{A}, {d} {B} {y} г.|{d} {b} {y}",
    ),
    "indonesian": Language(
        "Januari Februari Maret April Mei Juni Juli Agustus September Oktober November Desember",
        "Jan Feb Mar Apr Mei Jun Jul Agt Sep Okt Nov Des",
        "Senin Selasa Rabu Kamis Jumat Sabtu Minggu",
        "Sen Sel Rab Kam Jum Sab Min",
        "{d} {B} {y}|{A}, {d} {B} {y}|{d} {b} {y}|{a}, {d} {b} {y}",
    ),
    "vietnamese": Language(
        " ".join(f"tháng_{month}" for month in range(1, 13)),
        " ".join(f"Tháng_{month}," for month in range(1, 13)),
        "Thứ_Hai Thứ_Ba Thứ_Tư Thứ_Năm Thứ_Sáu Thứ_Bảy Chủ_Nhật",
        "T2 T3 T4 T5 T6 T7 CN",
        "{d} {B} năm {y}|ngày {d} {B} năm {y}|{d} {b} {y}|{A}, {d} {B}, {y}|{A}, ngày {d} {B} năm {y}",
    ),
    "arabic": Language(
        "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
        "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
        "الاثنين الثلاثاء الأربعاء الخميس الجمعة السبت الأحد",
        "الاثنين الثلاثاء الأربعاء الخميس الجمعة السبت الأحد",
        "{d} {B} {y}|{A} {d} {B} {y}|{A}، {d} {B} {y}|{d} {B}، {y}",
    ),
    "hebrew": Language(
        "בינואר בפברואר במרץ באפריל במאי ביוני ביולי באוגוסט בספטמבר באוקטובר בנובמבר בדצמבר",
        "ינואר פברואר מרץ אפריל מאי יוני יולי אוגוסט ספטמבר אוקטובר נובמבר דצמבר",
        "יום_שני יום_שלישי יום_רביעי יום_חמישי יום_שישי שבת יום_ראשון",
        "יום_ב׳ יום_ג׳ יום_ד׳ יום_ה׳ יום_ו׳ שבת יום_א׳",
        "{d} {B} {y}|{A}, {d} {B} {y}|{d} {b} {y}",
    ),
    "hindi": Language(
        "जनवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर अक्टूबर नवंबर दिसंबर",
        "जन॰ फ़र॰ मार्च अप्रैल मई जून जुल॰ अग॰ सित॰ अक्टू॰ नव॰ दिस॰",
        "सोमवार मंगलवार बुधवार गुरुवार शुक्रवार शनिवार रविवार",
        "सोम मंगल बुध गुरु शुक्र शनि रवि",
        "{d} {B} {y}|{A}, {d} {B} {y}|{d} {B}, {y}",
    ),
    "japanese": Language(
        " ".join(f"{month}月" for month in range(1, 13)),
        " ".join(f"{month:02}月" for month in range(1, 13)),
        "月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日",
        "月 火 水 木 金 土 日",
        "{y}年{B}{d}日|{y}年{b}{dd}日|{y}年{B}{d}日({a})|{y}年{B}{d}日（{a}）|{y}年{B}{d}日 {A}|{y}年{B}{d}日{A}",
    ),
    "korean": Language(
        " ".join(f"{month}월" for month in range(1, 13)),
        " ".join(f"{month:02}월" for month in range(1, 13)),
        "월요일 화요일 수요일 목요일 금요일 토요일 일요일",
        "월 화 수 목 금 토 일",
        "{y}년 {B} {d}일|{y}년 {b} {dd}일|{y}년 {B} {d}일 {A}|{y}년 {B} {d}일 ({a})|{y}년 {B} {d}일({a})",
    ),
    "chinese": Language(
        " ".join(f"{month}月" for month in range(1, 13)),
        " ".join(f"{month:02}月" for month in range(1, 13)),
        "星期一 星期二 星期三 星期四 星期五 星期六 星期日",
        "周一 周二 周三 周四 周五 周六 周日",
        "{y}年{B}{d}日|{y}年{b}{dd}日|{y}年{B}{d}日{A}|{y}年{B}{d}日 {A}|{y}年{B}{d}日({a})",
    ),
}  # fmt: skip
NUMERIC = (
    "%d/%m/%Y|%m/%d/%Y|%d.%m.%Y|%Y-%m-%d|%Y/%m/%d|%Y.%m.%d|%d-%m-%Y|%m-%d-%Y|%d. %m. %Y|%Y. %m. %d.|%d.%m.%Y г.|"
    "%d/%b/%Y|%d-%b-%Y|%Y-%b-%d|%b-%d-%Y"
)
CLOCKS = "%H:%M|%H:%M:%S|%I:%M %p|%I:%M%p|at %I:%M %p|, %H:%M|T%H:%M:%S|@ %I:%M %p|- %H:%M"
ZONES = {
    "Z": 0,
    " UTC": 0,
    " GMT": 0,
    "+00:00": 0,
    "+01:00": 60,
    "-05:00": -300,
    " +0530": 330,
    " UTC+2": 120,
    "+09": 540,
}
# Texts of dates that are none, or of which no other text shows what they mean.
NO_DATES = (
    "20260302|2026-W10|Q1 2026|March 2026|2 Mar|12:30|2569-03-02|2 มีนาคม 2569|02/03/2569|令和8年3月2日|1404/12/11|"
    "۱۱ اسفند ۱۴۰۴|1772409600|1772409600000|31.02.2026|2026-13-01|02.03.26|2/3/26|02-MAR-26|3.2.1|10.0.0.1|2026|FY2026|"
    "5-6-7"
)


def _nth(day: int) -> str:
    return f"{day}{'th' if 10 < day < 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def write_date(language: Language, form: str, day: date) -> str:
    """A date in a form of a language."""
    names = {
        key: table.split()[place].replace("_", " ")
        for key, table, place in (
            ("B", language.months, day.month - 1),
            ("b", language.short, day.month - 1),
            ("A", language.days, day.weekday()),
            ("a", language.short_days, day.weekday()),
        )
    }
    first = day.day == 1
    numbers = {"d": day.day, "dd": f"{day.day:02}", "y": day.year, "th": _nth(day.day)}
    ordinals = {
        mark: f"{day.day}{sign}" if first else day.day for mark, sign in (("er", "er"), ("o", "º"), ("deg", "°"))
    }
    return form.format(**names, **numbers, **ordinals)


def draw_day(random_: random.Random) -> date:
    """A day between 1980 and 2039."""
    return date(1980, 1, 1) + timedelta(random_.randrange(21_900))


def open_dates(random_: random.Random, name: str, size: int) -> Iterator[tuple[str, date]]:
    """Dates of one site of a language, with one or two forms."""
    language = LANGUAGES[name]
    forms = random_.sample(language.forms.split("|"), 2 if random_.random() < 0.3 else 1)
    change = random_.choice([str, str, str, str.lower, str.upper])
    for _ in range(size):
        day = draw_day(random_)
        text = write_date(language, random_.choice(forms), day)
        yield (change(text) if name not in ("turkish", "greek") else text), day


def open_times(random_: random.Random, size: int) -> Iterator[tuple[str, datetime]]:
    """Times of one English site with one form, with or without a zone."""
    form, clock = (
        random_.choice(["%Y-%m-%d", "%d %B %Y", "%b %d, %Y", "%a, %d %b %Y", "%d.%m.%Y", "%m/%d/%Y"]),
        random_.choice(CLOCKS.split("|")),
    )
    zones = random_.choice([[""], [zone for zone in ZONES if "%p" not in clock or zone != "Z"]])
    for _ in range(size):
        moment = datetime.combine(draw_day(random_), datetime.min.time()) + timedelta(seconds=random_.randrange(86_400))
        if "%S" not in clock:
            moment = moment.replace(second=0)
        zone = random_.choice(zones)
        joint = "" if clock[0] in ",T" else " "
        text = moment.strftime(form + joint + clock) + zone
        yield text, (moment - timedelta(minutes=ZONES[zone])).replace(tzinfo=timezone.utc) if zone else moment


# By language: the form of an age with its number, and the plurals of second, minute, hour, day, week, month and year.
AGES = {
    "english": ("{} ago", "seconds minutes hours days weeks months years"),
    "german": ("vor {}", "Sekunden Minuten Stunden Tagen Wochen Monaten Jahren"),
    "french": ("il y a {}", "secondes minutes heures jours semaines mois ans"),
    "spanish": ("hace {}", "segundos minutos horas días semanas meses años"),
    "portuguese": ("há {}", "segundos minutos horas dias semanas meses anos"),
    "italian": ("{} fa", "secondi minuti ore giorni settimane mesi anni"),
    "dutch": ("{} geleden", "seconden minuten uur dagen weken maanden jaar"),
    "swedish": ("för {} sedan", "sekunder minuter timmar dagar veckor månader år"),
    "danish": ("for {} siden", "sekunder minutter timer dage uger måneder år"),
    "norwegian": ("for {} siden", "sekunder minutter timer dager uker måneder år"),
    "finnish": ("{} sitten", "sekuntia minuuttia tuntia päivää viikkoa kuukautta vuotta"),
    "polish": ("{} temu", "sekund minut godzin dni tygodni miesięcy lat"),
    "czech": ("před {}", "sekundami minutami hodinami dny týdny měsíci lety"),
    "hungarian": ("{} ezelőtt", "másodperccel perccel órával nappal héttel hónappal évvel"),
    "romanian": ("acum {}", "secunde minute ore zile săptămâni luni ani"),
    "russian": ("{} назад", "секунд минут часов дней недель месяцев лет"),
    "ukrainian": ("{} тому", "секунд хвилин годин днів тижнів місяців років"),
    "turkish": ("{} önce", "saniye dakika saat gün hafta ay yıl"),
    "greek": ("πριν από {}", "δευτερόλεπτα λεπτά ώρες ημέρες εβδομάδες μήνες χρόνια"),
    "indonesian": ("{} yang lalu", "detik menit jam hari minggu bulan tahun"),
    "vietnamese": ("{} trước", "giây phút giờ ngày tuần tháng năm"),
    "arabic": ("منذ {}", "ثواني دقائق ساعات أيام أسابيع أشهر سنوات"),
    "hebrew": ("לפני {}", "שניות דקות שעות ימים שבועות חודשים שנים"),
    "hindi": ("{} पहले", "सेकंड मिनट घंटे दिन सप्ताह महीने साल"),
    "japanese": ("{}前", "秒 分 時間 日 週間 か月 年"),
    "korean": ("{} 전", "초 분 시간 일 주 개월 년"),
    "chinese": ("{}前", "秒 分钟 小时 天 周 个月 年"),
}
AGE_UNITS = ("second", "minute", "hour", "day", "week", "month", "year")
