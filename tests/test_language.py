"""The text that people read is plain technical English: phrases to avoid.

Checked are all strings, docstrings and comments of the package, and the documentation. Names of
tests are checked too. docs/development.md describes the style.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATTERNS = {
    "however as 'got'": r",? however: ",
    "Return what": r"\bReturns? what\b",
    "Return whether": r"\bReturns? whether\b|\bTell whether\b",
    "hand over": r"\b(hand(s|ed|ing)?) over\b",
    "anew": r"\banew\b",
    "so many": r"(?<!times )\b(so|as) many\b",
    "is told": r"\b(is|are|was|were|be|been) told\b",
    "mend": r"\bmend(s|ed|ing)?\b",
    "go on with": r"\b(go|goes|gone|going|went) on with\b",
    "none of it": r"\b(there|where|which) (is|are) none\b|\bthere (is|are) none\b",
    "but for": r"\bbut for\b",
    "whoever": r"\bwhoever\b",
    "taken for": r"\b(take|takes|taken|took) for\b",
    "what is made best": r"\bwhat is made best\b",
    "which number it is": r"\bwhich number it is\b",
    "sentence that starts with Of": r"(?:^[\"'# ]*|[.!?] )(?-i:Of) (?!course)[a-z]",
    "speaks": r"\bspeaks? (of|for|in)\b",
    "house": r"\b(house|rooms?|doors?|stranger|empty hands)\b",
    "stands for is": r"\bstands?\b(?! for\b)",
    "besides as beside": r"\bbeside\b",
    "nobody": r"\bnobody\b",
    "lie about numbers": r"\bmay lie\b",
    "by its own accord": r"\bof its own accord\b",
    "says of a program": r"\b(errors?|messages?|files?|folders?|cards?|docs) say(s)?\b|\bsays\b",
    "tells of a program": r"(?<!`)\btells?\b(?![`(])",
    "a study's book": r"\b(study's|trial's) book\b",
    "so much of": r"\b(so|as) much of\b",
    "knows nothing of": r"\b(knows?|says?) nothing of\b",
    "as if it had never been": r"\bas if it had never been\b",
    "docstring that is a clause": r"^\"{3}(?-i:What|Which|Where|How|Knows|Is) [a-z]",
    "fits as it comes": r"\bas (it|they) comes?\b",
}


def texts_of_python(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings and comments of a file with their lines."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            yield token.start[0], token.string


def texts_of_markdown(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the paragraphs of a page outside its code blocks, each with its first line."""
    is_code, start, paragraph = False, 0, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        is_fence = line.startswith(("```", ":::"))
        if is_fence or not line or line.startswith(("#", "|", "- ")):
            if paragraph:
                yield start, paragraph
            paragraph = ""
        if line.startswith("```"):
            is_code = not is_code
        elif not is_code and not is_fence:
            start = start if paragraph else number
            paragraph += f"{line}\n"
    if paragraph:
        yield start, paragraph


def found_in(texts: Iterator[tuple[int, str]]) -> list[str]:
    """Return the phrases of `PATTERNS` in some texts, with their lines."""
    found = []
    for number, text in texts:
        joined = re.sub(r"\s+", " ", text)
        for name, pattern in PATTERNS.items():
            match = re.search(pattern, joined, re.IGNORECASE)
            if match is not None:
                found.append(f"{number}: {name}: {joined[max(match.start() - 30, 0) :][:90]!r}")
    return found


def python_files() -> list[Path]:
    folders = ("autotrain", "benchmarks", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    return sorted(files)


def pages() -> list[Path]:
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(files)


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_code_is_in_plain_words(path: Path) -> None:
    assert found_in(texts_of_python(path)) == []


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_are_in_plain_words(path: Path) -> None:
    assert found_in(texts_of_markdown(path)) == []


SETTINGS = [
    *(ROOT / name for name in ("Makefile", "pyproject.toml", "constraints.txt")),
    *sorted((ROOT / "search_spaces").glob("*.toml")),
]


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_comments_of_settings_are_in_plain_words(path: Path) -> None:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    assert found_in((number, line) for number, line in lines if "#" in line or "=" in line) == []


SENTENCES = {
    "however as 'got'": "seed must be a whole number, however: 'x'.",
    "Return what": "Return what a row holds.",
    "Return whether": "Return whether it is on.",
    "hand over": "Models are handed over.",
    "anew": "The folder is made anew.",
    "so many": "Stop after so many trials.",
    "is told": "The user is told.",
    "mend": "Mend the file.",
    "go on with": "Go on with a study.",
    "none of it": "Where there is none, all are taken.",
    "but for": "Numbers but for three cells.",
    "whoever": "Whoever reads it.",
    "taken for": "It is taken for a number.",
    "what is made best": "What is made best.",
    "which number it is": "which number it is",
    "sentence that starts with Of": "Of the masks.",
    "speaks": "One network speaks of such a row.",
    "house": "One way through the house.",
    "stands for is": "It stands beside the file.",
    "besides as beside": "A file beside it.",
    "nobody": "It trains on for nobody.",
    "lie about numbers": "The score may lie further away.",
    "by its own accord": "It ends of its own accord.",
    "says of a program": "The error says why.",
    "tells of a program": "A notice tells the reason.",
    "a study's book": "The study's book has it.",
    "so much of": "Take so much of the time.",
    "knows nothing of": "The search knows nothing of exports.",
    "as if it had never been": "Remove it as if it had never been.",
    "docstring that is a clause": "What a search does next.",
    "fits as it comes": "One fit as it comes.",
}


@pytest.mark.parametrize("name", PATTERNS)
def test_each_pattern_finds_its_phrase(name: str) -> None:
    hits = found_in(iter([(1, f'"""{SENTENCES[name]}"""')]))
    assert any(f": {name}: " in hit for hit in hits)
