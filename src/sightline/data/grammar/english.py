"""English morphology: articles, plurals, and the forms of verbs."""

from __future__ import annotations

# base → (past, past participle); the participle is only listed where it is asked for in no sentence but tests hold it
IRREGULAR = {
    "be": "was", "read": "read", "write": "wrote", "buy": "bought", "eat": "ate", "drink": "drank", "make": "made",
    "teach": "taught", "meet": "met", "find": "found", "wear": "wore", "sing": "sang", "build": "built",
    "send": "sent", "draw": "drew", "sell": "sold", "choose": "chose", "cut": "cut", "go": "went", "come": "came",
    "sleep": "slept", "swim": "swam", "run": "ran", "give": "gave", "have": "had", "see": "saw", "know": "knew",
    "take": "took", "leave": "left", "lose": "lost", "catch": "caught", "keep": "kept",
}  # fmt: skip
_VOWEL_SOUND_EXCEPTIONS = ("hour", "honest", "heir")
_CONSONANT_SOUND_EXCEPTIONS = ("uni", "use", "eu", "one")
_DOUBLING = {"cut", "swim", "run", "stop", "plan", "put", "get", "sit"}
_PLURALS = {"child": "children", "person": "people", "man": "men", "woman": "women", "knife": "knives", "fish": "fish"}


def article(phrase: str) -> str:
    """ "a" or "an", by the sound that the phrase begins with."""
    word = phrase.lower()
    if word.startswith(_VOWEL_SOUND_EXCEPTIONS):
        return "an"
    if word.startswith(_CONSONANT_SOUND_EXCEPTIONS):
        return "a"
    return "an" if word[0] in "aeiou" else "a"


def plural(noun: str) -> str:
    """The plural of a noun, of the last word of a compound."""
    before, space, last = noun.rpartition(" ")
    if last in _PLURALS:
        return before + space + _PLURALS[last]
    if last.endswith("y") and last[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if last.endswith(("s", "x", "z", "ch", "sh")) or last in ("potato", "tomato"):
        return noun + "es"
    return noun + "s"


def third_person(verb: str) -> str:
    """The present with he, she or it; of the first word of a phrasal verb."""
    first, space, rest = verb.partition(" ")
    if first == "have":
        first = "has"
    elif first.endswith("y") and first[-2] not in "aeiou":
        first = first[:-1] + "ies"
    elif first.endswith(("s", "x", "z", "ch", "sh", "o")):
        first += "es"
    else:
        first += "s"
    return first + space + rest


def past(verb: str) -> str:
    """The past tense; of the first word of a phrasal verb."""
    first, space, rest = verb.partition(" ")
    if first in IRREGULAR:
        first = IRREGULAR[first]
    elif first in _DOUBLING:
        first += first[-1] + "ed"
    elif first.endswith("e"):
        first += "d"
    elif first.endswith("y") and first[-2] not in "aeiou":
        first = first[:-1] + "ied"
    else:
        first += "ed"
    return first + space + rest


def progressive(verb: str) -> str:
    """The -ing form; of the first word of a phrasal verb."""
    first, space, rest = verb.partition(" ")
    if first in _DOUBLING:
        first += first[-1] + "ing"
    elif first.endswith("e") and not first.endswith(("ee", "oe", "ye")):
        first = first[:-1] + "ing"
    else:
        first += "ing"
    return first + space + rest
