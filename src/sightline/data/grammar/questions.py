"""Questions with a question word: what, who, when, why, where."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.data.grammar import korean
from sightline.data.grammar.korean import Tense
from sightline.data.grammar.lexicon import (
    ADVERBS_ASKED,
    INTRANSITIVE,
    MOTION,
    NAME,
    NOUNS,
    PEOPLE,
    POINTED,
    STATIVE,
    TRANSITIVE,
    Verb,
)  # fmt: skip
from sightline.data.grammar.phrases import (
    Built,
    Draft,
    Phrase,
    Word,
    Words,
    be,
    clause_tense,
    definite,
    fixed,
    noun_phrase,
    object_of,
    owned,
    person,
    place_of,
    predicate,
    said,
    verb_words,
    words,
)  # fmt: skip


def what(draft: Draft, depth: int) -> Built:
    """What somebody does: 시장에서 무엇을 샀습니까?"""
    _politely(draft)
    verb = draft.draw.choice([one for one in TRANSITIVE if not {"person", "job"} & set(one.objects)])
    tense = clause_tense(draft, verb)
    acting, asked = draft.concept(), draft.concept()
    who = _asked_of(draft, acting)
    where = place_of(draft, verb, 0.6)
    finite, spoken = predicate(draft, verb, tense, who.form, acting, asks=True)
    return (
        [*who.with_particle(korean.topic), *where.korean, Word("무엇을", asked), *finite],
        [Word("what", asked), spoken[0], *who.english, *spoken[1:], *where.english],
        "?",
    )


def who(draft: Draft, depth: int) -> Built:
    """Who does something: 누가 교실에서 책을 읽었습니까?"""
    _politely(draft)
    verb = draft.draw.choice((*TRANSITIVE, *MOTION))
    tense = clause_tense(draft, verb)
    acting, asked = draft.concept(), draft.concept()
    place = place_of(draft, verb, 0.4 if verb.objects else 1)
    objects, said_object = _object(draft, verb)
    finite = words(korean.question(verb.stem.finite(tense, draft.level), draft.level), acting)
    spoken = words(" ".join(verb_words(verb.english, tense, 3, False)), acting)
    return (
        [Word("누가", asked), *place.korean, *objects, *finite],
        [Word("who", asked), *spoken, *said_object, *place.english],
        "?",
    )


def adverb(draft: Draft, depth: int) -> Built:
    """When, why or where somebody does something: 언제 책을 읽었습니까?"""
    _politely(draft)
    verb = draft.draw.choice(
        (draft.draw.choice(TRANSITIVE), draft.draw.choice(INTRANSITIVE), draft.draw.choice(MOTION))
    )
    tenses: Sequence[Tense] = ("present", "past") if verb.english in STATIVE else ("present", "past", "future")
    acting, asked = draft.concept(), draft.concept()
    korean_word, word = draft.draw.choice(ADVERBS_ASKED[: 3 if verb.places else 2])
    if verb in MOTION and word == "where":
        korean_word = "어디에"
    who = _asked_of(draft, acting)
    place = place_of(draft, verb, 0.8) if verb in MOTION and word != "where" else Phrase([], [])
    objects, said_object = _object(draft, verb, said(who))
    finite, spoken = predicate(draft, verb, draft.draw.choice(tenses), who.form, acting, asks=True)
    return (
        [*who.with_particle(korean.topic), Word(korean_word, asked), *place.korean, *objects, *finite],
        [Word(word, asked), spoken[0], *who.english, *spoken[1:], *said_object, *place.english],
        "?",
    )


def who_is(draft: Draft, depth: int) -> Built:
    """Who somebody is, or what something: 그 의사는 누구입니까?"""
    _politely(draft)
    asked = draft.concept()
    kind = draft.draw.choice(("pointed", "name", "thing", "named", "known", "known"))
    if kind == "pointed":
        subject = fixed(draft, draft.draw.choice(POINTED))
    elif kind == "name":
        subject = owned(draft, fixed(draft, NAME))
    elif kind == "thing":
        group = draft.draw.choice(("thing", "read", "picture"))
        subject = noun_phrase(draft, draft.draw.choice(NOUNS[group]), kinds="the this own")
    elif kind == "named":
        subject = person(draft, draft.draw.choice([one for one in PEOPLE if one.form == 3]))
    else:
        group = draft.draw.choice(("person", "job"))
        subject = definite(noun_phrase(draft, draft.draw.choice(NOUNS[group]), kinds="bare the this own"))
    topic = subject.with_particle(korean.topic)
    if kind == "name" and draft.chance(0.3):
        # the name of who is asked, whom Korean leaves out
        named = draft.concept()
        topic = [Word("이름이", named)]
        subject = Phrase(topic, words("your name", named))
    asks, word = ("누구", "who") if kind in ("named", "known") else ("무엇", "what")
    form = korean.question(korean.copula(asks, False, draft.level), draft.level)
    return (
        [*topic, Word("뭐예요" if form == "무엇이에요" else form, asked)],
        [Word(word, asked), Word(be("present", subject.form), asked), *subject.english],
        "?",
    )


def _politely(draft: Draft) -> None:
    """Questions are not asked in the plain level, which is that of books."""
    draft.level = draft.draw.choice(("formal", "polite"))


def _asked_of(draft: Draft, acting: frozenset[int]) -> Phrase:
    """Who is asked about: who is asked, whom Korean leaves out, or another."""
    if draft.chance(0.5):
        return Phrase([], [Word("you", acting)], 2)
    return person(draft, draft.draw.choice([one for one in PEOPLE if one.form == 3]))


def _object(draft: Draft, verb: Verb, subject: str = "") -> tuple[Words, Words]:
    if not verb.objects:
        return [], []
    thing = object_of(draft, verb, depth=0, kinds="bare bare the this number", subject=subject)
    return thing.with_particle(korean.object_), thing.english
