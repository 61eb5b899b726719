"""Which country a CRM means: the right one or none, never another one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import Any

import babel
import phonenumbers
import pycountry
import pytest
from babel.localedata import locale_identifiers
from pydantic_core import PydanticCustomError

from airflow_reshape.events import countries
from airflow_reshape.events.countries import country_in, region_of

# Spellings as they stand in CRMs, divided by "|".
SPELLINGS = {
    "US": "U.S.A.|U.S.|USA|United States|United States of America|The United States of America|U. S. A.|US of A"
    "|Estados Unidos|EE.UU.|EE. UU.|EEUU|États-Unis|Etats Unis|Etats-Unis d'Amérique|Vereinigte Staaten"
    "|Vereinigte Staaten von Amerika|Stati Uniti|Stati Uniti d'America|Statele Unite"
    "|Statele Unite ale Americii|SUA|S.U.A.|Estados Unidos da América|EUA|E.U.A.|Stany Zjednoczone"
    "|Stany Zjednoczone Ameryki|Egyesült Államok|Amerikai Egyesült Államok|Verenigde Staten"
    "|Verenigde Staten van Amerika|VS|ABD|A.B.D.|Amerika Birleşik Devletleri|США|Соединенные Штаты"
    "|Соединённые Штаты Америки|Соединенные Штаты Америки|ΗΠΑ|Η.Π.Α.|アメリカ|アメリカ合衆国|米国|الولايات المتحدة"
    "|الولايات المتحدة الأمريكية|Spojené státy|Spojené státy americké|Förenta staterna|SAD|САЩ"
    "|Yhdysvallat|美国|美國|USA (United States)|U.S.A|États-Unis d'Amérique|Estados Unidos de América"
    "|Estados Unidos de Norteamérica",
    "GB": "UK|U.K.|Great Britain|England|Scotland|Wales|Northern Ireland|Großbritannien|Grossbritannien"
    "|Vereinigtes Königreich|Vereinigtes Koenigreich|Schottland|Nordirland|Royaume-Uni|Royaume Uni"
    "|Grande-Bretagne|Angleterre|Ecosse|Écosse|Pays de Galles|Irlande du Nord|Reino Unido|Gran Bretaña"
    "|Gran Bretana|Inglaterra|Escocia|Gales|Irlanda del Norte|Regno Unito|Gran Bretagna|Inghilterra"
    "|Scozia|Galles|Irlanda del Nord|Marea Britanie|Anglia|Regatul Unit|Scoția|Scotia|Țara Galilor"
    "|Tara Galilor|Irlanda de Nord|Grã-Bretanha|Escócia|País de Gales|Irlanda do Norte|Wielka Brytania"
    "|Szkocja|Walia|Zjednoczone Królestwo|Egyesült Királyság|Nagy-Britannia|Nagybritannia|Skócia"
    "|Verenigd Koninkrijk|Groot-Brittannië|Engeland|Schotland|Birleşik Krallık|İngiltere|Ingiltere"
    "|Büyük Britanya|Великобритания|Англия|Соединенное Королевство|Шотландия|Ηνωμένο Βασίλειο"
    "|Μεγάλη Βρετανία|Αγγλία|イギリス|英国|المملكة المتحدة|بريطانيا|إنجلترا|Velká Británie|Anglie"
    "|Veľká Británia|Velika Britanija|Engleska|Storbritannien|Iso-Britannia|Englanti"
    "|United Kingdom of Great Britain and Northern Ireland|The UK|Britain|United Kingdom (Great Britain)"
    "|England, UK|Scotland (UK)|GBR|Great Britain (UK)|Great-Britain|Regatul Unit al Marii Britanii"
    "|Reino Unido de Gran Bretaña e Irlanda del Norte",
    "NL": "Holland|Netherlands|The Netherlands|Netherlands (the)|Olanda|Hollande|Holanda|Hollandia|Holandia"
    "|Niederlande|Die Niederlande|Pays-Bas|Pays bas|Países Bajos|Paises Bajos|Paesi Bassi|Țările de Jos"
    "|Tarile de Jos|Países Baixos|Nederland|Hollanda|Голландия|Нидерланды|Ολλανδία|Κάτω Χώρες|オランダ|هولندا"
    "|Nizozemsko|Holandsko|Holland (Netherlands)|Netherlands (Holland)|Nederländerna|Alankomaat"
    "|Королевство Нидерландов",
    "CZ": "Czech Republic|Czechia|Czech Rep.|The Czech Republic|Cehia|Republica Cehă|Republica Ceha|Tschechien"
    "|Tschechische Republik|République tchèque|Republique Tcheque|Tchéquie|República Checa|Chequia"
    "|Repubblica Ceca|Cechia|Csehország|Cseh Köztársaság|Czechy|Republika Czeska|Tsjechië"
    "|Tsjechische Republiek|Česká republika|Ceska republika|Česko|Чехия|Чешская Республика"
    "|Çek Cumhuriyeti|Çekya|Τσεχία|チェコ|チェコ共和国|التشيك|Tjeckien|República Tcheca|Tchéquia",
    "MM": "Burma|Myanmar|Birmania|Birmanie|Birma|Myanmar (Burma)|Burma (Myanmar)|Мьянма|Бирма|Birmânia",
    "CI": "Ivory Coast|Cote d'Ivoire|Cote d’Ivoire|Cote dʼIvoire|Cote dIvoire|Cote d Ivoire|Côte d'Ivoire"
    "|Cote D'ivoire (Ivory Coast)|Elfenbeinküste|Elfenbeinkueste|Coasta de Fildeș|Coasta de Fildes"
    "|Costa de Marfil|Costa d'Avorio|Costa do Marfim|Wybrzeże Kości Słoniowej|Elefántcsontpart|Ivoorkust"
    "|Fildişi Sahili|Кот-д'Ивуар|Кот-д’Ивуар|CÔTE D'IVOIRE|Côte-d'Ivoire|Берег Слоновой Кости"
    "|Ακτή Ελεφαντοστού|ساحل العاج",
    "SZ": "Swaziland|Eswatini|Swasiland|Suazilandia|Kingdom of Eswatini|Eswatini (Swaziland)",
    "CV": "Cape Verde|Cabo Verde|Kap Verde|Cap-Vert|Capul Verde|Capo Verde|Kaapverdië|Кабо-Верде",
    "TL": "East Timor|Timor-Leste|Timor Leste|Timor Oriental|Timor Est|Osttimor|Timorul de Est",
    "AE": "UAE|U.A.E.|United Arab Emirates|Emiratele Arabe Unite|EAU|Emirats Arabes Unis"
    "|Vereinigte Arabische Emirate|VAE|Emiratos Árabes Unidos|Emirati Arabi Uniti|Emirados Árabes Unidos"
    "|Zjednoczone Emiraty Arabskie|ОАЭ|Объединенные Арабские Эмираты|Egyesült Arab Emírségek|الإمارات"
    "|الامارات العربية المتحدة",
    "GR": "EL|Greece|Grecia|Griechenland|Grèce|Ελλάδα|Ελλαδα|ΕΛΛΑΔΑ|Ελλάς|Hellas|Hellenic Republic|Görögország"
    "|Yunanistan|Греция|Grécia|Griekenland|Grecja|ギリシャ",
    "VN": "Viet Nam|Vietnam|VietNam|Việt Nam|Viêt Nam|Wietnam|Вьетнам",
    "RU": "Russia|Russian Federation|Rusia|Federația Rusă|Federatia Rusa|Russland|Russische Föderation|Russie"
    "|Fédération de Russie|Federación Rusa|Federación de Rusia|Россия|Российская Федерация|РФ|Rosja"
    "|Oroszország|Rusya|Rusland|Rússia|Russia (Russian Federation)|ロシア|Federazione Russa|Rusko",
    "TR": "Turkey|Türkiye|Turkiye|TURKIYE|TÜRKİYE|Turcia|Türkei|Tuerkei|Turquie|Turquía|Turquia|Turchia"
    "|Törökország|Turcja|Turkije|Турция|Τουρκία|トルコ|تركيا|Republic of Turkey|Republic of Türkiye"
    "|Turkey (Türkiye)|Türkiye Cumhuriyeti",
    "XK": "Kosovo|XK|XKX|Kosova|Косово|Republic of Kosovo|Kosovo (Republic of)|Kosovo*",
    "MK": "Macedonia|North Macedonia|FYROM|F.Y.R.O.M.|Republic of North Macedonia|Republic of Macedonia"
    "|Macedonia (FYROM)|Macedonia, the former Yugoslav Republic of"
    "|The former Yugoslav Republic of Macedonia|FYR Macedonia|Macedonia, FYR|Mazedonien|Nordmazedonien"
    "|Macédoine|Macédoine du Nord|Macedonia de Nord|Macedonia del Norte|Macedonia del Nord|Македонија"
    "|Македония|Северна Македонија|Makedonija|Macedónia|Macedônia|Macedonië|Makedonya"
    "|Macedonia, Former Yugoslav Republic of|Macedonia (the former Yugoslav Republic of)|Macédoine (ARYM)",
    "FR": "France|Franta|Franța|FRANŢA|Frankreich|Francia|França|Franca|Francja|Franciaország|Frankrijk|Fransa"
    "|Франция|Γαλλία|フランス|فرنسا|Republique Francaise|République française|France métropolitaine"
    "|France, Metropolitan|Metropolitan France|Francie|Frankrike",
    "CH": "Elvetia|Elveția|Switzerland|Schweiz|Die Schweiz|Suisse|La Suisse|Svizzera|Suiza|Suíça|Suica"
    "|Szwajcaria|Svájc|Zwitserland|İsviçre|Isvicre|Швейцария|Ελβετία|Helvetia|Confoederatio Helvetica"
    "|Schweiz/Suisse/Svizzera|CH - Schweiz|Schweizerische Eidgenossenschaft|Swiss|スイス",
    "MD": "Moldova|Republica Moldova|Rep. Moldova|Republic of Moldova|Moldova, Republic of"
    "|Moldova (Republic of)|Moldova (the Republic of)|Republik Moldau|Moldau|Moldawien|Moldavie|Moldavia"
    "|Молдова|Молдавия|Республика Молдова|R. Moldova|Mołdawia|Moldávia",
    "KR": "South Korea|Korea South|Korea, South|Korea (South)|Republic of Korea|Korea, Republic of"
    "|Korea (Republic of)|Korea (the Republic of)|Korea, Rep.|Coreea de Sud|Südkorea|Suedkorea"
    "|Corée du Sud|Corea del Sur|Corea del Sud|Coreia do Sul|Korea Południowa|Dél-Korea|Zuid-Korea"
    "|Güney Kore|Южная Корея|Республика Корея|Νότια Κορέα|韓国|大韓民国|대한민국|한국|كوريا الجنوبية|S. Korea"
    "|South-Korea|Rep. of Korea|S Korea|Korea Republic",
    "KP": "North Korea|Korea North|Korea (North)|Korea, North|Democratic People's Republic of Korea"
    "|Korea, Democratic People's Republic of|Korea (Democratic People's Republic of)"
    "|Korea (the Democratic People's Republic of)|DPRK|Coreea de Nord|Nordkorea|N. Korea"
    "|Dem. People's Republic of Korea|Korea, Dem. People's Rep.",
    "CD": "Congo (Kinshasa)|Congo - Kinshasa|Congo-Kinshasa|DR Congo|D.R. Congo|DRC"
    "|Democratic Republic of the Congo|Democratic Republic of Congo|Congo, Democratic Republic of the"
    "|Congo, the Democratic Republic of the|Congo (Democratic Republic of the)"
    "|Congo (the Democratic Republic of the)|Congo, Dem. Rep.|The Democratic Republic of the Congo"
    "|Congo (DRC)|Zaire|Congo, DR|RDC|République démocratique du Congo|Demokratische Republik Kongo"
    "|Republica Democrată Congo|Congo (CD)|Congo (+243)|Dem. Rep. Congo"
    "|Congo, The Democratic Republic Of The|RD Congo",
    "CG": "Congo (Brazzaville)|Congo - Brazzaville|Republic of the Congo|Republic of Congo"
    "|Congo, Republic of the|Congo, Rep.|Congo Republic|Congo (Republic of the)|République du Congo"
    "|Congo, Republic of|Congo (CG)",
    "BO": "Bolivia|Bolivia, Plurinational State of|Bolivia (Plurinational State of)|Bolivien",
    "VE": "Venezuela|Venezuela, Bolivarian Republic of|Venezuela (Bolivarian Republic of)|Venezuela, RB",
    "IR": "Iran|Iran, Islamic Republic of|Iran (Islamic Republic of)|Islamic Republic of Iran|ایران|Iran, Islamic Rep.",
    "BA": "Bosnia and Herzegovina|Bosnia & Herzegovina|Bosnia-Herzegovina|Bosnia/Herzegovina|Bosnia"
    "|Bosnia Herzegovina|Bosnien und Herzegowina|Bosnien-Herzegowina|Bosnien & Herzegowina"
    "|Bosnia și Herțegovina|Bosnia si Hertegovina|Bosnie-Herzégovine|Bosnie et Herzégovine"
    "|Bosna i Hercegovina|BiH|Bosna-Hersek|Bosznia-Hercegovina|Bosnia y Herzegovina|Bosnien"
    "|Bosnia Hertegovina|Bosnia-Hertegovina|Bosnie|Bosna",
    "TT": "Trinidad & Tobago|Trinidad and Tobago|Trinidad/Tobago|Trinidad y Tobago|Trinidad si Tobago"
    "|Trinidad und Tobago",
    "RO": "România|Romania|Roma\u0302nia|ROMANIA|Rumania|Rumänien|Rumaenien|Roumanie|Rumanía|Roménia|Romênia"
    "|Rumunia|Románia|Roemenië|Romanya|Румыния|Ρουμανία|ルーマニア|رومانيا|ROU|ro|Romania (RO)|RO - Romania"
    "|Romania (+40)|Romania +40|🇷🇴 Romania|🇷🇴|Romania, România|ROMÂNIA|Rumunsko|Roumania|Rumunija",
    "DE": "Germany|Deutschland|Germania|Allemagne|Alemania|Alemanha|Németország|Niemcy|Duitsland|Almanya"
    "|Германия|Γερμανία|ドイツ|ألمانيا|المانيا|Federal Republic of Germany|Bundesrepublik Deutschland|BRD"
    "|Germany (DE)|Germany, Federal Republic of|Deutschland (DE)|ＤＥ|Tyskland|Německo|Germany.|DEU"
    "|Deutchland|Germany / Deutschland",
    "AT": "Austria|Österreich|Oesterreich|Autriche|Ausztria|Oostenrijk|Avusturya|Австрия|Áustria"
    "|Republik Österreich|Rakousko",
    "AU": "Australia|Australien|Australie",
    "BE": "Belgium|Belgien|Belgique|België|Belgie|Belgia|Bélgica|Belgio|Belçika|Belgium / Belgique|Bỉ",
    "ES": "Spain|España|Espana|Spania|Spanien|Espagne|Spagna|Espanha|Hiszpania|Spanyolország|Spanje|İspanya"
    "|Испания|Kingdom of Spain|Reino de España",
    "IT": "Italy|Italia|Italien|Italie|Olaszország|Włochy|Wlochy|Italië|İtalya|Италия|Itália|Taliansko",
    "HU": "Hungary|Ungaria|Ungarn|Hongrie|Hungría|Magyarország|Magyarorszag|Węgry|Hongarije|Macaristan|Венгрия"
    "|Hungria|Ungheria|Magyar Köztársaság|Maďarsko",
    "IE": "Ireland|Republic of Ireland|Ireland, Republic of|Ireland (Republic of)|Irlanda|Irland|Irlande|Éire"
    "|Eire|Rep. of Ireland|Ireland (Republic)|Írország|Southern Ireland",
    "CN": "China|People's Republic of China|PR China|P.R. China|P.R.C.|PRC|Mainland China|中国|中國"
    "|China, People's Republic of|Chine|Китай|China (Mainland)|P. R. China|Volksrepublik China|Çin"
    "|中华人民共和国",
    "TW": "Taiwan|Taiwan, Province of China|Taiwan (Province of China)|Taiwan, R.O.C.|Taiwan (ROC)|臺灣|台灣|台湾"
    "|Taiwán|Taiwan, China|Taiwan (Republic of China)|Chinese Taipei",
    "HK": "Hong Kong|Hongkong|Hong Kong SAR|Hong Kong SAR China|Hong Kong, China|Hong Kong (China)|香港|Гонконг"
    "|China, Hong Kong SAR|Hong Kong S.A.R.|Hong Kong (SAR)"
    "|China, Hong Kong Special Administrative Region|Hong-Kong|HongKong",
    "MO": "Macao|Macau|Macau SAR|Macao SAR|澳門|Macao, China|China, Macao SAR|Macau, China",
    "PS": "Palestine|Palestine, State of|State of Palestine|Palestinian Territory|Palestinian Territories"
    "|Palestinian Territory, Occupied|Occupied Palestinian Territory|Palästina|Palestina|فلسطين"
    "|West Bank and Gaza|Palestinian Authority",
    "SY": "Syria|Syrian Arab Republic|Siria|Syrien|سوريا|Сирия",
    "LA": "Laos|Lao|Lao People's Democratic Republic|Lao PDR|Lao P.D.R.|Lao People’s Democratic Republic"
    "|Lao People's Democratic Republic (the)",
    "TZ": "Tanzania|Tanzania, United Republic of|United Republic of Tanzania|Tanzania, the United Republic of",
    "BN": "Brunei|Brunei Darussalam",
    "LY": "Libya|Libyan Arab Jamahiriya|Libia|ليبيا",
    "FM": "Micronesia|Micronesia, Federated States of|Micronesia (Federated States of)|Federated States of Micronesia",
    "VA": "Vatican|Vatican City|Holy See|Holy See (Vatican City State)|Vatican City State|Vatikan|Vaticano"
    "|Holy See (the)|Vatican City State (Holy See)|Ватикан|Città del Vaticano",
    "VG": "British Virgin Islands|Virgin Islands, British|Virgin Islands (British)|Virgin Islands British|BVI"
    "|Virgin Islands (UK)",
    "VI": "US Virgin Islands|U.S. Virgin Islands|Virgin Islands, U.S.|Virgin Islands (U.S.)|Virgin Islands (US)"
    "|United States Virgin Islands|Virgin Islands (USA)|USVI|Virgin Islands U.S.",
    "WS": "Samoa|Western Samoa",
    "AS": "American Samoa|Samoa (American)|Samoa, American",
    "FK": "Falkland Islands|Falkland Islands (Malvinas)|Falklands|Malvinas|Falkland Islands (the) [Malvinas]",
    "MF": "Saint Martin|St. Martin|Saint Martin (French part)|St. Martin (French)",
    "SX": "Sint Maarten|Sint Maarten (Dutch part)|St. Maarten|St Maarten",
    "KN": "Saint Kitts and Nevis|St. Kitts & Nevis|St Kitts and Nevis|St. Kitts|St. Kitts-Nevis",
    "LC": "Saint Lucia|St. Lucia|St.Lucia|St Lucia",
    "VC": "Saint Vincent and the Grenadines|St. Vincent & the Grenadines|St. Vincent|St Vincent",
    "SH": "Saint Helena|Saint Helena, Ascension and Tristan da Cunha|St. Helena",
    "ST": "Sao Tome and Principe|São Tomé and Príncipe|Sao Tome & Principe|Sao Tome",
    "CW": "Curacao|Curaçao",
    "BQ": "Bonaire|Bonaire, Sint Eustatius and Saba|Caribbean Netherlands|Bonaire, Saint Eustatius and Saba",
    "GM": "Gambia|The Gambia|Gambia, The|Gambia (the)|Gambia (The)",
    "BS": "Bahamas|The Bahamas|Bahamas, The|Bahamas (the)",
    "PH": "Philippines|The Philippines|Filipine|Filipinas|Philippinen",
    "ZA": "South Africa|Africa de Sud|Südafrika|Afrique du Sud|Sudáfrica|RSA|Republic of South Africa"
    "|Zuid-Afrika|África do Sul|Южная Африка|ЮАР|South-Africa|S. Africa",
    "SK": "Slovakia|Slovak Republic|Slovacia|Slowakei|Slovaquie|Eslovaquia|Słowacja|Szlovákia|Slovensko"
    "|Slovenská republika|Slowakije",
    "SI": "Slovenia|Slowenien|Slovénie|Slovenija|Eslovenia",
    "HR": "Croatia|Hrvatska|Croația|Croatia (Hrvatska)|Kroatien|Croatie|Republika Hrvatska",
    "RS": "Serbia|Srbija|Србија|Republic of Serbia|Serbien|Serbie|Republika Srbija",
    "ME": "Montenegro|Crna Gora|Muntenegru|Черногория",
    "UA": "Ukraine|Ucraina|Україна|Украина|Ucrania|Ukrajna|The Ukraine",
    "BY": "Belarus|Byelorussia|Weißrussland|Weissrussland|Belarus (Belorussia)|Bielorusia|Biélorussie"
    "|Bielorussia|Bielorrússia|Białoruś|Fehéroroszország|Wit-Rusland|Беларусь|Белоруссия|Беларусія"
    "|Λευκορωσία",
    "BG": "Bulgaria|България|Bulgarien|Bulgarie",
    "PL": "Poland|Polska|Polonia|Polen|Pologne|Polônia|Polónia|Lengyelország|Польша|Polonya",
    "SE": "Sweden|Sverige|Suedia|Schweden|Suède|Suecia|Svezia",
    "NO": "Norway|Norge|Noreg|Norvegia|Norwegen",
    "DK": "Denmark|Danmark|Danemarca|Dänemark|Daenemark|Danemark",
    "FI": "Finland|Suomi|Finlanda|Finnland",
    "IS": "Iceland|Island|Islanda|Ísland",
    "EE": "Estonia|Eesti",
    "LV": "Latvia|Latvija|Letonia|Lettland",
    "LT": "Lithuania|Lietuva|Lituania|Litauen",
    "LU": "Luxembourg|Luxemburg|Luxemburgo",
    "CY": "Cyprus|Cipru|Κύπρος|Zypern",
    "MT": "Malta",
    "AL": "Albania|Shqipëria|Shqiperia",
    "GE": "Georgia|Gruzia|Georgien|Géorgie|საქართველო|Грузия|Republic of Georgia",
    "AM": "Armenia",
    "AZ": "Azerbaijan|Azərbaycan|Azerbaycan|Азербайджан",
    "KZ": "Kazakhstan|Казахстан|Қазақстан",
    "KG": "Kyrgyzstan|Kirghizistan|Kyrgyz Republic|Киргизия",
    "NE": "Niger|Niger (the)",
    "NG": "Nigeria",
    "DO": "Dominican Republic|Republica Dominicana|República Dominicana|Dominikanische Republik|Dominican Rep."
    "|Dominican Republic (the)",
    "DM": "Dominica|Commonwealth of Dominica",
    "GN": "Guinea|Republic of Guinea",
    "GQ": "Equatorial Guinea",
    "GW": "Guinea-Bissau|Guinea Bissau",
    "PG": "Papua New Guinea|PNG",
    "GY": "Guyana",
    "GF": "French Guiana|French Guyana|Guyane française",
    "RE": "Reunion|Réunion|La Réunion|Reunion Island",
    "SD": "Sudan",
    "SS": "South Sudan",
    "CF": "Central African Republic",
    "TD": "Chad|Tschad|Tchad",
    "KM": "Comoros|Comores",
    "SA": "Saudi Arabia|KSA|Kingdom of Saudi Arabia|Arabia Saudita|Arabia Saudită|Saudi|السعودية",
    "IL": "Israel|ישראל",
    "IN": "India|Indien|Inde|भारत|Bharat",
    "JP": "Japan|日本|Japonia",
    "NZ": "New Zealand|Noua Zeelandă|Neuseeland|Aotearoa|NZ",
    "BR": "Brazil|Brasil|Brazilia|Brasilien",
    "MX": "Mexico|México|Mexic|Méjico|Mejico",
    "AR": "Argentina|Argentinien",
    "CA": "Canada|Kanada",
    "KH": "Cambodia|Kampuchea|Cambodge",
    "LK": "Sri Lanka|Ceylon",
    "BD": "Bangladesh",
    "IM": "Isle of Man|Isle Of Man|Man, Isle of",
    "JE": "Jersey",
    "GG": "Guernsey",
    "AX": "Aland Islands|Åland|Åland Islands",
    "TC": "Turks and Caicos Islands|Turks & Caicos|Turks and Caicos",
    "AG": "Antigua and Barbuda|Antigua & Barbuda",
    "PF": "French Polynesia",
    "AC": "AC|Ascension Island",
    "TA": "TA|Tristan da Cunha",
    "WF": "Wallis and Futuna|Wallis & Futuna Islands",
    "SJ": "Svalbard and Jan Mayen",
    "PM": "Saint Pierre and Miquelon|St. Pierre & Miquelon",
    "BL": "Saint Barthélemy|St. Barth|St Barts|Saint-Barth",
    "CC": "Cocos (Keeling) Islands|Cocos (Keeling) Islands (the)|Cocos Islands",
    "FO": "Faroe Islands|Faeroe Islands|Faroe Islands (the)",
    "MN": "Mongolia",
    "MC": "Monaco",
    "SM": "San Marino",
    "LI": "Liechtenstein",
    "EG": "Egypt|مصر|Egipt|Ägypten|Aegypten",
    "MA": "Morocco|Maroc|المغرب",
    "QA": "Qatar",
    "KW": "Kuwait",
    "OM": "Oman",
}
SPELLED = [(name, region) for region, names in SPELLINGS.items() for name in names.split("|")]


def test_spellings_of_crms_are_the_right_country() -> None:
    assert len(SPELLED) > 1000
    assert [(name, got, region) for name, region in SPELLED if (got := region_of(name)) != region] == []


def test_spellings_are_the_same_country_in_any_case_and_decomposed() -> None:
    for name, region in SPELLED:
        for other in (name.upper(), name.lower(), unicodedata.normalize("NFD", name)):
            assert region_of(other) == region, other


UNKNOWN = [
    # shared names
    *("Congo", "Kongo", "Конго", "コンゴ", "Κονγκό", "الكونغو", "刚果", "Korea", "Corea", "Corée", "Coreea", "Корея"),
    *("Virgin Islands", "Virgin Islands (+1)", "Guyane", "Republic of China", "Dominica Republic"),
    # no countries
    *("", " ", "Elbonia", "Europe", "European Union", "EU", "America", "America?", "Amerika", "América", "Америка"),
    *("North America", "Latin America", "Africa", "Asia", "World", "worldwide", "Other", "Unknown", "N/A", "null", "-"),
    *("Antarctica", "AQ", "Antilles", "AN", "Yugoslavia", "USSR", "Canary Islands", "Northern Cyprus", "West Indies"),
    *("Islands", "Republic", "Kingdom", "United", "United Nations", "North", "South", "Roma", "Slovenčina", "x" * 9000),
    # numbers
    *("57", "+40", "642", "0040", "٤٠", "40.0"),
    # what is said beside the name is something else, or not known
    *(
        "Georgia (US)",
        "Georgia, USA",
        "GA, USA",
        "CA, USA",
        "🇺🇸 Georgia",
        "Jersey (New)",
        "Paris, France",
        "Germany (FR)",
    ),
    *(
        "Germany / France",
        "Germany (Berlin)",
        "Germany (East)",
        "US, CA",
        "Guinea (New)",
        "Romania (+44)",
        "Romania (40)",
    ),
    *(
        "Mexico (ES)",
        "Guinea (SI)",
        "(VE) Colombia",
        "Ireland, UK",
        "Mexico (New)",
        "India (West)",
        "Martinique (France)",
        "(+40)",
        "+40, +40",
    ),
    # Vietnamese names or codes
    *("Nga", "Bi", "My", "Ao"),
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_certain_is_no_country(name: str) -> None:
    assert region_of(name) is None


@pytest.mark.parametrize(
    ("name", "region"),
    [
        *(
            ("Niger", "NE"),
            ("Georgia", "GE"),
            ("Austria", "AT"),
            ("Australia", "AU"),
            ("Guinea", "GN"),
            ("Samoa", "WS"),
        ),
        *(("NGA", "NG"), ("nga", "NG"), ("(NGA)", "NG"), ("(MY)", "MY"), ("Mỹ", "US"), ("Bỉ", "BE"), ("NA", "NA")),
        *(("Congo (CD)", "CD"), ("Congo (+242)", "CG"), ("Korea (KR)", "KR"), ("Virgin Islands (GB)", None)),
        *(("Belgium / Belgique / België", "BE"), ("🇷🇴 România", "RO"), ("🇷🇴", "RO"), ("Canada (+1)", "CA")),
    ],
)
def test_plain_names_and_remarks_that_tell_countries_apart(name: str, region: str | None) -> None:
    assert region_of(name) == region


def test_every_code_in_any_case() -> None:
    codes = {region: region for region in phonenumbers.SUPPORTED_REGIONS}
    for country in pycountry.countries:
        codes[country.alpha_3] = codes[country.alpha_2] = country.alpha_2
    for code, meant in codes.items():
        region = meant if meant in phonenumbers.SUPPORTED_REGIONS else None
        assert region_of(code) == region_of(code.lower()) == region, code


def test_codes_and_english_names_need_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(countries, "_all_languages", lambda: pytest.fail("built"))
    countries._region_of.cache_clear()
    for country in pycountry.countries:
        for name in (country.alpha_2, country.alpha_3, country.name, getattr(country, "common_name", country.name)):
            region_of(name)
    for name in ("UK", "U.S.A.", "The Netherlands", "Türkiye", "Korea, Republic of", "Cote d'Ivoire", "England", "57"):
        region_of(name)


def test_every_name_that_looks_like_a_code_is_listed() -> None:
    codes = countries._codes()
    alike = {
        key.capitalize(): {codes[key.upper()], *regions.split()}
        for key, regions in countries._all_languages().items()
        if key.upper() in codes and codes[key.upper()] not in regions.split()
    }
    assert alike == {name: set(both.split()) for name, both in countries._NAMES_LIKE_CODES.items()}


def test_aliases_are_no_names_of_other_countries() -> None:
    for region, names in countries._ALIASES.items():
        for name in names.split("|"):
            assert region in countries._all_languages().get(countries._key(name), region).split(), name


LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "ro", "hu", "pl", "nl", "tr", "ru", "el", "ar", "ja")


def test_names_in_the_languages_of_cldr() -> None:
    def told(names: set[tuple[str, str]] | list[tuple[str, str]]) -> Counter[str]:
        return Counter(
            "right" if got == region else "none" if got is None else f"wrong: {name}"
            for region, name in names
            if region in phonenumbers.SUPPORTED_REGIONS
            for got in [region_of(name)]
        )

    fifteen = told([pair for each in LANGUAGES for pair in babel.Locale(each).territories.items()])
    print(f"15 languages: {dict(fifteen)}")  # noqa: T201
    assert fifteen["right"] >= 3_665
    assert set(fifteen) <= {"right", "none"}
    assert fifteen.total() == 15 * len(phonenumbers.SUPPORTED_REGIONS)

    every = told({pair for each in locale_identifiers() for pair in countries._cldr_names(each)})
    print(f"all languages, each name once: {dict(every)}")  # noqa: T201
    assert every["none"] < 100
    assert set(every) <= {"right", "none"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(
            ("Germany", "Germany"),
            (" România\u200b ", "România"),
            ("Roma\u0302nia", "România"),
            ("\U0001f1e9\U0001f1ea", "DE"),
        ),
        *(([57, "Germany"], "Germany"), ((57, "Germany"), "Germany"), (["DE"], "DE"), ([57, False], None)),
        *(('[57, "Germany"]', "Germany"), ('{"code": "DE"}', "DE"), ("[", None), ("[Germany]", "[Germany]")),
        *((b"Germany", "Germany"), ("România".encode(), "România"), ([b"DE"], "DE")),
        *(({"code": "DE"}, "DE"), ({"CODE": "DE", "name": "Deutschland"}, "DE"), ({"isoCode": "de"}, "de")),
        *(({"iso_code": "DE"}, "DE"), ({"alpha-2": "DE"}, "DE"), ({"country_code": "DE", "id": 57}, "DE")),
        *(({"id": 57, "name": "Germany"}, "Germany"), ({"value": "57", "label": "Germany"}, "Germany")),
        *(({"code": "276", "name": "Germany"}, "Germany"), ({"code": 276, "name": "Germany"}, "Germany")),
        *(({"code": None, "name": "Germany"}, "Germany"), ({"code": "N/A", "name": "Germany"}, "Germany")),
        *(({"code": False}, None), ({"code": "", "name": None}, None)),
        *(
            (None, None),
            (False, None),
            ("", None),
            (" ", None),
            ("N/A", None),
            ("null", None),
            ("-", None),
            (b"", None),
        ),
        *(([False], None), (["unknown"], None)),
    ],
)
def test_the_text_of_a_country_in_the_shapes_of_crms(value: Any, text: str | None) -> None:
    assert country_in(value) == text


@pytest.mark.parametrize(
    "value",
    [
        *("57", "+40", {"code": "276"}, "[57]", '{"id": 57}'),
        *(57, 57.0, True, [], [57], ["DE", "FR"], ["57", "Germany"], [True, "DE"], [57, "DE", "FR"], [[57, "Germany"]]),
        *({}, {"id": 57}, {"code": 57}, {"code": ["DE"]}, {"code": {"iso": "DE"}}, {57: "DE"}, {"DE"}, object()),
        *(bytearray(b"DE"), [57, 58], [57, ["DE"]]),
    ],
)
def test_other_shapes_are_no_country(value: Any) -> None:
    with pytest.raises(PydanticCustomError, match=r"^must be a country's name or code$") as raised:
        country_in(value)
    assert raised.value.type == "country_shape"


@pytest.mark.parametrize(
    ("value", "code"), [(b"\xff\xfe", "text_encoding"), (b"D\x00E", "text_binary"), ("\ud800", "text_encoding")]
)
def test_bytes_and_texts_that_are_none(value: Any, code: str) -> None:
    with pytest.raises(PydanticCustomError) as raised:
        country_in(value)
    assert raised.value.type == code
