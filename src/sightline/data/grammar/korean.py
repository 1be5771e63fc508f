"""Korean morphology: particles by the final consonant, verbs and adjectives with their irregular stems, the copula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sightline.data.grammar.hangul import final, vowel, with_final, with_vowel

Level = Literal["plain", "formal", "polite"]  # -다, -습니다, -아요
Tense = Literal["present", "past", "future", "progressive"]
Kind = Literal["regular", "ㅂ", "ㄷ", "ㅅ", "르"]

_CONTRACTIONS = {
    "ㅏ": "ㅏ",
    "ㅓ": "ㅓ",
    "ㅐ": "ㅐ",
    "ㅔ": "ㅔ",
    "ㅕ": "ㅕ",
    "ㅗ": "ㅘ",
    "ㅜ": "ㅝ",
    "ㅣ": "ㅕ",
    "ㅚ": "ㅙ",
}
_BRIGHT = "ㅏㅗ"


def particle(word: str, after_consonant: str, after_vowel: str) -> str:
    """The word with the form of the particle that its final consonant asks for."""
    return word + (after_consonant if final(word) else after_vowel)


def topic(word: str) -> str:
    return particle(word, "은", "는")


def subject(word: str) -> str:
    """With 이/가; 나, 저 and 너 change before 가."""
    return {"나": "내가", "저": "제가", "너": "네가"}.get(word) or particle(word, "이", "가")


def object_(word: str) -> str:
    return particle(word, "을", "를")


def and_(word: str) -> str:
    return particle(word, "과", "와")


def by(word: str) -> str:
    """With (으)로, which after ㄹ is 로."""
    return word + ("으로" if final(word) not in ("", "ㄹ") else "로")


@dataclass(frozen=True)
class Stem:
    """A verb or adjective without 다. `kind` says how the stem changes before a vowel."""

    text: str
    kind: Kind = "regular"
    adjective: bool = False

    def infinitive(self) -> str:
        """The stem with 아 or 어, contracted: 가, 먹어, 해, 도와, 들어, 불러."""
        text = self.text
        if text.endswith("하"):
            return text[:-1] + "해"
        if self.kind == "르":
            before = with_final(text[:-1], "ㄹ")
            return before + ("라" if vowel(before) in _BRIGHT else "러")
        if self.kind == "ㅂ":
            return with_final(text, "") + ("와" if text in ("돕", "곱") else "워")
        if self.kind == "ㄷ":
            text = with_final(text, "ㄹ")
        if self.kind == "ㅅ":
            open_ = with_final(text, "")
            return open_ + ("아" if vowel(open_) in _BRIGHT else "어")
        if final(text):
            return text + ("아" if vowel(text) in _BRIGHT else "어")
        if vowel(text) == "ㅡ":
            bright = len(text) > 1 and vowel(text[:-1]) in _BRIGHT
            return with_vowel(text, "ㅏ" if bright else "ㅓ")
        contracted = _CONTRACTIONS.get(vowel(text))
        return with_vowel(text, contracted) if contracted else text + "어"

    def _before_eu(self) -> str:
        """The stem as endings in (으) find it: open where they add just a consonant."""
        if self.kind == "ㅂ":
            return with_final(self.text, "") + "우"
        if self.kind == "ㄷ":
            return with_final(self.text, "ㄹ") + "으"
        if self.kind == "ㅅ":
            return with_final(self.text, "") + "으"
        if final(self.text) in ("", "ㄹ"):
            return with_final(self.text, "")
        return self.text + "으"

    def _noun_like(self) -> bool:
        return self.text.endswith(("있", "없"))

    def past(self) -> Stem:
        """The stem of the past, to which endings attach: 갔, 먹었."""
        return Stem(with_final(self.infinitive(), "ㅆ"), "regular", True)

    def adnominal(self, tense: Tense) -> str:
        """The form before a noun: 가는, 간, 갈; of adjectives 큰, 재미있는."""
        if tense == "progressive":
            return f"{self.text}고 있는"
        if tense == "future":
            return with_final(self._before_eu(), "ㄹ")
        if tense == "past" or (self.adjective and not self._noun_like()):
            return with_final(self._before_eu(), "ㄴ")
        return self._without_l() + "는"

    def _without_l(self) -> str:
        return with_final(self.text, "") if final(self.text) == "ㄹ" else self.text

    def present(self, level: Level) -> str:
        """간다, 갑니다, 가요; of adjectives 크다, 큽니다, 커요."""
        if level == "polite":
            return self.infinitive() + "요"
        if level == "formal":
            if final(self.text) in ("", "ㄹ"):
                return with_final(self._without_l(), "ㅂ") + "니다"
            return self.text + "습니다"
        if self.adjective:
            return self.text + "다"
        if final(self.text) in ("", "ㄹ"):
            return with_final(self._without_l(), "ㄴ") + "다"
        return self.text + "는다"

    def finite(self, tense: Tense, level: Level) -> str:
        """The form that ends a sentence; the future and the progressive are two words."""
        if tense == "past":
            past = self.past()
            return past.text + {"plain": "다", "formal": "습니다", "polite": "어요"}[level]
        if tense == "future":
            return f"{self.adnominal('future')} {_THING[level]}"
        if tense == "progressive":
            return f"{self.text}고 {Stem('있', adjective=True).present(level)}"
        return self.present(level)

    def negated(self, tense: Tense, level: Level) -> str:
        """With -지 않다: 가지 않는다, 가지 않았습니다."""
        not_ = Stem("않", adjective=self.adjective)
        if tense == "progressive":
            return f"{self.text}고 있지 {Stem('않', adjective=True).finite('present', level)}"
        return f"{self.text}지 {not_.finite(tense, level)}"

    def request(self, level: Level, *, negative: bool = False) -> str:
        """What somebody is asked to do: 읽어라, 읽으십시오, 읽으세요; or not to: 읽지 마라."""
        if negative:
            return f"{self.text}지 " + {"plain": "마라", "formal": "마십시오", "polite": "마세요"}[level]
        if level == "plain":
            return self.infinitive() + "라"
        return self._before_eu() + {"formal": "십시오", "polite": "세요"}[level]

    def not_before(self, tense: Tense) -> str:
        """The negated form before a noun: 먹지 않는, 먹지 않은."""
        return f"{self.text}지 {Stem('않', adjective=self.adjective).adnominal(tense)}"


_THING = {"plain": "것이다", "formal": "것입니다", "polite": "거예요"}


def question(form: str, level: Level) -> str:
    """A finite form as a question: 갑니다 → 갑니까; the polite one changes only its mark."""
    return form.removesuffix("다") + "까" if level == "formal" else form


def copula(noun: str, past: bool, level: Level) -> str:
    """The noun with 이다: 학생이다, 의사다, 학생입니다, 의사예요, 학생이었다, 의사였습니다."""
    open_ = not final(noun)
    if past:
        stem = "였" if open_ else "이었"
        return noun + stem + {"plain": "다", "formal": "습니다", "polite": "어요"}[level]
    if level == "formal":
        return noun + "입니다"
    if level == "polite":
        return noun + ("예요" if open_ else "이에요")
    return noun + ("다" if open_ else "이다")


def not_copula(past: bool, level: Level) -> str:
    """아니다 and its forms; the noun before it has 이/가."""
    if past:
        return "아니었" + {"plain": "다", "formal": "습니다", "polite": "어요"}[level]
    return {"plain": "아니다", "formal": "아닙니다", "polite": "아니에요"}[level]
