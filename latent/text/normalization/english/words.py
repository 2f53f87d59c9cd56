"""Words of English text normalization: abbreviations, units, names of months, and what capital letters mean."""

from __future__ import annotations

MONTHS = {
    "Jan": "January",
    "Feb": "February",
    "Mar": "March",
    "Apr": "April",
    "Jun": "June",
    "Jul": "July",
    "Aug": "August",
    "Sep": "September",
    "Sept": "September",
    "Oct": "October",
    "Nov": "November",
    "Dec": "December",
}
MONTH_NAMES = "January February March April May June July August September October November December".split()
DAYS = {
    "Mon": "Monday",
    "Tue": "Tuesday",
    "Tues": "Tuesday",
    "Wed": "Wednesday",
    "Thu": "Thursday",
    "Thur": "Thursday",
    "Thurs": "Thursday",
    "Fri": "Friday",
    "Sat": "Saturday",
    "Sun": "Sunday",
}
ONLY_DAYS = frozenset(("Tue", "Tues", "Thu", "Thur", "Thurs", "Fri"))
ONLY_MONTHS = frozenset(("Feb", "Aug", "Sept", "Oct", "Nov", "Dec"))
"""Those that are no other word or name, and so need no period."""
TITLES = {
    "Dr": "doctor",
    "Mr": "mister",
    "Mrs": "missus",
    "Ms": "miz",
    "Drs": "doctors",
    "Prof": "professor",
    "Gen": "general",
    "Sgt": "sergeant",
    "Capt": "captain",
    "Lt": "lieutenant",
    "Col": "colonel",
    "Sen": "senator",
    "Rep": "representative",
    "Rev": "reverend",
    "Gov": "governor",
    "Pres": "president",
    "Hon": "honorable",
    "St": "saint",
    "Mt": "mount",
    "Ft": "fort",
}
"""Before a name."""
STREETS = {
    "St": "street",
    "Ave": "avenue",
    "Av": "avenue",
    "Rd": "road",
    "Blvd": "boulevard",
    "Dr": "drive",
    "Ln": "lane",
    "Ct": "court",
    "Pl": "place",
    "Sq": "square",
    "Hwy": "highway",
    "Pkwy": "parkway",
}
"""After a name."""
ABBREVIATIONS = {
    "vs": "versus",
    "etc": "et cetera",
    "approx": "approximately",
    "dept": "department",
    "temp": "temp",
    "max": "maximum",
    "min": "minimum",
    "avg": "average",
    "est": "established",
    "Jr": "junior",
    "Sr": "senior",
    "Inc": "incorporated",
    "Corp": "corporation",
    "Ltd": "limited",
    "Co": "company",
    "Bros": "brothers",
    "Apt": "apartment",
    "Tel": "telephone",
    "Assn": "association",
    "Univ": "university",
    "Govt": "government",
    "misc": "miscellaneous",
    "cont": "continued",
    "incl": "including",
    "ed": "edition",
    "appt": "appointment",
    "mgmt": "management",
}
"""With a period, whatever their case."""
NEVER_LAST = frozenset(("vs", "approx", "est", "incl"))
"""Those of them that end no sentence, whatever follows."""
NUMBERED = {
    "No": "number",
    "Nos": "numbers",
    "fig": "figure",
    "figs": "figures",
    "p": "page",
    "pp": "pages",
    "vol": "volume",
    "ch": "chapter",
    "sec": "section",
    "art": "article",
    "para": "paragraph",
    "eq": "equation",
    "Apt": "apartment",
    "ext": "extension",
    "rm": "room",
    "pt": "part",
    "ca": "circa",
}
"""With a period before a number."""
UNITS = {
    "km": "kilometer",
    "m": "meter",
    "cm": "centimeter",
    "mm": "millimeter",
    "mi": "mile",
    "yd": "yard",
    "kg": "kilogram",
    "g": "gram",
    "mg": "milligram",
    "lb": "pound",
    "lbs": "pound",
    "oz": "ounce",
    "l": "liter",
    "L": "liter",
    "ml": "milliliter",
    "mL": "milliliter",
    "cl": "centiliter",
    "tsp": "teaspoon",
    "tbsp": "tablespoon",
    "Tbsp": "tablespoon",
    "gal": "gallon",
    "qt": "quart",
    "cal": "calorie",
    "s": "second",
    "sec": "second",
    "secs": "second",
    "ms": "millisecond",
    "min": "minute",
    "mins": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "yr": "year",
    "yrs": "year",
    "W": "watt",
    "kW": "kilowatt",
    "MW": "megawatt",
    "kWh": "kilowatt hour",
    "V": "volt",
    "A": "ampere",
    "J": "joule",
    "kcal": "kilocalorie",
    "B": "byte",
    "kB": "kilobyte",
    "KB": "kilobyte",
    "MB": "megabyte",
    "GB": "gigabyte",
    "TB": "terabyte",
    "kbps": "kilobit per second",
    "Mbps": "megabit per second",
    "Gbps": "gigabit per second",
    "mph": "mile per hour",
    "mpg": "mile per gallon",
    "km/h": "kilometer per hour",
    "m/s": "meter per second",
    "m²": "square meter",
    "km²": "square kilometer",
    "cm²": "square centimeter",
    "m³": "cubic meter",
    "°": "degree",
    "°C": "degree Celsius",
    "°F": "degree Fahrenheit",
    "px": "pixel",
    "dB": "decibel",
    "ha": "hectare",
    "nm": "nanometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "µg": "microgram",
    "μg": "microgram",
    "Wh": "watt hour",
    "MWh": "megawatt hour",
    "GW": "gigawatt",
    "kJ": "kilojoule",
    "kPa": "kilopascal",
    "hPa": "hectopascal",
    "mAh": "milliampere hour",
    "km/s": "kilometer per second",
    "ft/s": "foot per second",
    "mg/kg": "milligram per kilogram",
    "mg/L": "milligram per liter",
    "mg/dL": "milligram per deciliter",
    "g/L": "gram per liter",
    "g/km": "gram per kilometer",
    "g/cm³": "gram per cubic centimeter",
    "kg/m³": "kilogram per cubic meter",
    "W/m²": "watt per square meter",
    "N·m": "newton meter",
    "Nm": "newton meter",
    "in-lb": "inch pound",
    "ft-lb": "foot pound",
}
"""In the singular; the plural adds "s" to the first word, or to the last without "per" or a scale."""
UNCHANGED_UNITS = {
    "Hz": "hertz",
    "kHz": "kilohertz",
    "MHz": "megahertz",
    "GHz": "gigahertz",
    "hp": "horsepower",
    "ppm": "parts per million",
    "ppb": "parts per billion",
    "bpm": "beats per minute",
    "fps": "frames per second",
    "rpm": "R P M",
    "psi": "P S I",
}
PER = {
    **{
        word: word
        for word in (
            "second minute hour day week month year night person unit piece capita gallon liter litre mile kilometer "
            "pound ounce kilogram ton acre serving"
        ).split()
    },
    **{"sec": "second", "s": "second", "min": "minute", "hr": "hour", "h": "hour", "mo": "month", "yr": "year"},
    **{"kg": "kilogram", "lb": "pound", "oz": "ounce", "gal": "gallon", "mi": "mile", "km": "kilometer"},
}
"""Words and units after a slash that means "per"."""
PER_AFTER_PLURAL = (
    "game match visit session shift head seat page user request employee student class item frame inch".split()
)
"""Words after a slash that means "per" if what precedes is plural: "points/game", but "admin/user"."""
STUFF_UNITS = frozenset("g kg mg lb lbs oz l L ml mL cl tsp tbsp Tbsp gal qt".split())
"""Units of what has no plural: "200 milliliters milk", but "a 200 milliliter bottle"."""
IRREGULAR_UNITS = {"ft": ("foot", "feet"), "in": ("inch", "inches")}
PARTED_UNITS = {
    "tsp": ("teaspoon", "teaspoons"),
    "tbsp": ("tablespoon", "tablespoons"),
    "oz": ("ounce", "ounces"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "mi": ("mile", "miles"),
    "km": ("kilometer", "kilometers"),
    "kg": ("kilogram", "kilograms"),
}
"""After a fraction in words."""
NOT_NOUNS = frozenset(
    (
        "long wide high tall deep thick away old apart ago of in is are was were be and or to from per for at by on "
        "the a an later earlier early late more less left each with without than now today tonight tomorrow a.m p.m "
        "before after until over under above below via since off around across along beyond inside outside into onto "
        "out up down through between past near beside among against toward towards behind "
        "while during which who not only but so if as it he she they we you i that this these passed costs weighs"
    ).split()
)
"""Words after a quantity that it does not describe: "5 meters long", but "a 5 meter rope"."""
SINGULAR_NOUNS = frozenset("bill note coin ticket fine fee fund prize gift reward bet deal loan bonus check".split())
"""Nouns that an amount of money describes: "a five dollar bill"."""

SIGNS = (
    ("²", "squared"),
    ("³", "cubed"),
    ("&", "and"),
    ("%", "percent"),
    ("±", "plus or minus"),
    ("≥", "greater than or equal to"),
    ("≤", "less than or equal to"),
    ("≠", "is not equal to"),
    ("≈", "approximately"),
    ("→", "to"),
    ("×", "times"),
    ("÷", "divided by"),
    ("+", "plus"),
    ("=", "equals"),
    ("§", "section"),
    ("*", "star"),
    ("#", "pound"),
    ("@", "at"),
    (">", "greater than"),
    ("<", "less than"),
    ("~", "about"),
    ("^", "caret"),
    ("|", "or"),
    ("\\", "backslash"),
    ("_", "underscore"),
    ("©", "copyright"),
)
SILENT_SIGNS = "™®•·…¶†‡"

ACRONYMS = frozenset(
    (
        "NASA NATO UNESCO UNICEF OPEC AIDS FIFA UEFA NAFTA LASER RADAR SONAR SCUBA GIF RAM ROM PIN SIM JPEG LAN WAN "
        "NASDAQ OSHA FEMA POTUS SCOTUS ICANN CAPTCHA ZIP BASIC COBOL SWAT ASCII CERN ESA OCHA ASEAN MIDI MOMA DARPA "
        "NOAA RAID"
    ).split()
)
"""Initialisms that are read as words."""
INITIALISMS = frozenset("IEEE NAACP USSR ASAP USA AAA IOU UCLA USDA ACLU EULA OECD NYSE NCAA ISBN HTTP HTTPS".split())
"""Those of four letters and more that look as if they could be read as words, and are not."""
SMALL_INITIALISMS = "omg imho brb fyi ttyl smh np pw csv pdf html css jpg png exe url usb dvd tv gps".split()
"""Initialisms that people also write in small letters."""
CHAT = {
    "btw": "by the way",
    "tbh": "to be honest",
    "idk": "I don't know",
    "imo": "in my opinion",
    "tmrw": "tomorrow",
    "pls": "please",
    "plz": "please",
    "ppl": "people",
    "thx": "thanks",
    "tho": "though",
}
"""Short forms of chats, in any case."""
SHORT_WORDS = frozenset(
    (
        "A I AN AS AT BE BY DO GO HE IF IN IS ME MY NO OF OH OK ON OR SO TO UP WE ALL AND ANY ARE ASK BAD BIG BUT "
        "BUY CAN DAY DID END FOR GET GOT HAD HAS HER HIM HIS HOT HOW ITS LET MAY MEN NEW NOT NOW OFF OLD ONE OUR OUT "
        "OWN PUT RED RUN SAY SEE SHE SIX TEN THE TOO TOP TRY TWO USE WAS WAY WHO WHY WIN YES YET YOU"
    ).split()
)
"""Words of up to three letters that may be written in capitals."""
TLDS = (
    "com",
    "org",
    "net",
    "edu",
    "gov",
    "io",
    "co",
    "uk",
    "de",
    "fr",
    "es",
    "info",
    "dev",
    "app",
    "ai",
    "eu",
    "us",
    "ca",
)
SPELLED_TLDS = frozenset(("uk", "de", "fr", "es", "io", "ai", "eu", "us", "ca"))
FILES = {
    "html": "h t m l",
    "htm": "h t m",
    "pdf": "p d f",
    "txt": "t x t",
    "py": "p y",
    "js": "j s",
    "css": "c s s",
    "csv": "c s v",
    "jpg": "j p g",
    "png": "p n g",
    "mp3": "m p three",
    "exe": "e x e",
    "zip": "zip",
    "json": "jason",
    "md": "m d",
}
STATES = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DE": "Delaware", "FL": "Florida", "GA": "Georgia", "HI": "Hawaii", "ID": "Idaho",
    "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana",
    "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota", "MS": "Mississippi",
    "MO": "Missouri", "MT": "Montana", "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire", "NJ": "New Jersey",
    "NM": "New Mexico", "NY": "New York", "NC": "North Carolina", "ND": "North Dakota", "OH": "Ohio", "OK": "Oklahoma",
    "OR": "Oregon", "PA": "Pennsylvania", "RI": "Rhode Island", "SC": "South Carolina", "SD": "South Dakota",
    "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont", "VA": "Virginia", "WA": "Washington",
    "WV": "West Virginia", "WI": "Wisconsin", "WY": "Wyoming", "DC": "D C",
}  # fmt: skip
"""After a city and a comma."""
NEWS_STATES = {
    "Ala": "Alabama", "Ariz": "Arizona", "Ark": "Arkansas", "Calif": "California", "Colo": "Colorado",
    "Conn": "Connecticut", "Del": "Delaware", "Fla": "Florida", "Ga": "Georgia", "Ill": "Illinois", "Ind": "Indiana",
    "Kan": "Kansas", "Ky": "Kentucky", "La": "Louisiana", "Md": "Maryland", "Mass": "Massachusetts",
    "Mich": "Michigan", "Minn": "Minnesota", "Miss": "Mississippi", "Mo": "Missouri", "Mont": "Montana",
    "Neb": "Nebraska", "Nev": "Nevada", "Okla": "Oklahoma", "Ore": "Oregon", "Pa": "Pennsylvania",
    "Tenn": "Tennessee", "Tex": "Texas", "Vt": "Vermont", "Va": "Virginia", "Wash": "Washington",
    "Wis": "Wisconsin", "Wyo": "Wyoming",
}  # fmt: skip
"""After a city and a comma, with a period, as newspapers write them."""
