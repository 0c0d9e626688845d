"""Two sentences of the same meaning in sixteen languages."""

SENTENCES = {
    "en": "The light of a distant star takes many years to reach us, and when it arrives it tells us what the star was "
    "like long ago. We measure its colour and its brightness.",
    "de": "Das Licht eines fernen Sterns braucht viele Jahre, bis es bei uns ankommt, und es erzählt uns, wie der Stern vor "
    "langer Zeit aussah. Wir messen seine Farbe und seine Helligkeit.",
    "fr": "La lumière d'une étoile lointaine met de nombreuses années à nous parvenir, et elle nous dit comment était "
    "l'étoile il y a longtemps. Nous mesurons sa couleur et son éclat.",
    "es": "La luz de una estrella lejana tarda muchos años en llegar hasta nosotros, y nos cuenta cómo era la estrella hace "
    "mucho tiempo. Medimos su color y su brillo con cuidado.",
    "it": "La luce di una stella lontana impiega molti anni per arrivare fino a noi, e ci racconta com'era la stella tanto "
    "tempo fa. Misuriamo il suo colore e la sua luminosità.",
    "pt": "A luz de uma estrela distante leva muitos anos para chegar até nós e conta-nos como era a estrela há muito tempo. "
    "Medimos a sua cor e o seu brilho com cuidado.",
    "nl": "Het licht van een verre ster doet er vele jaren over om ons te bereiken en vertelt ons hoe de ster er lang geleden "
    "uitzag. Wij meten haar kleur en haar helderheid.",
    "sv": "Ljuset från en avlägsen stjärna behöver många år för att nå oss, och det berättar hur stjärnan såg ut för länge "
    "sedan. Vi mäter dess färg och dess ljusstyrka.",
    "da": "Lyset fra en fjern stjerne er mange år om at nå frem til os, og det fortæller os, hvordan stjernen så ud for længe "
    "siden. Vi måler dens farve og dens lysstyrke.",
    "pl": "Światło odległej gwiazdy potrzebuje wielu lat, aby do nas dotrzeć, i opowiada nam, jak gwiazda wyglądała dawno "
    "temu. Mierzymy jej barwę i jej jasność.",
    "cs": "Světlo vzdálené hvězdy potřebuje mnoho let, než k nám dorazí, a vypráví nám, jak hvězda vypadala před dávnými "
    "časy. Měříme její barvu a její jasnost.",
    "ru": "Свет далёкой звезды идёт к нам много лет и рассказывает, какой звезда была давным-давно. Мы измеряем её цвет и её "
    "яркость с большой точностью.",
    "uk": "Світло далекої зорі йде до нас багато років і розповідає, якою зоря була дуже давно. Ми вимірюємо її колір та її "
    "яскравість з великою точністю.",
    "tr": "Uzak bir yıldızın ışığının bize ulaşması uzun yıllar sürer ve bize yıldızın çok eskiden nasıl olduğunu anlatır. "
    "Onun rengini ve parlaklığını ölçüyoruz.",
    "zh": "遥远恒星的光需要很多年才能到达我们这里，它告诉我们这颗恒星很久以前的样子。我们仔细测量它的颜色和亮度，并把结果与模型进行比较。这样我们就能知道它的温度和质量。",
    "ja": "遠い星の光が私たちに届くまでには何年もかかり、その星が昔どのような姿であったかを教えてくれます。私たちはその色と明るさを注意深く測定し、結果を模型と比べます。",
}  # fmt: skip
