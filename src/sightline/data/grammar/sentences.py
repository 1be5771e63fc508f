"""The sentences of the embedded corpus: what people do, and every other kind with how often it comes."""

from __future__ import annotations

import random
from collections.abc import Callable

from sightline.data.grammar import being, everyday, korean, questions
from sightline.data.grammar.korean import Level, Tense
from sightline.data.grammar.lexicon import (
    GIVE,
    INTRANSITIVE,
    MEANS,
    MOMENTARY,
    MOTION,
    NAMED,
    PLACES,
    STATIVE,
    TIMES,
    TRANSITIVE,
    YOU,
    Verb,
)  # fmt: skip
from sightline.data.grammar.phrases import (
    Built,
    Draft,
    Mood,
    Phrase,
    Word,
    Words,
    clause_tense,
    fixed,
    object_of,
    person,
    place_of,
    predicate,
    said,
    somebody,
    subject_phrase,
)  # fmt: skip


def action(draft: Draft, depth: int) -> Built:
    """Somebody does something, somewhere, some time: statements and yes-no questions."""
    roll = draft.draw.random()
    verb = draft.draw.choice(TRANSITIVE if roll < 0.72 else INTRANSITIVE if roll < 0.86 else MOTION)
    if roll > 0.94:
        verb = GIVE
    tense = clause_tense(draft, verb)
    asks = draft.chance(0.12)
    dropped = draft.chance(0.5 if asks else 0.14) and draft.level != "plain"
    acting = draft.concept()
    if asks and draft.level == "plain":
        asks = False
    # 이 or 가 instead of 은 or 는, and then no clauses, which would take that subject for their own
    known = dropped or draft.chance(0.75)
    depth = depth if known else 0
    who, owner = (
        (Phrase([], [], 2 if asks else 1), "당신" if asks else "저")
        if dropped
        else subject_phrase(draft, verb, depth, known=known)
    )
    if asks and owner in ("나", "저", "우리"):
        asks = False
    if dropped:
        who = Phrase([], [Word("you" if asks else "I", acting)], who.form)
        if asks and draft.chance(0.25):
            who = person(draft, YOU[draft.level])
    subject = said(who)
    objects, said_object = _object(draft, verb, depth, owner, subject)
    details = _details(draft, verb, subject)
    time = Phrase([], [])
    if verb.english not in STATIVE and draft.chance(0.45):
        time = fixed(draft, draft.draw.choice(TIMES[tense]))
    negative = draft.chance(0.2) and not asks
    mood = _mood(draft, verb, tense, who.form, asks, negative)
    finite, spoken = predicate(draft, verb, tense, who.form, acting, negative=negative, asks=asks, mood=mood)
    topic = who.with_particle(korean.topic if known else korean.subject)
    first, then = time.korean, topic
    # before a subject with a clause of its own the adverbial would seem to belong to the clause
    if topic and (draft.chance(0.6) or len(topic) > 2):
        first, then = then, first
    korean_words = [*first, *then, *(word for detail in details for word in detail.korean), *objects, *finite]
    after = [*said_object, *(word for detail in details for word in detail.english), *time.english]
    if asks:
        return korean_words, [spoken[0], *who.english, *spoken[1:], *after], "?"
    return korean_words, [*who.english, *spoken, *after], "."


def _object(draft: Draft, verb: Verb, depth: int, owner: str | None, subject: str) -> tuple[Words, Words]:
    if not verb.objects:
        return [], []
    nested = depth if draft.depth == 0 or depth > 1 else 0
    kinds = "bare bare bare number the this own adjective" + (" relative relative" if nested else "")
    thing = object_of(draft, verb, depth=nested, kinds=kinds, owner=owner, subject=subject)
    return thing.with_particle(korean.object_), thing.english


def _details(draft: Draft, verb: Verb, subject: str) -> list[Phrase]:
    """To whom, with whom, where, where to and how."""
    if verb is GIVE:
        receiver = somebody(draft, subject)
        to = Word("to", receiver.english[0].concepts)
        return [Phrase(receiver.with_particle(lambda word: word + "에게"), [to, *receiver.english])]
    details: list[Phrase] = []
    if verb in MOTION:
        if draft.chance(0.4):
            details.append(fixed(draft, draft.draw.choice(MEANS)))
        details.insert(0, fixed(draft, draft.draw.choice(PLACES["towards"])))
        draft.combinations.append((verb.english, details[0].english[-1].text))
        return details
    if draft.chance(0.1) and verb.english not in STATIVE:
        friend = person(draft, draft.draw.choice(NAMED))
        with_ = friend.english[0].concepts
        together = [*friend.with_particle(korean.and_), Word("함께", with_)]
        details.append(Phrase(together, [Word("with", with_), *friend.english]))
    return [*details, place_of(draft, verb, 0.4 if verb.objects else 0.6)]


def _mood(draft: Draft, verb: Verb, tense: Tense, form: int, asks: bool, negative: bool) -> Mood | None:
    """How something is said to be done: mostly plainly."""
    # only who speaks, or is asked, can say what they want
    own = form == (2 if asks else 1)
    if verb.english in STATIVE | MOMENTARY or tense not in ("present", "past") or not draft.chance(0.4 if own else 0.2):
        return None
    fitting: list[Mood] = ["ability"]
    if own:
        fitting += ("wish", "wish")
    if tense == "present" and not asks and not negative:
        fitting.append("duty")
    return draft.draw.choice(fitting)


KINDS: tuple[tuple[Callable[[Draft, int], Built], float], ...] = (
    (action, 0.5), (being.identity, 0.1), (being.quality, 0.12), (being.existence, 0.05), (being.having, 0.04),
    (being.pointing, 0.03), (questions.what, 0.03), (questions.who, 0.03), (questions.adverb, 0.03),
    (questions.who_is, 0.01), (everyday.greeting, 0.02), (everyday.weather, 0.015), (everyday.request, 0.025),
)  # fmt: skip


def build(draw: random.Random, depth: int) -> tuple[Draft, Built]:
    """One sentence with relative clauses nested at most `depth` deep."""
    level: Level = draw.choice(("plain", "formal", "formal", "polite"))
    draft = Draft(draw, level)
    kind = draw.choices([kind for kind, _ in KINDS], [share for _, share in KINDS])[0]
    return draft, kind(draft, depth)
