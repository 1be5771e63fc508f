"""What people say to each other: greetings, the weather, requests."""

from __future__ import annotations

from sightline.data.grammar import being, korean
from sightline.data.grammar.korean import Tense
from sightline.data.grammar.lexicon import (
    FALLING,
    GIVE,
    GREETED,
    GREETINGS,
    NAMED,
    NOUNS,
    PLACES,
    STATIVE,
    TIMES,
    TRANSITIVE,
    UNASKED,
    WEATHER,
)  # fmt: skip
from sightline.data.grammar.phrases import (
    Built,
    Draft,
    Phrase,
    Word,
    Words,
    be,
    fixed,
    noun_phrase,
    object_of,
    place_of,
    predicate,
    words,
)  # fmt: skip


def greeting(draft: Draft, depth: int) -> Built:
    """안녕하세요, 민수 씨. Or: 선생님, 감사합니다. Or: 안녕하세요, 저는 학생입니다."""
    greeted = fixed(draft, draft.draw.choice(GREETINGS))
    if draft.chance(0.1):
        return greeted.korean, greeted.english, "."
    if draft.chance(0.3):
        greeted = fixed(draft, GREETINGS[0])
        draft.level = draft.draw.choice(("formal", "polite"))
        korean_words, english, end = being.identity(draft, 0)
        return [*_paused(greeted.korean), *korean_words], [*_paused(greeted.english), *english], end
    names = [(f"{one.korean} 씨", one.english) for one in NAMED]
    who = fixed(draft, draft.draw.choice([*names, *GREETED]))
    first, then = (greeted.korean, who.korean) if draft.chance(0.5) else (who.korean, greeted.korean)
    return [*_paused(first), *then], [*_paused(greeted.english), *who.english], "."


def _paused(said: Words) -> Words:
    return [*said[:-1], Word(said[-1].text + ",", said[-1].concepts)]


def weather(draft: Draft, depth: int) -> Built:
    """오늘 날씨가 좋습니다. Or: 어제 서울에 비가 왔습니다."""
    asks, negative = draft.chance(0.2) and draft.level != "plain", draft.chance(0.15)
    tell = _falling if draft.chance(0.5) else _good_or_bad
    return tell(draft, asks, negative and not asks)


def _good_or_bad(draft: Draft, asks: bool, negative: bool) -> Built:
    tense: Tense = draft.draw.choice(("present", "present", "past"))
    times = (("오늘", "today"), ("요즘", "these days")) if tense == "present" else TIMES["past"]
    time = fixed(draft, draft.draw.choice(times)) if draft.chance(0.7) else Phrase([], [])
    adjective, what = draft.draw.choice(WEATHER), fixed(draft, ("날씨가", "the weather"))
    form, described = being.described_as(draft, adjective.stem, adjective.english, tense, negative)
    is_ = Word(be(tense, 3), form[-1].concepts)
    if asks:
        form[-1] = Word(korean.question(form[-1].text, draft.level), form[-1].concepts)
        return [*time.korean, *what.korean, *form], [is_, *what.english, *described, *time.english], "?"
    return [*time.korean, *what.korean, *form], [*what.english, is_, *described, *time.english], "."


def _falling(draft: Draft, asks: bool, negative: bool) -> Built:
    tense: Tense = draft.draw.choice(("present", "past", "future", "progressive"))
    time = fixed(draft, draft.draw.choice(TIMES[tense])) if draft.chance(0.7) else Phrase([], [])
    where = Phrase([], [])
    if draft.chance(0.4):
        place, there = draft.draw.choice(PLACES["city"])
        where = fixed(draft, (place.removesuffix("서"), there))
    what = draft.draw.choice(list(FALLING))
    acting = draft.concept()
    finite, spoken = predicate(draft, FALLING[what], tense, 3, acting, negative=negative, asks=asks)
    # who or what rains, only English says
    it, after = Word("it", acting), [*where.english, *time.english]
    said = [spoken[0], it, *spoken[1:]] if asks else [it, *spoken]
    korean_words = [*time.korean, *where.korean, Word(korean.subject(what), acting), *finite]
    return korean_words, [*said, *after], "?" if asks else "."


def request(draft: Draft, depth: int) -> Built:
    """책을 읽으세요. Or: 커피 한 잔 주세요."""
    acting = draft.concept()
    please = [] if draft.level == "plain" else [Word("please", acting)]
    if draft.chance(0.4):
        group = draft.draw.choice(("drink", "drink", "meal", "produce", "thing", "read"))
        thing = noun_phrase(draft, draft.draw.choice(NOUNS[group]), kinds="bare number number the this")
        # what is counted is often asked for without its particle
        bare = len(thing.korean) == 3 and draft.chance(0.5)
        asked = thing.korean if bare else thing.with_particle(korean.object_)
        to_me = fixed(draft, ("나에게" if draft.level == "plain" else "저에게", "me"))
        given = to_me if draft.chance(0.3) else Phrase([], [Word("me", acting)])
        form = GIVE.stem.request(draft.level)
        english = [*please, Word("give", acting), *given.english, *thing.english]
        return [*given.korean, *asked, Word(form, acting)], english, "."
    verb = draft.draw.choice([one for one in TRANSITIVE if one.english not in STATIVE | UNASKED])
    thing = object_of(draft, verb, depth=0, kinds="bare bare number the this own", subject="you")
    place = place_of(draft, verb, 0.4)
    negative = draft.chance(0.2)
    form = words(verb.stem.request(draft.level, negative=negative), acting)
    spoken = words(f"do not {verb.english}" if negative else verb.english, acting)
    return (
        [*place.korean, *thing.with_particle(korean.object_), *form],
        [*please, *spoken, *thing.english, *place.english],
        ".",
    )
