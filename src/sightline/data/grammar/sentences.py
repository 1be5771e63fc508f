"""The sentences of the embedded corpus: both languages and their word alignment built side by side."""

from __future__ import annotations

import random
from collections.abc import Callable

from sightline.data.grammar import korean
from sightline.data.grammar.korean import Level, Tense
from sightline.data.grammar.lexicon import (
    ADJECTIVES,
    GIVE,
    INTRANSITIVE,
    LOCATIONS,
    MEANS,
    MOTION,
    NOUNS,
    PEOPLE,
    PLACES,
    STATIVE,
    TIMES,
    TRANSITIVE,
    Verb,
)  # fmt: skip
from sightline.data.grammar.phrases import (
    Draft,
    Phrase,
    Word,
    Words,
    be,
    clause_tense,
    definite,
    fixed,
    indefinite,
    noun_phrase,
    object_of,
    person,
    speakers,
    subject_phrase,
    verb_words,
    words,
)  # fmt: skip

Built = tuple[Words, Words, str]  # Korean, English, final punctuation


def action(draft: Draft, depth: int) -> Built:
    """Somebody does something, somewhere, some time: statements and yes-no questions."""
    roll = draft.draw.random()
    verb = draft.draw.choice(TRANSITIVE if roll < 0.72 else INTRANSITIVE if roll < 0.86 else MOTION)
    if roll > 0.94:
        verb = GIVE
    tense = clause_tense(draft, verb)
    asks = draft.chance(0.12)
    dropped = draft.chance(0.5 if asks else 0.1) and draft.level != "plain"
    acting = draft.concept()
    if asks and draft.level == "plain":
        asks = False
    # 이 or 가 instead of 은 or 는, and then no clauses, which would take that subject for their own
    known = dropped or draft.chance(0.75)
    depth = depth if known else 0
    who, owner = (
        (Phrase([], [], 2 if asks else 1), "저") if dropped else subject_phrase(draft, verb, depth, known=known)
    )
    if asks and owner in ("나", "저", "우리"):
        asks = False
    if dropped:
        who = Phrase([], [Word("you" if asks else "I", acting)], who.form)
    budget = depth if draft.depth == 0 or depth > 1 else 0
    objects: Words = []
    said_object: Words = []
    if verb.objects:
        kinds = "bare bare bare number the this own adjective" + (" relative relative" if budget else "")
        thing = object_of(draft, verb, depth=budget, kinds=kinds, owner=owner)
        objects, said_object = thing.with_particle(korean.object_), thing.english
    details: list[Phrase] = []
    if verb is GIVE:
        receiver = person(
            draft,
            draft.draw.choice(
                [one for one in speakers(draft.level) if one.form == 3 and one.korean not in ("그", "그녀")]
            ),
        )
        to = Word("to", receiver.english[0].concepts)
        details.append(Phrase(receiver.with_particle(lambda word: word + "에게"), [to, *receiver.english]))
    elif verb in MOTION:
        if draft.chance(0.4):
            details.append(fixed(draft, draft.draw.choice(MEANS)))
        details.insert(0, fixed(draft, draft.draw.choice(PLACES["towards"])))
        draft.combinations.append((verb.english, details[0].english[-1].text))
    else:
        if draft.chance(0.1) and verb.english not in STATIVE:
            friend = person(
                draft, draft.draw.choice([one for one in PEOPLE if one.english[0].isupper() and one.form == 3])
            )
            with_ = friend.english[0].concepts
            together = [*friend.with_particle(korean.and_), Word("함께", with_)]
            details.append(Phrase(together, [Word("with", with_), *friend.english]))
        if verb.places and draft.chance(0.4 if verb.objects else 0.9):
            details.append(fixed(draft, draft.draw.choice(PLACES[draft.draw.choice(verb.places)])))
            draft.combinations.append((verb.english, details[-1].english[-1].text))
    time = None
    if verb.english not in STATIVE and draft.chance(0.45):
        time = fixed(draft, draft.draw.choice(TIMES[tense]))
    negative = draft.chance(0.2) and not asks
    finite = _finite(draft, verb, tense, negative, asks, acting)
    topic = who.with_particle(korean.topic if known else korean.subject) if who.korean else []
    first, then = (time.korean if time else []), topic
    # before a subject with a clause of its own the adverbial would seem to belong to the clause
    if topic and (draft.chance(0.6) or len(topic) > 2):
        first, then = then, first
    before = [word for detail in details for word in detail.korean]
    korean_words = [*first, *then, *before, *objects, *finite]
    spoken = verb_words(verb.english, tense, who.form, negative)
    after = [word for detail in details for word in detail.english] + (time.english if time else [])
    if asks:
        auxiliary, *rest = verb_words(verb.english, tense, who.form, True)
        rest = [word for word in rest if word != "not"]
        english_words = [Word(auxiliary, acting), *who.english, *words(" ".join(rest), acting), *said_object, *after]
        return korean_words, english_words, "?"
    return korean_words, [*who.english, *words(" ".join(spoken), acting), *said_object, *after], "."


def _finite(draft: Draft, verb: Verb, tense: Tense, negative: bool, asks: bool, acting: frozenset[int]) -> Words:
    if negative and draft.chance(0.4) and not verb.stem.text.endswith("하") and tense != "progressive":
        return [Word("안", acting), *words(verb.stem.finite(tense, draft.level), acting)]
    form = verb.stem.negated(tense, draft.level) if negative else verb.stem.finite(tense, draft.level)
    return words(korean.question(form, draft.level) if asks else form, acting)


def identity(draft: Draft, depth: int) -> Built:
    """Somebody is something: 나는 인공지능을 공부하는 학생입니다."""
    if draft.chance(0.2):
        who = definite(noun_phrase(draft, draft.draw.choice(NOUNS["person"]), kinds="bare the this own"))
    else:
        who = person(draft, draft.draw.choice(speakers(draft.level)))
    past, negative = draft.chance(0.2), draft.chance(0.15)
    draft.clause_in_past = past
    noun = draft.draw.choice(NOUNS["job"])
    kinds = "bare adjective relative relative relative" if depth else "bare adjective"
    what = indefinite(noun_phrase(draft, noun, kinds=kinds, plural=who.form == 4, depth=depth))
    being = draft.concept()
    last = what.korean[-1]
    if negative:
        predicate = [*what.with_particle(korean.subject), Word(korean.not_copula(past, draft.level), being)]
    else:
        predicate = [*what.korean[:-1], Word(korean.copula(last.text, past, draft.level), last.concepts | being)]
    is_ = [Word(be("past" if past else "present", who.form), being), *([Word("not", being)] if negative else [])]
    return [*who.with_particle(korean.topic), *predicate], [*who.english, *is_, *what.english], "."


def quality(draft: Draft, depth: int) -> Built:
    """Something is somehow: 민수가 쓴 책은 재미있습니다."""
    adjective = draft.draw.choice(ADJECTIVES)
    noun = draft.draw.choice(NOUNS[draft.draw.choice(adjective.classes)])
    draft.combinations.append((adjective.english, noun.english))
    kinds = "bare the this own relative relative" if depth else "bare the this own"
    what = definite(noun_phrase(draft, noun, kinds=kinds, depth=depth))
    past, negative = draft.chance(0.25), draft.chance(0.2)
    describing = draft.concept()
    tense: Tense = "past" if past else "present"
    form = adjective.stem.negated(tense, draft.level) if negative else adjective.stem.finite(tense, draft.level)
    is_ = [Word(be(tense, what.form), describing), *([Word("not", describing)] if negative else [])]
    return (
        [*what.with_particle(korean.topic), *words(form, describing)],
        [*what.english, *is_, *words(adjective.english, describing)],
        ".",
    )


def existence(draft: Draft, depth: int) -> Built:
    """There is something somewhere: 방에 고양이 두 마리가 있습니다."""
    group = draft.draw.choice(list(LOCATIONS))
    where = fixed(draft, draft.draw.choice(LOCATIONS[group]))
    noun = draft.draw.choice(NOUNS[group])
    none = draft.chance(0.2)
    what = noun_phrase(draft, noun, kinds="bare" if none else "bare number number adjective")
    past = draft.chance(0.25)
    being = draft.concept()
    stem = korean.Stem("없" if none else "있", adjective=True)
    is_ = be("past" if past else "present", what.form)
    there = [Word("there", being), Word(is_, being)]
    said = [Word("no", being), *what.english[1:]] if none else what.english
    return (
        [
            *where.korean,
            *what.with_particle(korean.subject),
            *words(stem.finite("past" if past else "present", draft.level), being),
        ],
        [*there, *said, *where.english],
        ".",
    )


def what_question(draft: Draft, depth: int) -> Built:
    """What somebody does: 시장에서 무엇을 샀습니까?"""
    draft.level = draft.draw.choice(("formal", "polite"))
    verb = draft.draw.choice([one for one in TRANSITIVE if not {"person", "job"} & set(one.objects)])
    tense = clause_tense(draft, verb)
    acting, asked = draft.concept(), draft.concept()
    if draft.chance(0.5):
        who = Phrase([], [Word("you", acting)], 2)
    else:
        who = person(draft, draft.draw.choice([one for one in PEOPLE if one.form == 3]))
    where = None
    if verb.places and draft.chance(0.6):
        where = fixed(draft, draft.draw.choice(PLACES[draft.draw.choice(verb.places)]))
        draft.combinations.append((verb.english, where.english[-1].text))
    topic = who.with_particle(korean.topic) if who.korean else []
    finite = words(korean.question(verb.stem.finite(tense, draft.level), draft.level), acting)
    auxiliary, *rest = [word for word in verb_words(verb.english, tense, who.form, True) if word != "not"]
    return (
        [*topic, *(where.korean if where else []), Word("무엇을", asked), *finite],
        [
            Word("what", asked),
            Word(auxiliary, acting),
            *who.english,
            *words(" ".join(rest), acting),
            *(where.english if where else []),
        ],
        "?",
    )


def who_question(draft: Draft, depth: int) -> Built:
    """Who does something: 누가 교실에서 책을 읽었습니까?"""
    draft.level = draft.draw.choice(("formal", "polite"))
    verb = draft.draw.choice((*TRANSITIVE, *MOTION))
    tense = clause_tense(draft, verb)
    acting, asked = draft.concept(), draft.concept()
    place = Phrase([], [])
    if verb.places and (not verb.objects or draft.chance(0.4)):
        place = fixed(draft, draft.draw.choice(PLACES[draft.draw.choice(verb.places)]))
        draft.combinations.append((verb.english, place.english[-1].text))
    objects: Words = []
    said_object: Words = []
    if verb.objects:
        thing = object_of(draft, verb, depth=0, kinds="bare bare the this number")
        objects, said_object = thing.with_particle(korean.object_), thing.english
    finite = words(korean.question(verb.stem.finite(tense, draft.level), draft.level), acting)
    spoken = words(" ".join(verb_words(verb.english, tense, 3, False)), acting)
    return (
        [Word("누가", asked), *place.korean, *objects, *finite],
        [Word("who", asked), *spoken, *said_object, *place.english],
        "?",
    )


KINDS: tuple[tuple[Callable[[Draft, int], Built], float], ...] = (
    (action, 0.58), (identity, 0.12), (quality, 0.14), (existence, 0.08), (what_question, 0.05), (who_question, 0.03),
)  # fmt: skip


def build(draw: random.Random, depth: int) -> tuple[Draft, Built]:
    """One sentence with relative clauses nested at most `depth` deep."""
    level: Level = draw.choice(("plain", "formal", "formal", "polite"))
    draft = Draft(draw, level)
    kind = draw.choices([kind for kind, _ in KINDS], [share for _, share in KINDS])[0]
    return draft, kind(draft, depth)
