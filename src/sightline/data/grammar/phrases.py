"""Phrases in both languages at once: noun phrases, relative clauses, and the choices that make them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sightline.data.grammar import english, korean
from sightline.data.grammar.korean import Level, Stem, Tense
from sightline.data.grammar.lexicon import (
    ANIMALS_DO,
    FITTING,
    GENERIC,
    GROUP,
    MOMENTARY,
    NOUNS,
    NUMBERS,
    OWNERS,
    PEOPLE,
    PLACES,
    STATIVE,
    TRANSITIVE,
    UNITS,
    YOU,
    Noun,
    Person,
    Verb,
)  # fmt: skip


@dataclass(frozen=True)
class Word:
    """A word and the concepts it expresses; words of the two languages that share one are aligned."""

    text: str
    concepts: frozenset[int]


Words = list[Word]
Built = tuple[Words, Words, str]  # Korean, English, final punctuation


@dataclass(frozen=True)
class Phrase:
    """The same thing said in both languages, the Korean without its particle; either may leave it out."""

    korean: Words
    english: Words
    form: int = 3  # of the English verb that agrees with it

    def with_particle(self, attach: Callable[[str], str]) -> Words:
        if not self.korean:
            return []
        last = self.korean[-1]
        return [*self.korean[:-1], Word(attach(last.text), last.concepts)]


@dataclass
class Draft:
    """One sentence in the making: its random choices, its concepts, and which words it combines."""

    draw: random.Random
    level: Level
    concepts: int = 0
    combinations: list[tuple[str, str]] = field(default_factory=list)
    depth: int = 0  # of relative clauses inside each other
    inside: int = 0  # how many are open at this point
    clause_in_past: bool = False  # what somebody was they were by what they had done

    def concept(self) -> frozenset[int]:
        self.concepts += 1
        return frozenset((self.concepts,))

    def chance(self, share: float) -> bool:
        return self.draw.random() < share


def said(phrase: Phrase) -> str:
    """Its English."""
    return " ".join(word.text for word in phrase.english)


def words(text: str, concepts: frozenset[int]) -> Words:
    return [Word(one, concepts) for one in text.split()]


def fixed(draft: Draft, pair: tuple[str, str]) -> Phrase:
    """An adverbial, which means one thing as a whole."""
    concept = draft.concept()
    return Phrase(words(pair[0], concept), words(pair[1], concept))


def place_of(draft: Draft, verb: Verb, share: float) -> Phrase:
    """Where something is done, of so many of the verbs that have a place; nothing for the others."""
    if not verb.places or not draft.chance(share):
        return Phrase([], [])
    place = fixed(draft, draft.draw.choice(PLACES[draft.draw.choice(verb.places)]))
    draft.combinations.append((verb.english, place.english[-1].text))
    return place


def be(tense: Tense, form: int) -> str:
    if tense == "past":
        return "were" if form in (2, 4) else "was"
    return {1: "am", 2: "are", 3: "is", 4: "are"}[form]


def verb_words(verb: str, tense: Tense, form: int, negative: bool) -> list[str]:
    """reads, did not read, will read, is reading."""
    no = ["not"] if negative else []
    if tense == "future":
        return ["will", *no, verb]
    if tense == "progressive":
        return [be("present", form), *no, english.progressive(verb)]
    if negative:
        auxiliary = "did" if tense == "past" else ("does" if form == 3 else "do")
        return [auxiliary, "not", verb]
    if tense == "past":
        return [english.past(verb)]
    return [english.third_person(verb) if form == 3 else verb]


Mood = Literal["wish", "ability", "duty"]  # -고 싶다, -(으)ㄹ 수 있다, -어야 하다


def predicate(draft: Draft, verb: Verb, tense: Tense, form: int, acting: frozenset[int], *, negative: bool = False,
              asks: bool = False, mood: Mood | None = None) -> tuple[Words, Words]:  # fmt: skip
    """What somebody does, in Korean and in English; of a question, the first English word is the auxiliary.

    With a mood there are two concepts: what is done, and that it is wanted, can or must be done.
    """
    stem = verb.stem
    # the auxiliaries of a question are those of a negation
    not_ = negative or asks
    meant = draft.concept() if mood else acting
    if mood == "wish":
        wish = Stem("싶", adjective=True)
        main = f"{stem.text}고"
        ending = wish.negated(tense, draft.level) if negative else wish.finite(tense, draft.level)
        said = verb_words("want to", tense, form, not_)
    elif mood == "ability":
        there = Stem("없" if negative else "있", adjective=True)
        main, ending = stem.adnominal("future"), f"수 {there.finite(tense, draft.level)}"
        said = ["could" if tense == "past" else "can", *(["not"] if negative else [])]
    elif mood == "duty":
        main, ending = f"{stem.infinitive()}야", Stem("하").finite("present", draft.level)
        said = ["must"]
    else:
        finite = stem.negated(tense, draft.level) if negative else stem.finite(tense, draft.level)
        short = negative and draft.chance(0.4) and not stem.text.endswith("하") and tense != "progressive"
        main, ending = ("안", stem.finite(tense, draft.level)) if short else ("", finite)
        said = verb_words(verb.english, tense, form, not_)
    if asks:
        ending, said = korean.question(ending, draft.level), [word for word in said if word != "not"]
    spoken = words(" ".join(said).replace("can not", "cannot"), meant)
    return [*words(main, acting), *words(ending, meant)], [*spoken, *(words(verb.english, acting) if mood else [])]


def person(draft: Draft, who: Person) -> Phrase:
    concept = draft.concept()
    return Phrase([Word(who.korean, concept)], words(who.english, concept), who.form)


def noun_phrase(draft: Draft, noun: Noun, *, kinds: str, generic: bool = False, plural: bool = False, depth: int = 0,
                owner: str | None = None) -> Phrase:  # fmt: skip
    """A noun with what comes before it; `kinds` says what may: bare, the, this, own, number, adjective, relative."""
    concept = draft.concept()
    many = (generic or plural) and bool(noun.counter)
    name = english.plural(noun.english) if many else noun.english
    form = 4 if many else 3
    group = GROUP[noun]
    # nobody owns a teacher, and a field of study is never pointed at
    unfit = {"job": ("own",), "field": ("the", "this", "own", "number", "relative")}.get(group, ())
    kind = draft.draw.choice([one for one in kinds.split() if one not in unfit] or ["bare"])
    fitting = FITTING[noun]
    if kind == "number" and (noun.counter or noun.unit):
        number, said = draft.draw.choice(NUMBERS)
        counted = draft.concept()
        if noun.unit:
            measuring = draft.concept()
            units = noun.unit if said == "one" else english.plural(noun.unit)
            return Phrase(
                [Word(noun.korean, concept), Word(number, counted), Word(UNITS[noun.unit], measuring)],
                [Word(said, counted), *words(f"{units} of", measuring), Word(name, concept)],
                3 if said == "one" else 4,
            )
        name = noun.english if said == "one" else english.plural(noun.english)
        counters = [Word(noun.korean, concept), Word(number, counted), Word(noun.counter, concept)]
        return Phrase(counters, [Word(said, counted), *words(name, concept)], 3 if said == "one" else 4)
    if kind in ("the", "this"):
        pointing = draft.concept()
        said = {"the": ("그", "the"), "this": ("이", "this")}[kind]
        return Phrase(
            [Word(said[0], pointing), Word(noun.korean, concept)],
            [Word(said[1], pointing), *words(noun.english, concept)],
        )
    if kind == "own":
        return owned(draft, Phrase([Word(noun.korean, concept)], words(noun.english, concept)), owner)
    if kind == "adjective" and fitting:
        adjective, describing = draft.draw.choice(fitting), draft.concept()
        draft.combinations.append((adjective.english, noun.english))
        article = [Word(english.article(adjective.english), concept)] if noun.counter and not many else []
        return Phrase(
            [Word(adjective.stem.adnominal("present"), describing), Word(noun.korean, concept)],
            [*article, *words(adjective.english, describing), *words(name, concept)],
            form,
        )
    if kind == "relative" and depth:
        return relative(draft, noun, concept, name, many, depth)
    article = [Word(english.article(name), concept)] if noun.counter and not many else []
    return Phrase([Word(noun.korean, concept)], [*article, *words(name, concept)], form)


def owned(draft: Draft, what: Phrase, owner: str | None = None) -> Phrase:
    """Somebody's: that of the `owner`, if a pronoun, or of anybody."""
    unfit = ("저", "당신") if draft.level == "plain" else ("나",)
    choices = [owner] if owner in OWNERS else [name for name in OWNERS if name not in unfit]
    own, said = OWNERS[draft.draw.choice(choices)]
    owning = draft.concept()
    return Phrase([Word(own, owning), *what.korean], [Word(said, owning), *what.english])


def relative(draft: Draft, noun: Noun, concept: frozenset[int], name: str, many: bool, depth: int) -> Phrase:
    """A noun with a relative clause: of which it is the subject, where it is a person, or the object."""
    draft.inside += 1
    draft.depth = max(draft.depth, draft.inside)
    group = GROUP[noun]
    acting = draft.concept()
    if group in ("job", "person"):
        verb = draft.draw.choice(TRANSITIVE)
        tense = clause_tense(draft, verb)
        object_ = object_of(draft, verb, depth=depth - 1, kinds="bare bare number adjective relative" if depth > 1 else
                            "bare bare number adjective the")  # fmt: skip
        said = [
            Word("who", acting),
            *(Word(one, acting) for one in " ".join(verb_words(verb.english, tense, 4 if many else 3, False)).split()),
        ]
        before = [*object_.with_particle(korean.object_), *words(verb.stem.adnominal(tense), acting)]
        after = [*said, *object_.english]
    else:
        verb = draft.draw.choice([one for one in TRANSITIVE if group in one.objects])
        draft.combinations.append((verb.english, noun.english))
        tense = draft.draw.choice(("past", "past", "present", "future"))
        who = person(draft, draft.draw.choice(speakers(draft.level)))
        if depth > 1:
            who = noun_phrase(draft, draft.draw.choice(NOUNS["job"]), kinds="relative", depth=depth - 1)
            who = definite(who)
        said = [
            Word("that", acting),
            *who.english,
            *(Word(one, acting) for one in " ".join(verb_words(verb.english, tense, who.form, False)).split()),
        ]
        before = [*who.with_particle(korean.subject), *words(verb.stem.adnominal(tense), acting)]
        after = said
    draft.inside -= 1
    # what a clause says of something makes it known, except of what somebody is
    article = [] if many else [Word("the", concept)]
    return Phrase([*before, Word(noun.korean, concept)], [*article, *words(name, concept), *after], 4 if many else 3)


def definite(phrase: Phrase) -> Phrase:
    """The same with "the" for "a" or "an"."""
    first = phrase.english[0]
    if first.text not in ("a", "an"):
        return phrase
    return Phrase(phrase.korean, [Word("the", first.concepts), *phrase.english[1:]], phrase.form)


def indefinite(phrase: Phrase) -> Phrase:
    """The same with "a" or "an" for "the", as after "is"."""
    first = phrase.english[0]
    if first.text != "the":
        return phrase
    return Phrase(
        phrase.korean, [Word(english.article(phrase.english[1].text), first.concepts), *phrase.english[1:]], phrase.form
    )


def object_of(draft: Draft, verb: Verb, *, depth: int, kinds: str, owner: str | None = None,
              subject: str = "") -> Phrase:  # fmt: skip
    """What, or whom but the `subject` (in English), somebody does something to."""
    if {"person", "job"} & set(verb.objects) and draft.chance(0.4):
        return somebody(draft, subject)
    noun = draft.draw.choice(NOUNS[draft.draw.choice(verb.objects)])
    draft.combinations.append((verb.english, noun.english))
    generic = verb.english in GENERIC
    allowed = " ".join(kind for kind in kinds.split() if not (generic and kind in ("number", "the", "this", "own")))
    return noun_phrase(draft, noun, kinds=allowed, generic=generic, depth=depth, owner=owner)


def speakers(level: Level) -> list[Person]:
    """Who may be spoken of: 저 belongs to the polite levels, 나 to the others."""
    unfit = {"plain": "저", "polite": "나", "formal": ""}[level]
    return [one for one in PEOPLE if one.korean != unfit]


def somebody(draft: Draft, subject: str) -> Phrase:
    """A person or "you", but not the `subject` (in English), as an object."""
    speaker = ("I", "we")
    unfit = speaker if subject in speaker else (subject,)
    who = draft.draw.choice([one for one in (*speakers(draft.level), YOU[draft.level]) if one.english not in unfit])
    concept = draft.concept()
    return Phrase([Word(who.korean, concept)], words(who.object or who.english, concept), who.form)


def subject_phrase(draft: Draft, verb: Verb, depth: int, *, known: bool) -> tuple[Phrase, str | None]:
    """(who does it, the pronoun that owns what is theirs).

    Whoever is `known`, the topic of the sentence, is "the student"; who is not, "a student".
    """
    if draft.chance(0.6):
        who = draft.draw.choice(speakers(draft.level))
        return person(draft, who), who.korean
    animal = verb.english in ANIMALS_DO and draft.chance(0.5)
    noun = draft.draw.choice(NOUNS["animal" if animal else draft.draw.choice(("job", "job", "person"))])
    kinds = "bare bare the the own adjective" + (" relative relative relative" if depth else "")
    phrase = noun_phrase(draft, noun, kinds=kinds, depth=depth)
    return definite(phrase) if known else phrase, None


def clause_tense(draft: Draft, verb: Verb) -> Tense:
    if draft.clause_in_past:
        return "past"
    tenses: tuple[Tense, ...] = ("present", "present", "past", "future", "progressive")
    tense = draft.draw.choice(tenses)
    fixed_in_time = verb.english in STATIVE or verb.english in MOMENTARY
    return "present" if tense == "progressive" and fixed_in_time else tense
