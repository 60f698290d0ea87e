"""Owns the word lists of the demo's world, those kept for evaluation only, and the makers of invented words."""

TRAIN_CITIES = """Paris London Rome Madrid Lisbon Vienna Prague Warsaw Dublin Oslo Bern Athens Cairo Nairobi Lagos Accra
Tunis Delhi Mumbai Tokyo Osaka Kyoto Seoul Beijing Shanghai Hanoi Bangkok Manila Jakarta Sydney Perth Auckland Toronto
Montreal Chicago Boston Seattle Denver Miami Houston Dallas Phoenix Lima Quito Santiago Montevideo Hamburg Munich Dresden
Lyon Marseille Bordeaux Milan Turin Naples Florence Valencia Bilbao Porto Ghent Bruges Utrecht Rotterdam Malmö Zürich
Genève Málaga Córdoba Kraków Wrocław Gdańsk Brasília Asunción Mérida Reykjavík Tromsø Århus Besançon Orléans Düsseldorf
Nürnberg Göttingen Łódź Plzeň Iași Çanakkale Izmir Kraljevo Ljubljana Skopje Riga Vilnius Minsk Odesa Tbilisi Yerevan""".split() + [
    'Los Angeles', 'San Diego', 'New Orleans', 'Mexico City', 'Buenos Aires', 'Rio de Janeiro', 'Cape Town', 'Hong Kong',
    'Las Vegas', 'Salt Lake City', 'Santa Cruz', 'Tel Aviv', 'Abu Dhabi', 'Kuala Lumpur', 'Ho Chi Minh City', 'Port Louis',
    'San Juan', 'St. Louis', 'Saint Petersburg', 'La Paz', 'El Paso', 'Den Haag', 'Baden-Baden', 'Aix-en-Provence', 'São Luís',
    'Washington, DC', 'Austin, TX', 'Portland, OR', 'Panama City', 'Addis Ababa', 'New Delhi', 'North Bay', 'Fort Worth']
HELD_CITIES = """Barcelona Bogotá Helsinki Stockholm Copenhagen Budapest Bucharest Sofia Belgrade Zagreb Tallinn Gothenburg
Bergen Uppsala Tampere Antwerp Cologne Stuttgart Leipzig Bremen Salzburg Innsbruck Graz Lausanne Basel Palermo Bologna
Verona Genoa Sevilla Zaragoza Granada Murcia Coimbra Braga Toulouse Nantes Strasbourg Grenoble Rennes Limoges Edinburgh
Glasgow Manchester Liverpool Cardiff Belfast Galway Ankara Bursa Antalya Casablanca Marrakesh Dakar Abidjan Kampala Lusaka
Harare Maputo Pretoria Durban Karachi Lahore Dhaka Kolkata Chennai Bangalore Colombo Kathmandu Singapore Taipei Nagoya
Sapporo Fukuoka Busan Chengdu Wuhan Shenzhen Melbourne Brisbane Adelaide Wellington Honolulu Anchorage Vancouver Calgary
Winnipeg Ottawa Quebec Detroit Cleveland Atlanta Nashville Memphis Tucson Sacramento Guadalajara Monterrey Havana Caracas
Medellín Guayaquil Cusco Rosario Fortaleza Salvador Recife Curitiba Münster Würzburg Jönköping Kristiansand Poznań""".split() + [
    'New York', 'San Francisco', 'San Sebastián', 'São Paulo', 'Belo Horizonte', 'Santo Domingo', 'Puerto Vallarta', 'Tuxtla Gutiérrez',
    'Newcastle upon Tyne', 'Kansas City', 'Oklahoma City', 'Palo Alto', 'Santa Fe', 'Le Havre', 'Clermont-Ferrand', 'Phnom Penh',
    'Nuku Alofa', 'Dar es Salaam', 'Bogotá, Colombia', 'Paris, France', 'Barcelona, Spain', 'San Francisco, CA', 'New York, NY',
    'Sevilla, Spain', 'Brno', 'Ulm', 'Essen', 'Nice, France', 'Ponta Delgada', 'Gävle', 'Ålesund', 'Évora', 'Cádiz']
TRAIN_COUNTRIES = """Italy Germany Austria Norway Poland Greece Egypt Kenya Ghana India China Canada Brazil Peru Chile Mexico
Portugal Ireland Turkey Vietnam Thailand Australia Morocco Cuba Ecuador Japan UK USA Perú México Türkiye""".split() + ['New Zealand', 'South Africa', 'Costa Rica']
NAMES = """Anna Ben Carla David Emma Felix Greta Hugo Ines Jonas Karla Leo Maria Nils Olga Pedro Rosa Sven Tina Uwe Vera
Walter Xenia Yusuf Zoe Bob Alice John Mary Tom Kate Peter Lisa Ali Wei Yuki Omar Fatima Ivan Elena""".split()
HELD_NAMES = """Quentin Ludmila Rasmus Ophelia Dominik Beatriz Thorsten Marguerite Samir Ingrid Paolo Noemi Caspar Yolanda
Fergus Leticia Anselm Priya Kwame Saoirse""".split()
VERBS = """get find search send create delete update open close start stop book order play add remove list show check read
save cancel set fetch lookup query retrieve call move copy print translate schedule share""".split()
NOUNS = """email message invoice ticket order flight hotel song album book movie price stock task note file folder report
meeting event calendar contact user account payment route map photo image playlist recipe product review package device
light door alarm timer reminder page document table record log backup customer train taxi game score team poem joke
currency balance code password server job printer camera""".split()
HELD_NOUNS = """parcel voucher refund tram ferry podcast sculpture lecture gadget warehouse membership curtain thermostat
sprinkler tournament brochure passport luggage coupon mortgage vaccine satellite orchard bicycle umbrella stapler""".split()
PARAMS = """name title id query text amount date user email number color size type language count level path topic genre
address phone price code status label time limit format source target owner key value channel subject width""".split()
HELD_PARAMS = """handle recipient nickname quantity branch caption altitude keyword vendor slogan serial chapter""".split()
TOPICS = """pasta bread soup cake coffee python javascript java rust history physics chemistry biology math algebra geometry
music art football tennis chess politics religion money taxes love sleep cats dogs horses birds trees flowers stars planets
rockets computers robots phones games books movies poems stories languages grammar English German French Spanish Chinese
climate energy oil cars trains planes boats houses gardens tools paper water fire gold silver diamonds philosophy quantum
gravity evolution economics inflation democracy medicine health diet exercise yoga travel maps islands oceans mountains
rivers kings queens wars peace law crime jobs school university exams homework essays letters recursion sorting algorithms
databases networks internet security passwords privacy marketing sales startups investing bitcoin""".split()
HELD_TOPICS = """lasagna risotto pancakes sushi haskell kotlin archaeology astronomy genetics calculus sculpture opera cricket
volleyball poker theology mortgages insomnia hamsters parrots orchids comets satellites tractors comics sonnets Portuguese
Swahili glaciers uranium bicycles sailboats cottages hammers glass volcanoes ceramics pilates safari deserts canyons emperors
vikings treaties lawsuits plumbing kindergarten dissertations compilers encryption advertising""".split()
DAYS = 'Monday Tuesday Wednesday Thursday Friday Saturday Sunday'.split()
MONTHS = 'January February March April May June July August September October November December'.split()
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
SKIES = """sunny cloudy rainy windy foggy clear snowy stormy overcast""".split() + ['partly cloudy', 'light rain', 'heavy rain', 'mostly sunny',
         'scattered clouds', 'thunderstorms']
ACCENTS = {'a': 'áàâäãåą', 'e': 'éèêëęě', 'i': 'íìîï', 'o': 'óòôöõøő', 'u': 'úùûüů', 'c': 'çćč', 'n': 'ñńň', 's': 'śšş', 'z': 'žźż', 'l': 'ł'}
ONSETS = 'b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kr pl pr sh sk st th tr y qu x'.split()
VOWELS = 'a e i o u a e i o u ai au ea ei ia ie io oa oo ou y'.split()
CODAS = ['', '', '', '', 'n', 'r', 's', 'l', 't', 'm', 'k', 'd', 'ng', 'rk', 'st', 'nd', 'x', 'g', 'ff', 'll']


def pseudo(rng, longest=4):
    """An invented lower-case word: syllables, or in 15 % of the cases plain random letters."""
    if rng.random() < 0.15:
        return ''.join(rng.choice('abcdefghijklmnopqrstuvwxyz') for _ in range(rng.randint(3, 9)))
    n = rng.choice([1, 2, 2, 2, 3, 3, 4][:longest + 3])
    return ''.join(rng.choice(ONSETS if i or rng.random() < 0.85 else ['']) + rng.choice(VOWELS) + rng.choice(CODAS) for i in range(n))


def accented(rng, word):
    """The word with one or two of its letters accented."""
    for _ in range(rng.choice([1, 1, 2])):
        spots = [i for i, c in enumerate(word) if c in ACCENTS]
        if spots:
            i = rng.choice(spots)
            word = word[:i] + rng.choice(ACCENTS[word[i]]) + word[i + 1:]
    return word


def proper(rng, accent=0.15):
    """An invented name with a capital letter."""
    word = pseudo(rng)
    if rng.random() < accent:
        word = accented(rng, word)
    if rng.random() < 0.15 * accent:
        return rng.choice('ÁÉÍÓÚÅÄÖÜÇŠŽØŁÎ') + word
    return word[0].upper() + word[1:]


def invented_place(rng, practice):
    """One to three invented words as places are written; in practice more often two, which are harder."""
    r = rng.random()
    if r < (0.48 if practice else 0.68):
        return proper(rng)
    if r < 0.8:
        return proper(rng) + ' ' + proper(rng)
    if r < 0.9:
        first = rng.choice(['New', 'San', 'Santa', 'Port', 'Saint', 'St.', 'Los', 'Las', 'El', 'La', 'North', 'South', 'East', 'West', 'Fort', 'Mount', 'Bad', 'Upper', 'The', 'São'])
        return first + ' ' + proper(rng)
    if r < 0.94:
        return proper(rng) + rng.choice([' City', ' Town', ' Beach', ' Bay', ' Springs', ' Falls'])
    if r < 0.97:
        return proper(rng) + '-' + proper(rng)
    return proper(rng) + rng.choice([' de ', ' am ', ' upon ', ' del ', ' la ', ' of ']) + proper(rng)


def place(rng, held=None):
    """A place to ask the weather of. held: None while training, 'real' or 'invented' for evaluation."""
    if held == 'real':
        return rng.choice(HELD_CITIES)
    real = held is None and rng.random() < 0.25
    name = rng.choice(TRAIN_CITIES) if real else invented_place(rng, held is None)
    if ',' not in name and rng.random() < 0.2:
        land = rng.choice(TRAIN_COUNTRIES) if rng.random() < 0.4 and held is None else proper(rng)
        if rng.random() < 0.15:
            land = rng.choice('ABCDEFGHIKLMNOPQRSTUVWYZ') + rng.choice('ABCDEFGHIKLMNOPQRSTUVWYZ')
        name += ', ' + land
    if held is None and rng.random() < 0.06:
        name = name.lower()
    return name


def person(rng, held=False):
    """A first name; held-out names in evaluation."""
    if held:
        return rng.choice(HELD_NAMES)
    return rng.choice(NAMES) if rng.random() < 0.3 else proper(rng, 0.1)
