"""Korean and English forms of the embedded corpus against a table checked by hand."""

from __future__ import annotations

import pytest

from sightline.data.grammar import english, korean
from sightline.data.grammar.korean import Stem

# stem, kind: plain, formal, polite present; polite past; formal future; before a noun: present, past, future;
# plain negation
VERBS = """
가 regular: 간다 갑니다 가요 갔어요 갈_것입니다 가는 간 갈 가지_않는다
오 regular: 온다 옵니다 와요 왔어요 올_것입니다 오는 온 올 오지_않는다
먹 regular: 먹는다 먹습니다 먹어요 먹었어요 먹을_것입니다 먹는 먹은 먹을 먹지_않는다
읽 regular: 읽는다 읽습니다 읽어요 읽었어요 읽을_것입니다 읽는 읽은 읽을 읽지_않는다
마시 regular: 마신다 마십니다 마셔요 마셨어요 마실_것입니다 마시는 마신 마실 마시지_않는다
배우 regular: 배운다 배웁니다 배워요 배웠어요 배울_것입니다 배우는 배운 배울 배우지_않는다
공부하 regular: 공부한다 공부합니다 공부해요 공부했어요 공부할_것입니다 공부하는 공부한 공부할 공부하지_않는다
보내 regular: 보낸다 보냅니다 보내요 보냈어요 보낼_것입니다 보내는 보낸 보낼 보내지_않는다
쓰 regular: 쓴다 씁니다 써요 썼어요 쓸_것입니다 쓰는 쓴 쓸 쓰지_않는다
만들 regular: 만든다 만듭니다 만들어요 만들었어요 만들_것입니다 만드는 만든 만들 만들지_않는다
팔 regular: 판다 팝니다 팔아요 팔았어요 팔_것입니다 파는 판 팔 팔지_않는다
열 regular: 연다 엽니다 열어요 열었어요 열_것입니다 여는 연 열 열지_않는다
살 regular: 산다 삽니다 살아요 살았어요 살_것입니다 사는 산 살 살지_않는다
사 regular: 산다 삽니다 사요 샀어요 살_것입니다 사는 산 살 사지_않는다
돕 ㅂ: 돕는다 돕습니다 도와요 도왔어요 도울_것입니다 돕는 도운 도울 돕지_않는다
굽 ㅂ: 굽는다 굽습니다 구워요 구웠어요 구울_것입니다 굽는 구운 구울 굽지_않는다
입 regular: 입는다 입습니다 입어요 입었어요 입을_것입니다 입는 입은 입을 입지_않는다
듣 ㄷ: 듣는다 듣습니다 들어요 들었어요 들을_것입니다 듣는 들은 들을 듣지_않는다
걷 ㄷ: 걷는다 걷습니다 걸어요 걸었어요 걸을_것입니다 걷는 걸은 걸을 걷지_않는다
받 regular: 받는다 받습니다 받아요 받았어요 받을_것입니다 받는 받은 받을 받지_않는다
짓 ㅅ: 짓는다 짓습니다 지어요 지었어요 지을_것입니다 짓는 지은 지을 짓지_않는다
씻 regular: 씻는다 씻습니다 씻어요 씻었어요 씻을_것입니다 씻는 씻은 씻을 씻지_않는다
부르 르: 부른다 부릅니다 불러요 불렀어요 부를_것입니다 부르는 부른 부를 부르지_않는다
고르 르: 고른다 고릅니다 골라요 골랐어요 고를_것입니다 고르는 고른 고를 고르지_않는다
자르 르: 자른다 자릅니다 잘라요 잘랐어요 자를_것입니다 자르는 자른 자를 자르지_않는다
쉬 regular: 쉰다 쉽니다 쉬어요 쉬었어요 쉴_것입니다 쉬는 쉰 쉴 쉬지_않는다
뛰 regular: 뛴다 뜁니다 뛰어요 뛰었어요 뛸_것입니다 뛰는 뛴 뛸 뛰지_않는다
앉 regular: 앉는다 앉습니다 앉아요 앉았어요 앉을_것입니다 앉는 앉은 앉을 앉지_않는다
기다리 regular: 기다린다 기다립니다 기다려요 기다렸어요 기다릴_것입니다 기다리는 기다린 기다릴 기다리지_않는다
"""
ADJECTIVES = """
크 regular: 크다 큽니다 커요 컸어요 큰 크지_않다
작 regular: 작다 작습니다 작아요 작았어요 작은 작지_않다
길 regular: 길다 깁니다 길어요 길었어요 긴 길지_않다
예쁘 regular: 예쁘다 예쁩니다 예뻐요 예뻤어요 예쁜 예쁘지_않다
바쁘 regular: 바쁘다 바쁩니다 바빠요 바빴어요 바쁜 바쁘지_않다
재미있 regular: 재미있다 재미있습니다 재미있어요 재미있었어요 재미있는 재미있지_않다
맛없 regular: 맛없다 맛없습니다 맛없어요 맛없었어요 맛없는 맛없지_않다
어렵 ㅂ: 어렵다 어렵습니다 어려워요 어려웠어요 어려운 어렵지_않다
아름답 ㅂ: 아름답다 아름답습니다 아름다워요 아름다웠어요 아름다운 아름답지_않다
빠르 르: 빠르다 빠릅니다 빨라요 빨랐어요 빠른 빠르지_않다
친절하 regular: 친절하다 친절합니다 친절해요 친절했어요 친절한 친절하지_않다
비싸 regular: 비싸다 비쌉니다 비싸요 비쌌어요 비싼 비싸지_않다
젊 regular: 젊다 젊습니다 젊어요 젊었어요 젊은 젊지_않다
"""


def rows(table: str) -> list[tuple[str, str, list[str]]]:
    found = []
    for line in table.strip().splitlines():
        head, forms = line.split(": ")
        stem, kind = head.split()
        found.append((stem, kind, [form.replace("_", " ") for form in forms.split()]))
    return found


@pytest.mark.parametrize(("text", "kind", "forms"), rows(VERBS))
def test_verbs(text: str, kind: str, forms: list[str]) -> None:
    stem = Stem(text, kind)
    assert [
        *(stem.finite("present", level) for level in ("plain", "formal", "polite")),
        stem.finite("past", "polite"),
        stem.finite("future", "formal"),
        *(stem.adnominal(tense) for tense in ("present", "past", "future")),
        stem.negated("present", "plain"),
    ] == forms


@pytest.mark.parametrize(("text", "kind", "forms"), rows(ADJECTIVES))
def test_adjectives(text: str, kind: str, forms: list[str]) -> None:
    stem = Stem(text, kind, adjective=True)
    assert [
        *(stem.finite("present", level) for level in ("plain", "formal", "polite")),
        stem.finite("past", "polite"),
        stem.adnominal("present"),
        stem.negated("present", "plain"),
    ] == forms


@pytest.mark.parametrize(
    ("function", "forms"),
    [
        (korean.topic, "나는 학생은 의사는 물은 서울은"),
        (korean.subject, "내가 제가 학생이 의사가 책이 고양이가"),
        (korean.object_, "책을 사과를 물을 커피를 연필을"),
        (korean.and_, "책과 사과와 물과 커피와"),
        (korean.by, "버스로 지하철로 손으로 연필로 비행기로 트럭으로"),
    ],
)
def test_particles(function, forms: str) -> None:
    words = {"내가": "나", "제가": "저"}
    endings = {korean.topic: 1, korean.subject: 1, korean.object_: 1, korean.and_: 1}
    for form in forms.split():
        cut = endings.get(function) or (2 if form.endswith("으로") else 1)
        assert function(words.get(form, form[:-cut])) == form


def test_copula_questions_and_other_endings() -> None:
    assert [korean.copula("학생", False, level) for level in ("plain", "formal", "polite")] == [
        "학생이다", "학생입니다", "학생이에요"]  # fmt: skip
    assert [korean.copula("의사", False, level) for level in ("plain", "formal", "polite")] == [
        "의사다", "의사입니다", "의사예요"]  # fmt: skip
    assert [korean.copula("학생", True, level) for level in ("plain", "formal", "polite")] == [
        "학생이었다", "학생이었습니다", "학생이었어요"]  # fmt: skip
    assert [korean.copula("의사", True, level) for level in ("plain", "formal", "polite")] == [
        "의사였다", "의사였습니다", "의사였어요"]  # fmt: skip
    assert [korean.not_copula(past, "formal") for past in (False, True)] == ["아닙니다", "아니었습니다"]
    assert [korean.not_copula(past, "polite") for past in (False, True)] == ["아니에요", "아니었어요"]
    assert [korean.not_copula(past, "plain") for past in (False, True)] == ["아니다", "아니었다"]
    read = Stem("읽")
    assert korean.question(read.finite("past", "formal"), "formal") == "읽었습니까"
    assert korean.question(read.finite("future", "formal"), "formal") == "읽을 것입니까"
    assert korean.question(read.finite("present", "polite"), "polite") == "읽어요"
    assert [read.request(level) for level in ("plain", "formal", "polite")] == ["읽어라", "읽으십시오", "읽으세요"]
    others = (Stem("가"), Stem("돕", "ㅂ"), Stem("듣", "ㄷ"), Stem("만들"), Stem("자르", "르"))
    assert [stem.request("polite") for stem in others] == ["가세요", "도우세요", "들으세요", "만드세요", "자르세요"]
    assert [read.request(level, negative=True) for level in ("plain", "formal", "polite")] == [
        "읽지 마라", "읽지 마십시오", "읽지 마세요"]  # fmt: skip
    assert read.finite("progressive", "plain") == "읽고 있다"
    assert read.finite("progressive", "formal") == "읽고 있습니다"
    assert read.finite("future", "polite") == "읽을 거예요"
    assert read.adnominal("progressive") == "읽고 있는"
    assert read.negated("past", "formal") == "읽지 않았습니다"
    assert read.negated("future", "polite") == "읽지 않을 거예요"
    assert read.negated("progressive", "formal") == "읽고 있지 않습니다"
    assert Stem("크", adjective=True).negated("past", "polite") == "크지 않았어요"


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [("apple", "an"), ("book", "a"), ("university", "a"), ("hour", "an"), ("honest man", "an"), ("umbrella", "an"),
     ("used car", "a"), ("one-way street", "a"), ("old house", "an"), ("European", "a"),
     ("email", "an"), ("idea", "an")],
)  # fmt: skip
def test_articles(phrase: str, expected: str) -> None:
    assert english.article(phrase) == expected


FORMS = {
    english.plural: "book books, child children, woman women, man men, diary diaries, box boxes, watch watches,"
    " key keys, potato potatoes, tomato tomatoes, photo photos, knife knives, bus buses, dish dishes, city cities,"
    " toy toys",
    english.third_person: "read reads, study studies, watch watches, go goes, have has, buy buys, wash washes,"
    " fix fixes, teach teaches, play plays, cry cries, run runs, use uses, catch catches",
    english.past: "read read, write wrote, buy bought, study studied, use used, play played, stop stopped, make made,"
    " teach taught, catch caught, swim swam, clean cleaned, love loved, cry cried, send sent, build built, sing sang,"
    " wait waited, cut cut, wear wore, choose chose, lose lost, take took, give gave, invite invited, draw drew",
    english.progressive: "read reading, write writing, swim swimming, run running, study studying, use using,"
    " cut cutting, see seeing, make making, build building, dance dancing",
}


@pytest.mark.parametrize(("function", "table"), FORMS.items())
def test_english_forms(function, table: str) -> None:
    for entry in table.split(", "):
        base, form = entry.split()
        assert function(base) == form


def test_phrasal_verbs_inflect_their_first_word() -> None:
    assert english.past("look for") == "looked for"
    assert english.third_person("listen to") == "listens to"
    assert english.progressive("wait for") == "waiting for"
