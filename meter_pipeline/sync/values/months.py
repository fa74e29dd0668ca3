"""Names of months and weekdays in large languages.

They are listed here rather than read from a locale library while jobs are loaded: rows must not depend on the version
of a library, nor on the order in which its locales are first used.
"""

from __future__ import annotations

from meter_pipeline.sync.values.words import words

# January to December after the language; spellings of a month are separated by `|`, an underscore is a space.
_MONTHS_TEXT = """
    en: january|jan february|feb march|mar april|apr may june|jun july|jul august|aug september|sep
        october|oct november|nov december|dec
    de: januar|jan februar|feb märz|mär april|apr mai juni|jun juli|jul august|aug
        september|sept|sep oktober|okt november|nov dezember|dez
    fr: janvier|janv février|févr mars avril|avr mai juin juillet|juil août septembre|sept
        octobre|oct novembre|nov décembre|déc
    es: enero|ene febrero|feb marzo|mar abril|abr mayo|may junio|jun julio|jul agosto|ago
        septiembre|sept octubre|oct noviembre|nov diciembre|dic
    pt: janeiro|jan fevereiro|fev março|mar abril|abr maio|mai junho|jun julho|jul agosto|ago
        setembro|set outubro|out novembro|nov dezembro|dez
    it: gennaio|gen febbraio|feb marzo|mar aprile|apr maggio|mag giugno|giu luglio|lug agosto|ago
        settembre|set ottobre|ott novembre|nov dicembre|dic
    nl: januari|jan februari|feb maart|mrt april|apr mei juni|jun juli|jul augustus|aug
        september|sep oktober|okt november|nov december|dec
    sv: januari|jan februari|feb mars april|apr maj juni juli augusti|aug september|sep oktober|okt
        november|nov december|dec
    da: januar|jan februar|feb marts|mar april|apr maj juni|jun juli|jul august|aug september|sep
        oktober|okt november|nov december|dec
    nb: januar|jan februar|feb mars|mar april|apr mai juni|jun juli|jul august|aug september|sep
        oktober|okt november|nov desember|des
    fi: tammikuuta|tammi|tammikuu helmikuuta|helmi|helmikuu maaliskuuta|maalis|maaliskuu
        huhtikuuta|huhti|huhtikuu toukokuuta|touko|toukokuu kesäkuuta|kesä|kesäkuu
        heinäkuuta|heinä|heinäkuu elokuuta|elo|elokuu syyskuuta|syys|syyskuu lokakuuta|loka|lokakuu
        marraskuuta|marras|marraskuu joulukuuta|joulu|joulukuu
    is: janúar|jan febrúar|feb mars|mar apríl|apr maí júní|jún júlí|júl ágúst|ágú september|sep
        október|okt nóvember|nóv desember|des
    pl: stycznia|sty|styczeń lutego|lut|luty marca|mar|marzec kwietnia|kwi|kwiecień maja|maj
        czerwca|cze|czerwiec lipca|lip|lipiec sierpnia|sie|sierpień września|wrz|wrzesień
        października|paź|październik listopada|lis|listopad grudnia|gru|grudzień
    cs: ledna|led|leden února|úno|únor března|bře|březen dubna|dub|duben května|kvě|květen
        června|čvn|červen července|čvc|červenec srpna|srp|srpen září|zář října|říj|říjen
        listopadu|lis|listopad prosince|pro|prosinec
    sk: januára|jan|január februára|feb|február marca|mar|marec apríla|apr|apríl mája|máj júna|jún
        júla|júl augusta|aug|august septembra|sep|september októbra|okt|október
        novembra|nov|november decembra|dec|december
    hr: siječnja|sij|siječanj veljače|velj|veljača ožujka|ožu|ožujak travnja|tra|travanj
        svibnja|svi|svibanj lipnja|lip|lipanj srpnja|srp|srpanj kolovoza|kol|kolovoz rujna|ruj|rujan
        listopada|lis|listopad studenoga|stu|studeni prosinca|pro|prosinac
    sl: januar|jan februar|feb marec|mar april|apr maj junij|jun julij|jul avgust|avg september|sep
        oktober|okt november|nov december|dec
    sr: јануар|јан фебруар|феб март|мар април|апр мај јун јул август|авг септембар|сеп октобар|окт
        новембар|нов децембар|дец
    sr_Latn: januar|jan februar|feb mart|mar april|apr maj jun jul avgust|avg septembar|sep
        oktobar|okt novembar|nov decembar|dec
    bg: януари|яну февруари|фев март април|апр май юни юли август|авг септември|сеп октомври|окт
        ноември|ное декември|дек
    ru: января|янв|январь февраля|февр|февраль марта|мар|март апреля|апр|апрель мая|май
        июня|июн|июнь июля|июл|июль августа|авг|август сентября|сент|сентябрь октября|окт|октябрь
        ноября|нояб|ноябрь декабря|дек|декабрь
    uk: січня|січ|січень лютого|лют|лютий березня|бер|березень квітня|квіт|квітень
        травня|трав|травень червня|черв|червень липня|лип|липень серпня|серп|серпень
        вересня|вер|вересень жовтня|жовт|жовтень листопада|лист|листопад грудня|груд|грудень
    be: студзеня|сту|студзень лютага|лют|люты сакавіка|сак|сакавік красавіка|кра|красавік мая|май
        чэрвеня|чэр|чэрвень ліпеня|ліп|ліпень жніўня|жні|жнівень верасня|вер|верасень
        кастрычніка|кас|кастрычнік лістапада|ліс|лістапад снежня|сне|снежань
    mk: јануари|јан февруари|фев март|мар април|апр мај јуни|јун јули|јул август|авг септември|сеп
        октомври|окт ноември|ное декември|дек
    ro: ianuarie|ian februarie|feb martie|mar aprilie|apr mai iunie|iun iulie|iul august|aug
        septembrie|sept octombrie|oct noiembrie|nov decembrie|dec
    hu: január|jan február|febr március|márc április|ápr május|máj június|jún július|júl
        augusztus|aug szeptember|szept október|okt november|nov december|dec
    tr: ocak|oca şubat|şub mart|mar nisan|nis mayıs|may haziran|haz temmuz|tem ağustos|ağu eylül|eyl
        ekim|eki kasım|kas aralık|ara
    az: yanvar|yan fevral|fev mart|mar aprel|apr may iyun|iyn iyul|iyl avqust|avq sentyabr|sen
        oktyabr|okt noyabr|noy dekabr|dek
    el: ιανουαρίου|ιαν|ιανουάριος φεβρουαρίου|φεβ|φεβρουάριος μαρτίου|μαρ|μάρτιος|μάρ
        απριλίου|απρ|απρίλιος μαΐου|μαΐ|μάιος|μάι ιουνίου|ιουν|ιούνιος|ιούν
        ιουλίου|ιουλ|ιούλιος|ιούλ αυγούστου|αυγ|αύγουστος|αύγ σεπτεμβρίου|σεπ|σεπτέμβριος
        οκτωβρίου|οκτ|οκτώβριος νοεμβρίου|νοε|νοέμβριος|νοέ δεκεμβρίου|δεκ|δεκέμβριος
    he: ינואר|ינו פברואר|פבר מרץ אפריל|אפר מאי יוני יולי אוגוסט|אוג ספטמבר|ספט אוקטובר|אוק
        נובמבר|נוב דצמבר|דצמ
    ar: يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر
    hi: जनवरी|जन॰ फ़रवरी|फ़र॰ मार्च अप्रैल मई जून जुलाई|जुल॰ अगस्त|अग॰ सितंबर|सित॰ अक्टूबर|अक्टू॰
        नवंबर|नव॰ दिसंबर|दिस॰
    bn: জানুয়ারী|জানু ফেব্রুয়ারী|ফেব মার্চ এপ্রিল|এপ্রি মে জুন জুলাই|জুল আগস্ট|আগ সেপ্টেম্বর|সেপ
        অক্টোবর|অক্টো নভেম্বর|নভে ডিসেম্বর|ডিসে
    ta: ஜனவரி|ஜன பிப்ரவரி|பிப் மார்ச்|மார் ஏப்ரல்|ஏப் மே ஜூன் ஜூலை ஆகஸ்ட்|ஆக செப்டம்பர்|செப்
        அக்டோபர்|அக் நவம்பர்|நவ டிசம்பர்|டிச
    mr: जानेवारी|जाने फेब्रुवारी|फेब्रु मार्च एप्रिल|एप्रि मे जून जुलै ऑगस्ट|ऑग सप्टेंबर|सप्टें
        ऑक्टोबर|ऑक्टो नोव्हेंबर|नोव्हें डिसेंबर|डिसें
    th: มกราคม|ม.ค กุมภาพันธ์|ก.พ มีนาคม|มี.ค เมษายน|เม.ย พฤษภาคม|พ.ค มิถุนายน|มิ.ย กรกฎาคม|ก.ค
        สิงหาคม|ส.ค กันยายน|ก.ย ตุลาคม|ต.ค พฤศจิกายน|พ.ย ธันวาคม|ธ.ค
    id: januari|jan februari|feb maret|mar april|apr mei juni|jun juli|jul agustus|agu september|sep
        oktober|okt november|nov desember|des
    ms: januari|jan februari|feb mac april|apr mei jun julai|jul ogos|ogo september|sep oktober|okt
        november|nov disember|dis
    lt: sausio|saus|sausis vasario|vas|vasaris kovo|kov|kovas balandžio|bal|balandis
        gegužės|geg|gegužė birželio|birž|birželis liepos|liep|liepa rugpjūčio|rugp|rugpjūtis
        rugsėjo|rugs|rugsėjis spalio|spal|spalis lapkričio|lapkr|lapkritis gruodžio|gruod|gruodis
    lv: janvāris|janv februāris|febr marts aprīlis|apr maijs jūnijs|jūn jūlijs|jūl augusts|aug
        septembris|sept oktobris|okt novembris|nov decembris|dec
    et: jaanuar|jaan veebruar|veebr märts aprill|apr mai juuni juuli august|aug september|sept
        oktoober|okt november|nov detsember|dets
    ca: de_gener|de_gen|gener|gen de_febrer|de_febr|febrer|febr de_març|març d'abril|d'abr|abril|abr
        de_maig|maig de_juny|juny de_juliol|de_jul|juliol|jul d'agost|d'ag|agost|ag
        de_setembre|de_set|setembre|set d'octubre|d'oct|octubre|oct de_novembre|de_nov|novembre|nov
        de_desembre|de_des|desembre|des
    eu: urtarrila|urt otsaila|ots martxoa|mar apirila|api maiatza|mai ekaina|eka uztaila|uzt
        abuztua|abu iraila|ira urria|urr azaroa|aza abendua|abe
    gl: xaneiro|xan febreiro|feb marzo|mar abril|abr maio xuño xullo|xul agosto|ago setembro|set
        outubro|out novembro|nov decembro|dec
    sq: janar|jan shkurt|shk mars|mar prill|pri maj qershor|qer korrik|korr gusht|gush shtator|sht
        tetor|tet nëntor|nën dhjetor|dhj
    ka: იანვარი|იან თებერვალი|თებ მარტი|მარ აპრილი|აპრ მაისი|მაი ივნისი|ივნ ივლისი|ივლ აგვისტო|აგვ
        სექტემბერი|სექ ოქტომბერი|ოქტ ნოემბერი|ნოე დეკემბერი|დეკ
    hy: հունվարի|հնվ|հունվար փետրվարի|փտվ|փետրվար մարտի|մրտ|մարտ ապրիլի|ապր|ապրիլ մայիսի|մյս|մայիս
        հունիսի|հնս|հունիս հուլիսի|հլս|հուլիս օգոստոսի|օգս|օգոստոս սեպտեմբերի|սեպ|սեպտեմբեր
        հոկտեմբերի|հոկ|հոկտեմբեր նոյեմբերի|նոյ|նոյեմբեր դեկտեմբերի|դեկ|դեկտեմբեր
    kk: қаңтар|қаң ақпан|ақп наурыз|нау сәуір|сәу мамыр|мам маусым|мау шілде|шіл тамыз|там
        қыркүйек|қыр қазан|қаз қараша|қар желтоқсан|жел
    af: januarie|jan februarie|feb maart|mrt april|apr mei junie|jun julie|jul augustus|aug
        september|sep oktober|okt november|nov desember|des
    fil: enero|ene pebrero|peb marso|mar abril|abr mayo|may hunyo|hun hulyo|hul agosto|ago
        setyembre|set oktubre|okt nobyembre|nob disyembre|dis
"""
# Usual short forms beside those.
_MORE = {
    "en": "sept:9 febr:2",
    "de": "jänner:1 jän:1 mrz:3",
    "fr": "jan:1 fév:2 fev:2 fevrier:2 avril:4 août:8 aout:8 decembre:12 dec:12",
    "es": "setiembre:9 set:9 sep:9",
    "it": "sett:9",
    "id": "agt:8",
    "ru": "фев:2 сен:9 ноя:11",
    "ar": "شباط:2 آذار:3 نيسان:4 أيار:5 حزيران:6 تموز:7 آب:8 أيلول:9 ابريل:4 اغسطس:8 اكتوبر:10",
}
_WEEKDAYS = """
    monday mon tuesday tue wednesday wed thursday thu friday fri saturday sat sunday sun montag mo
    dienstag di mittwoch mi donnerstag do freitag fr samstag sa sonntag so lundi lun mardi mar mercredi
    mer jeudi jeu vendredi ven samedi sam dimanche dim lunes martes miércoles mié jueves jue viernes vie
    sábado sáb domingo dom segunda-feira seg terça-feira ter quarta-feira qua quinta-feira qui
    sexta-feira sex lunedì martedì mercoledì giovedì gio venerdì sabato sab domenica maandag ma dinsdag
    woensdag wo donderdag vrijdag vr zaterdag za zondag zo måndag mån tisdag tis onsdag ons torsdag tors
    fredag fre lördag lör söndag sön mandag man tirsdag tirs lørdag lør søndag søn tir tor maanantaina
    maanantai tiistaina ti tiistai keskiviikkona ke keskiviikko torstaina to torstai perjantaina pe
    perjantai lauantaina la lauantai sunnuntaina sunnuntai su mánudagur mán þriðjudagur þri miðvikudagur mið
    fimmtudagur fim föstudagur fös laugardagur lau sunnudagur poniedziałek pon wtorek wt środa śr
    czwartek czw piątek pt sobota sob niedziela niedz pondělí po úterý út středa st čtvrtek čt pátek pá
    neděle ne pondelok utorok ut streda štvrtok št piatok pi nedeľa ponedjeljak utorak uto srijeda sri
    četvrtak čet petak pet subota sub nedjelja ned ponedeljek torek sreda sre četrtek petek nedelja
    понедељак пон уторак уто среда сре четвртак чет петак пет субота суб недеља нед ponedeljak
    понеделник пн вторник вт сряда ср четвъртък чт петък пт събота сб неделя нд понедельник четверг
    пятница суббота воскресенье вс понеділок вівторок середа четвер п'ятниця неділя панядзелак аўторак
    аў серада чацвер чц пятніца нядзеля вто четврток петок сабота саб недела luni marți miercuri mie joi
    vineri vin sâmbătă sâm duminică dum hétfő kedd szerda sze csütörtök cs péntek szombat szo vasárnap
    pazartesi pzt salı sal çarşamba çar perşembe per cuma cum cumartesi cmt pazar paz bazar_ertəsi b.e
    çərşənbə_axşamı ç.a çərşənbə cümə_axşamı c.a cümə şənbə bazar δευτέρα δευ τρίτη τρί τετάρτη τετ
    πέμπτη πέμ παρασκευή παρ σάββατο σάβ κυριακή κυρ יום_שני יום_ב' יום_שלישי יום_ג' יום_רביעי יום_ד'
    יום_חמישי יום_ה' יום_שישי יום_ו' יום_שבת שבת יום_ראשון יום_א' الاثنين الثلاثاء الأربعاء الخميس
    الجمعة السبت الأحد सोमवार सोम मंगलवार मंगल बुधवार बुध गुरुवार गुरु शुक्रवार शुक्र शनिवार शनि रविवार
    रवि সোমবার সোম মঙ্গলবার মঙ্গল বুধবার বুধ বৃহস্পতিবার বৃহস্পতি শুক্রবার শুক্র শনিবার শনি রবিবার রবি
    திங்கள் திங் செவ்வாய் செவ் புதன் புத வியாழன் வியா வெள்ளி வெள் சனி ஞாயிறு ஞாயி मंगळवार मंगळ วันจันทร์
    วันอังคาร วันพุธ วันพฤหัสบดี พฤ วันศุกร์ วันเสาร์ วันอาทิตย์ อา senin sen selasa sel rabu rab kamis
    kam jumat jum sabtu minggu min isnin isn khamis kha jumaat ahad ahd pirmadienis pr antradienis an
    trečiadienis tr ketvirtadienis kt penktadienis pn šeštadienis sekmadienis sk pirmdiena pirmd
    otrdiena otrd trešdiena trešd ceturtdiena ceturtd piektdiena piektd sestdiena sestd svētdiena svētd
    esmaspäev teisipäev kolmapäev neljapäev reede laupäev pühapäev dilluns dl dimarts dt dimecres dc
    dijous dj divendres dv dissabte ds diumenge dg astelehena al asteartea ar asteazkena az osteguna og
    ostirala or larunbata lr igandea ig luns mércores mér xoves xov venres e_hënë hën e_martë e_mërkurë
    mër e_enjte enj e_premte pre e_shtunë sht e_diel die ორშაბათი ორშ სამშაბათი სამ ოთხშაბათი ოთხ
    ხუთშაბათი ხუთ პარასკევი პარ შაბათი შაბ კვირა კვი երկուշաբթի երկ երեքշաբթի երք չորեքշաբթի չրք
    հինգշաբթի հնգ ուրբաթ ուր շաբաթ շբթ կիրակի կիր дүйсенбі дс сейсенбі сс сәрсенбі бейсенбі бс жұма жм
    сенбі жексенбі жс vrydag saterdag sondag miyerkules miy huwebes huw biyernes biy sabado linggo lin
    thứ_hai th_2 thứ_ba th_3 thứ_tư th_4 thứ_năm th_5 thứ_sáu th_6 thứ_bảy th_7 chủ_nhật cn tues thurs
    thur weds
"""


def _parse(text: str) -> dict[str, list[str]]:
    languages: dict[str, list[str]] = {}
    for word in text.split():
        if word.endswith(":"):
            months = languages.setdefault(word[:-1], [])
        else:
            months.append(word)
    return languages


_MONTHS = _parse(_MONTHS_TEXT)
LANGUAGES = tuple(_MONTHS)
"""Languages whose names are known; bit n of a mask stands for the nth."""
ALL_LANGUAGES = (1 << len(LANGUAGES)) - 1
WEEKDAYS = words(_WEEKDAYS)


def _masks() -> dict[str, dict[int, int]]:
    masks: dict[str, dict[int, int]] = {}
    for bit, (language, months) in enumerate(_MONTHS.items()):
        named = [(name, number) for number, names in enumerate(months, 1) for name in names.split("|")]
        more = (entry.partition(":") for entry in _MORE.get(language, "").split())
        for name, number in [*named, *((name, int(number)) for name, _, number in more)]:
            months_of = masks.setdefault(name.replace("_", " "), {})
            months_of[number] = months_of.get(number, 0) | 1 << bit
    return masks


MONTHS = _masks()
"""The months that a name can mean, each with the mask of the languages in which it does."""


def languages_of(name: str) -> int:
    """Mask of the languages that have this name of a month."""
    mask = 0
    for languages in MONTHS[name].values():
        mask |= languages
    return mask


def find_month(name: str, languages: int) -> int | None:
    """The month that a name means in all of these languages that have it; in all languages if none of these has it."""
    months = [month for month, mask in MONTHS[name].items() if mask & languages] or list(MONTHS[name])
    return months[0] if len(months) == 1 else None


AMBIGUOUS = frozenset(name for name, months in MONTHS.items() if len(months) > 1)
"""Names that mean different months in different languages, as *listopad* does."""
