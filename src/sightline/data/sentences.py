"""Text as documents of sentences: where they come from, and how they are encoded and cached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from sightline.config import Frozen
from sightline.data import prepared
from sightline.data.documents import TextSource, read_pieces
from sightline.data.encoded import EncodedSequences
from sightline.data.prepared import SequenceNotes, SequenceWriter, read_numbers, read_sequences, write_numbers
from sightline.data.progress import ENCODING, ProgressReporter, Report, silent
from sightline.data.records import TableSource
from sightline.data.sources import WHOLE, Column, Outline, Part, read_lines, resolve, take_part
from sightline.data.splits import take_split
from sightline.data.splitting import split_sentences
from sightline.data.text import BadRecord, refuse
from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError
from sightline.jsonio import Json


class SentenceSource(TableSource):
    """Where documents of sentences come from.

    - documents "line", "block", "article" or "file": as in `sightline.data.documents.TextSource`, and so are `column`
      and `part`.
    - documents "group": consecutive lines of one group, which the same line of the file `groups` names, up to its last
      colon: "Ruth 1:4" is of the group "Ruth 1".
    - sentences "line": each line of a document is one; "split": what `split_sentences` finds; "whole": a document is
      one.
    """

    source: str = Field(description="a file of text, with documents = file also a folder of them")
    documents: Literal["line", "block", "article", "file", "group"] = Field(
        default="line", description="what a document is"
    )
    sentences: Literal["line", "split", "whole"] = Field(
        default="split", description="what a sentence of a document is"
    )
    column: Column | None = Field(default=None, description="of a table: number (from 0), name or key of the text")
    groups: str | None = Field(
        default=None, description="documents = group: the file that names the group of each line"
    )
    part: Part = WHOLE

    unidentifying: ClassVar[frozenset[str]] = frozenset({"source", "groups"})

    @model_validator(mode="after")
    def _fits(self) -> SentenceSource:
        if (self.groups is not None) != (self.documents == "group"):
            raise ValueError(f'{self.source}: documents = "group" goes with a file named by groups, and groups with it')
        if self.documents == "group" and self.column is not None:
            raise ValueError(f"{self.source}: groups are of lines; leave column out")
        if self.documents != "group":
            self.as_texts()  # refuses what does not go together
        return self

    def files(self) -> list[Path]:
        """The files to be read."""
        if self.documents == "group":
            return [resolve(spec) for spec in (self.source, self.groups) if spec is not None]
        return self.as_texts().files()

    def columns(self) -> tuple[Column, ...]:
        """That of the text, where the source is a table."""
        return () if self.documents == "group" else self.as_texts().columns()

    def content_id(self) -> Json:
        """What the documents depend on; see `TextSource`."""
        if self.documents == "group":
            return super().content_id()
        return [self.sentences, self.as_texts().content_id()]

    def as_texts(self) -> TextSource:
        """The same documents as plain text. Raises ValueError for documents of groups, which are no such."""
        if self.documents == "group":
            raise ValueError(f"{self.source}: documents of groups are those of two files")
        return TextSource(
            source=self.source,
            documents=self.documents,
            column=self.column,
            part=self.part,
            header=self.header,
            split=self.split,
        )

    def outlines(self, bad: BadRecord = refuse) -> Iterator[Outline]:
        """The documents, or pieces of a megabyte of those that are longer."""
        if self.documents != "group":
            return self.as_texts().outlines(bad)
        return (Outline(text, (text,)) for text in self._groups())

    def read_documents(self) -> Iterator[list[str]]:
        """The documents, in order, each its sentences; empty documents are left out.

        Raises DataError where a file cannot be read or is not what the source says.
        """
        for text in self._texts():
            if self.sentences == "split":
                sentences = split_sentences(text)
            else:
                sentences = [text] if self.sentences == "whole" else text.split("\n")
                sentences = [stripped for one in sentences if (stripped := one.strip())]
            if sentences:
                yield sentences

    def _texts(self) -> Iterable[str]:
        if self.documents != "group":
            return _whole(read_pieces(self.as_texts()))
        return take_split(take_part(self._groups(), self.part), self.split, str)

    def _groups(self) -> Iterator[str]:
        pairs = zip_lines(self.source, str(self.groups))
        return ("\n".join(line for line, _ in lines) for _, lines in groupby(pairs, lambda pair: pair[1]))


def zip_lines(source: str, groups: str) -> Iterator[tuple[str, str]]:
    """(line, the group it is of). Raises DataError where one file has more lines than the other."""
    names = read_lines(groups)
    for number, line in enumerate(read_lines(source), 1):
        name = next(names, None)
        if name is None:
            raise DataError(f"{groups}: has {number - 1} lines, fewer than {source}; each of its lines needs a group")
        yield line, name.rpartition(":")[0] or name
    if next(names, None) is not None:
        raise DataError(f"{groups}: has more lines than {source}; each is the group of one")


def _whole(pieces: Iterable[tuple[str, bool]]) -> Iterator[str]:
    """Documents from pieces of them."""
    held: list[str] = []
    for text, ended in pieces:
        held.append(text)
        if ended:
            yield "".join(held)
            held = []
    if held:
        yield "".join(held)


@dataclass(frozen=True)
class EncodedDocuments:
    """Sentences as token ids; document i has the sentences `documents[i]` … `documents[i + 1]` - 1, and source i the
    documents `sources[i]` … `sources[i + 1]` - 1."""

    sentences: EncodedSequences
    documents: np.ndarray
    sources: np.ndarray

    def __len__(self) -> int:
        return len(self.documents) - 1

    @classmethod
    def from_lists(cls, *sources: Sequence[Sequence[Sequence[int]]]) -> EncodedDocuments:
        """Documents of sources held in memory."""
        documents = [document for source in sources for document in source]
        sentences = EncodedSequences.from_lists([ids for document in documents for ids in document])
        sizes, counts = ([0, *map(len, parts)] for parts in (documents, sources))
        return cls(sentences, np.cumsum(sizes, dtype=np.int64), np.cumsum(counts, dtype=np.int64))

    @property
    def pairable(self) -> np.ndarray:
        """The numbers of the documents that have a sentence which follows another."""
        return np.flatnonzero(np.diff(np.asarray(self.documents)) > 1)

    def summary(self) -> str:
        """One line to print."""
        return (
            f"{len(self):,} documents ({len(self.pairable):,} of several sentences), "
            f"{int(self.documents[-1]):,} sentences, {len(self.sentences.tokens):,} tokens"
        )


class _DocumentNotes(Frozen):
    """What is in a cached folder of documents: its sentences, and how many documents and sources they are of."""

    sentences: SequenceNotes
    documents: int
    sources: int


def encode_documents(
    sources: Sequence[SentenceSource],
    tokenizer: Tokenizer,
    *,
    cache_dir: str | Path | None = None,
    report: Report = silent,
) -> EncodedDocuments:
    """All documents of `sources` as token ids, from the cache where the same work was done before.

    Sentences of no token are left out. `report` is told how far it is, and of what the user should see.

    Raises DataError where a source cannot be read, nothing is left, or the cache cannot be written.
    """
    for line in (line for source in sources for line in source.notices()):
        report(line)

    def read(home: Path, notes: _DocumentNotes) -> EncodedDocuments:
        return EncodedDocuments(
            read_sequences(home, "text", notes.sentences),
            read_numbers(home / "documents", notes.documents + 1),
            read_numbers(home / "sources", notes.sources + 1),
        )

    found = prepared.cached(
        "sentences",
        {"sources": [source.content_id() for source in sources], "tokenizer": tokenizer.fingerprint},
        _DocumentNotes,
        lambda folder: _write(folder, sources, tokenizer, ProgressReporter(report, ENCODING, sources=sources)),
        read,
        cache_dir=cache_dir,
        report=report,
    )
    if not len(found):
        names = ", ".join(source.source for source in sources) or "data"
        raise DataError(f"{names}: no text is left to use; check the files")
    return found


def _characters(document: list[str]) -> int:
    return sum(map(len, document))


def _write(
    folder: Path, sources: Sequence[SentenceSource], tokenizer: Tokenizer, progress: ProgressReporter
) -> _DocumentNotes:
    ends, source_ends = [0], [0]
    characters = 0
    with SequenceWriter(folder, "text", tokenizer.vocab_size) as writer:
        for source in sources:
            for documents in prepared.chunked(source.read_documents(), _characters):
                encoded = tokenizer.encode_batch([sentence for one in documents for sentence in one])
                writer.write([ids for ids in encoded if ids])
                found = iter(encoded)
                for document in documents:
                    count = sum(bool(ids) for ids in islice(found, len(document)))
                    ends += [ends[-1] + count] * bool(count)
                characters += sum(map(_characters, documents))
                progress(characters)
            source_ends.append(len(ends) - 1)
    write_numbers(folder / "documents", ends)
    write_numbers(folder / "sources", source_ends)
    return _DocumentNotes(sentences=writer.notes, documents=len(ends) - 1, sources=len(sources))
