"""The words of the embedded corpus: each with both languages, and what it goes together with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sightline.data.grammar.korean import Kind, Stem


@dataclass(frozen=True)
class Noun:
    """A noun. `counter` counts it (책 세 권); without one it is uncountable in English, and counted in the `unit` that
    holds it, if there is one (커피 두 잔, "two cups of coffee")."""

    korean: str
    english: str
    counter: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Verb:
    """A verb: `objects` names the classes of its object, `places` where it happens."""

    stem: Stem
    english: str
    objects: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adjective:
    """An adjective and the classes of nouns it describes."""

    stem: Stem
    english: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Person:
    """Whom a sentence is about. `form` is the person of the English verb: 1, 2, 3 (singular) or 4 (plural). `object` is
    the English where somebody does something to them, if that is another word."""

    korean: str
    english: str
    form: Literal[1, 2, 3, 4]
    object: str = ""


def _nouns(counter: str, table: str) -> tuple[Noun, ...]:
    """The nouns of a table such as "책=book, 커피=coffee:cup"."""
    found = []
    for entry in table.split(","):
        korean, english = entry.strip().split("=")
        english, _, unit = english.partition(":")
        found.append(Noun(korean, english, counter, unit))
    return tuple(found)


NOUNS: dict[str, tuple[Noun, ...]] = {
    "job": _nouns(
        "명",
        "학생=student, 교사=teacher, 선생님=teacher, 의사=doctor, 간호사=nurse, 작가=writer, 화가=painter, 가수=singer, 배우=actor,"
        "기자=reporter, 경찰관=police officer, 요리사=cook, 농부=farmer, 과학자=scientist, 교수=professor, 변호사=lawyer,"
        "운전사=driver, 번역가=translator, 음악가=musician, 건축가=architect, 사진작가=photographer, 엔지니어=engineer,"
        "연구원=researcher, 군인=soldier, 조종사=pilot, 판사=judge",
    ),
    "person": _nouns("명", "친구=friend, 아이=child, 손님=guest, 여자=woman, 남자=man, 외국인=foreigner, 이웃=neighbor"),
    "family": _nouns("명", "동생=younger sibling, 여동생=younger sister, 남동생=younger brother, 누나=older sister, 형=older brother"),
    "read": _nouns("권", "책=book, 소설=novel, 잡지=magazine, 만화책=comic book, 사전=dictionary, 일기=diary"),
    "letter": _nouns("통", "편지=letter, 엽서=postcard, 이메일=email"),
    "text": _nouns("편", "시=poem, 논문=paper, 글=essay, 기사=article"),
    "produce": _nouns("개", "사과=apple, 바나나=banana, 오렌지=orange, 감자=potato, 토마토=tomato, 복숭아=peach, 레몬=lemon"),
    "dish": _nouns("개", "샌드위치=sandwich, 햄버거=hamburger, 만두=dumpling, 피자=pizza"),
    "baked": _nouns("개", "쿠키=cookie, 케이크=cake, 파이=pie"),
    "meal": _nouns("", "밥=rice:bowl, 빵=bread:slice, 고기=meat, 김치=kimchi, 치즈=cheese:slice, 생선=fish, 수프=soup:bowl, 죽=porridge:bowl"),
    "drink": _nouns("", "물=water:glass, 커피=coffee:cup, 우유=milk:glass, 주스=juice:glass, 차=tea:cup, 맥주=beer:glass"),
    "field": _nouns("", "인공지능=artificial intelligence, 수학=mathematics, 역사=history, 물리학=physics, 한국어=Korean,"
                    "영어=English, 음악=music, 철학=philosophy, 경제학=economics, 화학=chemistry, 의학=medicine, 법학=law,"
                    "독일어=German, 문학=literature, 생물학=biology"),
    "film": _nouns("편", "영화=movie, 드라마=drama, 연극=play, 다큐멘터리=documentary"),
    "song": _nouns("곡", "노래=song"),
    "animal": _nouns("마리", "고양이=cat, 개=dog, 새=bird, 토끼=rabbit, 말=horse, 소=cow, 돼지=pig, 닭=chicken"),
    "thing": _nouns("개", "가방=bag, 시계=watch, 의자=chair, 우산=umbrella, 연필=pencil, 지갑=wallet, 열쇠=key, 모자=hat,"
                    "선물=gift, 상자=box, 공=ball, 칼=knife, 컵=cup, 거울=mirror, 지도=map"),
    "machine": _nouns("대", "컴퓨터=computer, 카메라=camera, 자동차=car, 자전거=bicycle, 전화기=telephone, 냉장고=refrigerator,"
                      "텔레비전=television, 세탁기=washing machine"),
    "clothes": _nouns("벌", "원피스=dress, 정장=suit, 외투=coat, 한복=hanbok"),
    "flower": _nouns("송이", "꽃=flower, 장미=rose, 튤립=tulip"),
    "building": _nouns("채", "집=house, 건물=building, 호텔=hotel, 아파트=apartment"),
    "opening": _nouns("개", "문=door, 창문=window"),
    "room": _nouns("개", "방=room, 교실=classroom, 사무실=office, 부엌=kitchen"),
    "picture": _nouns("장", "그림=picture"),
    "photo": _nouns("장", "사진=photo"),
    "container": _nouns("개", "가방=bag, 상자=box"),
}  # fmt: skip

# what uncountable things are counted in
UNITS = {"cup": "잔", "glass": "잔", "bowl": "그릇", "slice": "조각"}

# Korean with its particle → English with its preposition
PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "indoors": (
        ("집에서", "at home"), ("도서관에서", "at the library"), ("학교에서", "at school"), ("카페에서", "at the cafe"),
        ("사무실에서", "in the office"), ("교실에서", "in the classroom"), ("방에서", "in the room"),
        ("호텔에서", "at the hotel"),
    ),
    "kitchen": (("부엌에서", "in the kitchen"), ("식당에서", "at the restaurant"), ("집에서", "at home")),
    "outdoors": (
        ("공원에서", "in the park"), ("정원에서", "in the garden"), ("바닷가에서", "at the beach"), ("산에서", "on the mountain"),
        ("운동장에서", "on the playground"), ("길에서", "on the street"),
    ),
    "shop": (
        ("시장에서", "at the market"), ("가게에서", "at the store"), ("백화점에서", "at the department store"),
        ("서점에서", "at the bookstore"),
    ),
    "city": (
        ("서울에서", "in Seoul"), ("부산에서", "in Busan"), ("런던에서", "in London"), ("한국에서", "in Korea"),
        ("독일에서", "in Germany"), ("시골에서", "in the countryside"),
    ),
    "work": (
        ("병원에서", "at the hospital"), ("은행에서", "at the bank"), ("회사에서", "at the company"), ("공항에서", "at the airport"),
        ("대학교에서", "at the university"), ("우체국에서", "at the post office"), ("연구소에서", "at the institute"),
    ),
    "towards": (
        ("학교에", "to school"), ("집에", "home"), ("병원에", "to the hospital"), ("시장에", "to the market"),
        ("도서관에", "to the library"), ("공원에", "to the park"), ("서울에", "to Seoul"), ("부산에", "to Busan"),
        ("회사에", "to the company"), ("공항에", "to the airport"), ("바닷가에", "to the beach"), ("식당에", "to the restaurant"),
    ),
}  # fmt: skip

MEANS = (
    ("버스로", "by bus"), ("지하철로", "by subway"), ("기차로", "by train"), ("택시로", "by taxi"), ("배로", "by ship"),
    ("비행기로", "by plane"),
)  # fmt: skip


def _verb(text: str, english: str, objects: str = "", places: str = "", kind: Kind = "regular") -> Verb:
    return Verb(Stem(text, kind), english, tuple(objects.split()), tuple(places.split()))


TRANSITIVE: tuple[Verb, ...] = (
    _verb("읽", "read", "read letter text", "indoors outdoors"),
    _verb("쓰", "write", "letter text", "indoors"),
    _verb("사", "buy", "read produce dish baked thing clothes flower machine", "shop"),
    _verb("팔", "sell", "read produce dish baked thing clothes flower", "shop"),
    _verb("먹", "eat", "produce dish baked meal", "kitchen outdoors"),
    _verb("마시", "drink", "drink", "kitchen indoors"),
    _verb("만들", "make", "dish baked", "kitchen"),
    _verb("굽", "bake", "baked", "kitchen", "ㅂ"),
    _verb("공부하", "study", "field", "indoors city"),
    _verb("가르치", "teach", "field", "city work"),
    _verb("배우", "learn", "field", "city indoors"),
    _verb("연구하", "research", "field", "work city"),
    _verb("좋아하", "like", "produce dish baked meal drink field film song animal flower"),
    _verb("싫어하", "dislike", "produce dish baked meal drink field film animal"),
    _verb("보", "watch", "film", "indoors"),
    _verb("만나", "meet", "person job", "city outdoors shop work"),
    _verb("돕", "help", "person job", "city work", "ㅂ"),
    _verb("기다리", "wait for", "person job", "indoors outdoors work"),
    _verb("사랑하", "love", "person animal"),
    _verb("초대하", "invite", "person job"),
    _verb("기억하", "remember", "person job song film"),
    _verb("찾", "look for", "thing animal person", "indoors outdoors"),
    _verb("잃어버리", "lose", "thing", "outdoors city"),
    _verb("사용하", "use", "machine thing", "indoors work"),
    _verb("고치", "fix", "machine", "work indoors"),
    _verb("입", "wear", "clothes"),
    _verb("부르", "sing", "song", "indoors outdoors", "르"),
    _verb("듣", "listen to", "song", "indoors outdoors", "ㄷ"),
    _verb("짓", "build", "building", "city", "ㅅ"),
    _verb("열", "open", "opening container"),
    _verb("닫", "close", "opening"),
    _verb("청소하", "clean", "room"),
    _verb("씻", "wash", "produce", "kitchen"),
    _verb("보내", "send", "letter thing picture photo"),
    _verb("받", "receive", "letter thing picture photo flower"),
    _verb("그리", "draw", "picture animal flower building", "indoors outdoors"),
    _verb("찍", "take", "photo", "outdoors city"),
    _verb("번역하", "translate", "read letter text", "indoors work"),
    _verb("고르", "choose", "read thing clothes flower", "shop", "르"),
    _verb("자르", "cut", "produce", "kitchen", "르"),
    _verb("키우", "raise", "animal", "city outdoors"),
    _verb("잡", "catch", "animal", "outdoors"),
)
INTRANSITIVE: tuple[Verb, ...] = (
    _verb("일하", "work", places="work city"),
    _verb("쉬", "rest", places="indoors outdoors"),
    _verb("자", "sleep", places="indoors"),
    _verb("운동하", "exercise", places="outdoors indoors"),
    _verb("수영하", "swim", places="outdoors"),
    _verb("걷", "walk", places="outdoors city", kind="ㄷ"),
    _verb("뛰", "run", places="outdoors"),
    _verb("웃", "laugh", places="indoors outdoors"),
    _verb("울", "cry", places="indoors outdoors"),
    _verb("춤추", "dance", places="indoors outdoors"),
    _verb("놀", "play", places="indoors outdoors"),
    _verb("살", "live", places="city"),
    _verb("여행하", "travel", places="city"),
)
MOTION: tuple[Verb, ...] = (_verb("가", "go", places="towards"), _verb("오", "come", places="towards"))

_FOOD = "produce dish baked meal"
_ANY_THING = "read thing machine clothes flower picture"


def _adjective(text: str, english: str, classes: str, kind: Kind = "regular") -> Adjective:
    return Adjective(Stem(text, kind, True), english, tuple(classes.split()))


ADJECTIVES: tuple[Adjective, ...] = (
    _adjective("크", "big", "thing machine produce baked animal building room picture opening"),
    _adjective("작", "small", "thing machine produce baked animal building room picture opening"),
    _adjective("재미있", "interesting", "read film text letter"),
    _adjective("재미없", "boring", "read film text"),
    _adjective("비싸", "expensive", "read thing machine clothes flower building produce"),
    _adjective("싸", "cheap", "read thing machine clothes flower produce"),
    _adjective("예쁘", "pretty", "flower clothes picture thing animal"),
    _adjective("아름답", "beautiful", "flower picture song building clothes", "ㅂ"),
    _adjective("맛있", "delicious", _FOOD),
    _adjective("맛없", "tasteless", _FOOD),
    _adjective("새롭", "new", f"{_ANY_THING} film song building", "ㅂ"),
    _adjective("어렵", "difficult", "read text", "ㅂ"),
    _adjective("쉽", "easy", "read text", "ㅂ"),
    _adjective("길", "long", "read letter text film song"),
    _adjective("짧", "short", "letter text film song"),
    _adjective("무겁", "heavy", "thing machine read", "ㅂ"),
    _adjective("가볍", "light", "thing machine clothes", "ㅂ"),
    _adjective("친절하", "kind", "person job"),
    _adjective("유명하", "famous", "job read film song building picture"),
    _adjective("바쁘", "busy", "person job"),
    _adjective("똑똑하", "smart", "person job animal"),
    _adjective("조용하", "quiet", "room building person"),
    _adjective("깨끗하", "clean", "room clothes machine opening"),
    _adjective("차갑", "cold", "drink meal", "ㅂ"),
    _adjective("뜨겁", "hot", "drink meal", "ㅂ"),
    _adjective("빠르", "fast", "machine animal", "르"),
    _adjective("느리", "slow", "machine animal"),
    _adjective("귀엽", "cute", "animal", "ㅂ"),
    _adjective("젊", "young", "job person"),
    _adjective("행복하", "happy", "job person"),
    _adjective("슬프", "sad", "job person"),
    _adjective("피곤하", "tired", "job person"),
    _adjective("배고프", "hungry", "job person animal"),
    _adjective("아프", "sick", "job person animal"),
)
DEGREES = (("아주", "very"), ("정말", "really"))
WEATHER: tuple[Adjective, ...] = (
    _adjective("좋", "good", ""), _adjective("나쁘", "bad", ""), _adjective("춥", "cold", "", "ㅂ"),
    _adjective("덥", "hot", "", "ㅂ"), _adjective("따뜻하", "warm", ""), _adjective("시원하", "cool", ""),
    _adjective("맑", "clear", ""), _adjective("흐리", "cloudy", ""),
)  # fmt: skip
FALLING = {"비": Verb(Stem("오"), "rain"), "눈": Verb(Stem("오"), "snow")}

PEOPLE: tuple[Person, ...] = (
    Person("나", "I", 1, "me"), Person("저", "I", 1, "me"), Person("우리", "we", 4, "us"), Person("그", "he", 3, "him"),
    Person("그녀", "she", 3, "her"), Person("그들", "they", 4, "them"), Person("민수", "Minsu", 3), Person("지영", "Jiyoung", 3), Person("수진", "Sujin", 3),
    Person("현우", "Hyunwoo", 3), Person("서연", "Seoyeon", 3), Person("준호", "Junho", 3), Person("미나", "Mina", 3),
    Person("동욱", "Dongwook", 3), Person("누나", "my older sister", 3), Person("형", "my older brother", 3),
    Person("동생", "my younger sibling", 3), Person("어머니", "my mother", 3), Person("아버지", "my father", 3),
    Person("여동생", "my younger sister", 3), Person("남동생", "my younger brother", 3),
)  # fmt: skip

NAMED = tuple(one for one in PEOPLE if one.english[0].isupper() and one.form == 3)
YOU = {"plain": Person("너", "you", 2), "polite": Person("당신", "you", 2), "formal": Person("당신", "you", 2)}
COUNTRIES = (
    ("한국", "Korean"), ("독일", "German"), ("미국", "American"), ("일본", "Japanese"), ("중국", "Chinese"),
    ("영국", "British"), ("프랑스", "French"),
)  # fmt: skip
NAME = ("이름", "name")
POINTED = (("이것", "this"), ("그것", "it"), ("저것", "that"))
# said to somebody, whose name may come before or after
GREETINGS = (
    ("안녕하세요", "hello"), ("감사합니다", "thank you"), ("고맙습니다", "thank you"), ("고마워요", "thank you"),
    ("미안합니다", "I am sorry"), ("미안해요", "I am sorry"), ("죄송합니다", "I am sorry"), ("안녕히 가세요", "goodbye"),
    ("축하합니다", "congratulations"), ("어서 오세요", "welcome"), ("안녕히 주무세요", "good night"),
    ("만나서 반갑습니다", "nice to meet you"), ("만나서 반가워요", "nice to meet you"),
)  # fmt: skip
# whom besides people by their names
GREETED = (("선생님", "teacher"), ("의사 선생님", "doctor"), ("손님", "guest"), ("여러분", "everyone"))
# asked of what somebody does
ADVERBS_ASKED = (("언제", "when"), ("왜", "why"), ("어디에서", "where"))

# tense → adverbials (Korean, English); English ones stand last
TIMES: dict[str, tuple[tuple[str, str], ...]] = {
    "present": (
        ("매일", "every day"), ("아침에", "in the morning"), ("저녁에", "in the evening"), ("주말에", "on weekends"),
        ("매주", "every week"), ("가끔", "sometimes"), ("여름에", "in summer"), ("겨울에", "in winter"),
    ),
    "past": (
        ("어제", "yesterday"), ("지난주에", "last week"), ("작년에", "last year"), ("그저께", "the day before yesterday"),
        ("지난달에", "last month"), ("오늘", "today"),
    ),
    "future": (
        ("내일", "tomorrow"), ("다음 주에", "next week"), ("내년에", "next year"), ("모레", "the day after tomorrow"),
        ("다음 달에", "next month"),
    ),
    "progressive": (("지금", "now"),),
}  # fmt: skip

NUMBERS = (
    ("한", "one"), ("두", "two"), ("세", "three"), ("네", "four"), ("다섯", "five"), ("여섯", "six"), ("일곱", "seven"),
    ("여덟", "eight"), ("아홉", "nine"), ("열", "ten"),
)  # fmt: skip

# where something is: Korean with 에 → English
_INSIDE = (
    ("방에", "in the room"),
    ("부엌에", "in the kitchen"),
    ("교실에", "in the classroom"),
    ("사무실에", "in the office"),
)
_OUTSIDE = (("공원에", "in the park"), ("정원에", "in the garden"), ("길에", "on the street"))
LOCATIONS = {
    "animal": _INSIDE + _OUTSIDE, "person": _INSIDE + _OUTSIDE, "job": _INSIDE + _OUTSIDE, "flower": _INSIDE + _OUTSIDE[:2],
    "thing": _INSIDE, "read": _INSIDE, "machine": _INSIDE,
}  # fmt: skip

GIVE = Verb(Stem("주"), "give", ("thing", "flower", "read", "baked", "picture"))
# verbs of states: no progressive, no adverbial of time
STATIVE = frozenset({"like", "dislike", "love", "remember", "live"})
# verbs whose bare object is meant in general: 사과를 좋아한다, "likes apples"
GENERIC = frozenset({"like", "dislike", "love"})
# verbs of what happens to people, which nobody asks for
UNASKED = frozenset({"lose", "receive"})
# what an animal may be said to do
ANIMALS_DO = frozenset({"eat", "drink", "like", "dislike", "look for", "wait for", "catch", "rest", "sleep", "swim",
                        "walk", "run", "play", "cry", "live"})  # fmt: skip
# verbs that happen at once, which nobody is seen doing
MOMENTARY = frozenset({"lose", "receive", "choose", "invite", "catch"})

OWNERS = {
    "나": ("내", "my"),
    "저": ("제", "my"),
    "우리": ("우리", "our"),
    "그": ("그의", "his"),
    "그녀": ("그녀의", "her"),
    "당신": ("당신의", "your"),
}

GROUP: dict[Noun, str] = {noun: group for group, nouns in reversed(NOUNS.items()) for noun in nouns}
FITTING: dict[Noun, tuple[Adjective, ...]] = {
    noun: tuple(one for one in ADJECTIVES if any(noun in NOUNS[group] for group in one.classes)) for noun in GROUP
}
