"""Sentences of what somebody or something is, where it is, and what somebody has."""

from __future__ import annotations

from sightline.data.grammar import korean
from sightline.data.grammar.korean import Stem, Tense
from sightline.data.grammar.lexicon import (
    ADJECTIVES,
    COUNTRIES,
    DEGREES,
    GROUP,
    LOCATIONS,
    NAME,
    NAMED,
    NOUNS,
    POINTED,
    YOU,
    Noun,
)  # fmt: skip
from sightline.data.grammar.phrases import (
    Built,
    Draft,
    Phrase,
    Word,
    Words,
    be,
    definite,
    fixed,
    indefinite,
    noun_phrase,
    owned,
    person,
    speakers,
    verb_words,
    words,
)  # fmt: skip

_HAD = ("thing", "read", "machine", "animal", "clothes")


def identity(draft: Draft, depth: int) -> Built:
    """Somebody is something: 나는 인공지능을 공부하는 학생입니다."""
    being = draft.concept()
    asks = draft.chance(0.1) and draft.level != "plain"
    if asks and draft.chance(0.6):
        who = person(draft, YOU[draft.level])
        if draft.chance(0.3):
            who = Phrase([], [Word("you", being)], who.form)
    elif draft.chance(0.2):
        who = definite(noun_phrase(draft, draft.draw.choice(NOUNS["person"]), kinds="bare the this own"))
    else:
        unfit = (1, 4) if asks else ()
        who = person(draft, draft.draw.choice([one for one in speakers(draft.level) if one.form not in unfit]))
    past, negative = draft.chance(0.2) and not asks, draft.chance(0.15) and not asks
    draft.clause_in_past = past
    named = who.english[0].text in ("I", "you", "he", "she") and draft.chance(0.12)
    if not (asks or past or negative) and draft.chance(0.04):
        who, named = owned(draft, fixed(draft, NAME)), True
    if named:
        what = person(draft, draft.draw.choice(NAMED))
    elif draft.chance(0.08):
        country, people = draft.draw.choice(COUNTRIES)
        what = fixed(draft, (f"{country} 사람", people))
    else:
        kinds = "bare adjective relative relative relative" if depth else "bare adjective"
        noun = draft.draw.choice(NOUNS["job"])
        what = indefinite(noun_phrase(draft, noun, kinds=kinds, plural=who.form == 4, depth=depth))
    return _be(draft, who, what, being, past=past, negative=negative, asks=asks)


def _be(draft: Draft, who: Phrase, what: Phrase, being: frozenset[int], *, past: bool = False, negative: bool = False,
        asks: bool = False) -> Built:  # fmt: skip
    """One thing is, or is not, another; or is it?"""
    last = what.korean[-1]
    if negative:
        predicate = [*what.with_particle(korean.subject), Word(korean.not_copula(past, draft.level), being)]
    else:
        form = korean.copula(last.text, past, draft.level)
        form = korean.question(form, draft.level) if asks else form
        predicate = [*what.korean[:-1], Word(form, last.concepts | being)]
    is_, not_ = Word(be("past" if past else "present", who.form), being), [Word("not", being)] * negative
    topic = who.with_particle(korean.topic)
    if asks:
        return [*topic, *predicate], [is_, *who.english, *what.english], "?"
    return [*topic, *predicate], [*who.english, is_, *not_, *what.english], "."


def pointing(draft: Draft, depth: int) -> Built:
    """What something is that is pointed at: 이것은 제 책입니다."""
    this = fixed(draft, draft.draw.choice(POINTED))
    noun = draft.draw.choice(NOUNS[draft.draw.choice((*_HAD, "flower", "produce", "drink", "meal"))])
    what = noun_phrase(draft, noun, kinds="bare bare adjective own")
    asks = draft.chance(0.25) and draft.level != "plain"
    negative = draft.chance(0.2) and not asks
    return _be(draft, this, what, draft.concept(), negative=negative, asks=asks)


def quality(draft: Draft, depth: int) -> Built:
    """Something is somehow: 민수가 쓴 책은 재미있습니다."""
    adjective = draft.draw.choice(ADJECTIVES)
    noun = draft.draw.choice(NOUNS[draft.draw.choice(adjective.classes)])
    kinds = "bare bare the this own" + (" relative relative relative" if depth else "")
    if GROUP[noun] in ("person", "job") and draft.chance(0.5):
        what = person(draft, draft.draw.choice(speakers(draft.level)))
    else:
        draft.combinations.append((adjective.english, noun.english))
        what = definite(noun_phrase(draft, noun, kinds=kinds, depth=depth))
    past, negative = draft.chance(0.25), draft.chance(0.2)
    tense: Tense = "past" if past else "present"
    form, described = described_as(draft, adjective.stem, adjective.english, tense, negative)
    is_ = Word(be(tense, what.form), form[-1].concepts)
    # of what is at hand, as of the weather, 이 and 가 are said as well
    at_hand = len(what.korean) == 1 and GROUP[noun] not in ("person", "job", "animal") and draft.chance(0.4)
    about = what.with_particle(korean.subject if at_hand else korean.topic)
    return [*about, *form], [*what.english, is_, *described], "."


def described_as(draft: Draft, stem: Stem, adjective: str, tense: Tense, negative: bool) -> tuple[Words, Words]:
    """An adjective as what is said of something, without "is": 아주 재미있습니다, very interesting."""
    describing = draft.concept()
    form = stem.negated(tense, draft.level) if negative else stem.finite(tense, draft.level)
    found = words(form, describing), [*([Word("not", describing)] if negative else []), *words(adjective, describing)]
    if negative or not draft.chance(0.15):
        return found
    degree = fixed(draft, draft.draw.choice(DEGREES))
    return [*degree.korean, *found[0]], [*degree.english, *found[1]]


def existence(draft: Draft, depth: int) -> Built:
    """There is something, somewhere: 방에 고양이 두 마리가 있습니다."""
    group = draft.draw.choice(list(LOCATIONS))
    asks = draft.chance(0.15) and draft.level != "plain"
    where = fixed(draft, draft.draw.choice(LOCATIONS[group]))
    if not asks and draft.chance(0.12):
        where = Phrase([], [])
    none = draft.chance(0.2) and not asks
    what = noun_phrase(draft, draft.draw.choice(NOUNS[group]), kinds="bare" if none else "bare number number adjective")
    past = draft.chance(0.25)
    being = draft.concept()
    is_, there = Word(be("past" if past else "present", what.form), being), Word("there", being)
    said = [Word("no", being), *what.english[1:]] if none else what.english
    korean_words = [*where.korean, *what.with_particle(korean.subject), *_there_is(draft, none, past, asks, being)]
    return korean_words, [*((is_, there) if asks else (there, is_)), *said, *where.english], "?" if asks else "."


def having(draft: Draft, depth: int) -> Built:
    """Somebody has something: 저는 고양이 두 마리가 있습니다."""
    acting = draft.concept()
    asks = draft.chance(0.3) and draft.level != "plain"
    who = person(draft, YOU[draft.level] if asks else draft.draw.choice(speakers(draft.level)))
    if asks and draft.chance(0.7):
        who = Phrase([], [Word("you", acting)], who.form)
    none, past = draft.chance(0.25) and not asks, draft.chance(0.2)
    what = noun_phrase(draft, _had(draft), kinds="bare" if none or asks else "bare bare number adjective")
    said = verb_words("have", "past" if past else "present", who.form, none or asks)
    spoken = words(" ".join(word for word in said if none or word != "not"), acting)
    topic = who.with_particle(korean.topic)
    korean_words = [*topic, *what.with_particle(korean.subject), *_there_is(draft, none, past, asks, acting)]
    if asks:
        return korean_words, [spoken[0], *who.english, *spoken[1:], *what.english], "?"
    return korean_words, [*who.english, *spoken, *what.english], "."


def _had(draft: Draft) -> Noun:
    # of other people, a friend or a child
    people = (*NOUNS["family"], *NOUNS["person"][:2])
    return draft.draw.choice(people if draft.chance(0.35) else NOUNS[draft.draw.choice(_HAD)])


def _there_is(draft: Draft, none: bool, past: bool, asks: bool, concepts: frozenset[int]) -> Words:
    form = Stem("없" if none else "있", adjective=True).finite("past" if past else "present", draft.level)
    return words(korean.question(form, draft.level) if asks else form, concepts)
