"""What is a sentence about? Told by how near its embedding is to the data's own sentence, and to those of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from modelgpt_cli.llm.asking import BadAnswerError
from modelgpt_cli.requirement_generator.answer.others import OTHERS, SUBJECTS
from modelgpt_cli.requirement_generator.answer.support import Support, is_supported, stem
from modelgpt_cli.requirement_generator.answer.words import PLAIN
from modelgpt_cli.requirement_generator.offline import write_offline
from modelgpt_cli.requirement_generator.sentences import words

Embed = Callable[[Sequence[str]], np.ndarray]
_SAME_TASK = 0.6
"""A sentence of another task that is so near to the data's own is about such data, too."""
_SAME_WORDS = 3
"""So is one with as many of the profile's own words: petals, sepals and species."""
_MARGIN = 0.05
"""Right sentences are nearer to another task's by .01 at most, where that is about much the same; wrong ones by .13
to .33."""
_TELLING = 3
"""Where the profile has fewer words of its own, "v2" and "yes" alone, nothing is near to it or far."""
_SYNONYMS = 0.56
"""Cosine from which two words count as one: "bill" and "charges"; "gender" and "sex" have .56. Colours and lengths
have .38, incomes and payments .50."""
_RANK = 0.9
"""A subject has to be nearer to the data than this share of other ones. Of eleven small tables the names that fit
best had .94 or more ("flower", "passenger"), vaguer ones .82 to .88 ("applicant"), and what doesn't fit up to .88."""
_BEHIND = 0.2
"""And no further than this behind the nearest of them."""
_SUBJECT = re.compile(
    r"\b(?:each|every|an?|one|given)\s+(?:of\s+(?:the\s+)?)?(?:[\d.,]+\s+)?(?P<subject>(?:[\w'-]+\s+){0,3}?[\w'-]+?)"
    r"(?=\s+(?:as|into|by|from|in|of|is|has|belongs|for|with|using|based|on|to|that|whose|which|are|was|will|should)\b"
    r"|\s*[,.;(]|\s*$)",
    re.IGNORECASE,
)


@cache
def default_embed() -> Embed:
    """Load the text encoder that the package ships; texts to unit vectors (n, E)."""
    from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

    encoder = TextEncoder()
    known: dict[str, np.ndarray] = {}

    def embed(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, unit(encoder(new)), strict=True) if new else ())
        return np.stack([known[text] for text in texts])

    return embed


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale each vector to length 1."""
    scaled: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled


def near_words(embed: Embed) -> Callable[[str, list[str]], bool]:
    """Return a function that says whether words mean about the same as one of several others."""

    def near(text: str, others: list[str]) -> bool:
        if not text or not others:
            return False
        vectors = embed([text, *others])
        return bool((vectors[1:] @ vectors[0]).max() >= _SYNONYMS)

    return near


def check_nearness(sentence: str, support: Support, embed: Embed, others: Sequence[str] = ()) -> None:
    """Make sure that a sentence is nearer to the data's own sentence than to any of another task.

    Parameters
    ----------
    others : sequence of str
        More sentences of other tasks: those of a prompt's examples.
    """
    if len(support.own_words) < _TELLING:
        return
    own = write_offline(support.profile)
    known = [*OTHERS, *others]
    vectors = embed([own, sentence, *known])
    to_own = float(vectors[1] @ vectors[0])
    stems = {stem(word) for word in support.own_words}
    shared = np.array([len(stems & {stem(word) for word in words(text)}) for text in known])
    foreign = vectors[2:][(vectors[2:] @ vectors[0] < _SAME_TASK) & (shared < _SAME_WORDS)]
    if len(foreign) and float((foreign @ vectors[1]).max()) > to_own + _MARGIN:
        raise BadAnswerError("the sentence is about another task; say what these data are about.")


def subject_fits(support: Support, embed: Embed) -> Callable[[str], bool]:
    """Return a function that says whether words may be what is judged: nearer to the columns than most other things."""
    p = support.profile
    columns = ", ".join(" ".join(words(column.name)) for column in support.used[:20])
    context = f"{columns}, {' '.join(words(p.target))}: {' '.join(list(p.class_counts)[:10])}. {p.description[:200]}"

    def fits(subject: str) -> bool:
        vectors = embed([context, subject, *SUBJECTS])
        nearness = vectors[1:] @ vectors[0]
        others = nearness[1:]
        return bool((others < nearness[0]).mean() >= _RANK and nearness[0] >= others.max() - _BEHIND)

    return fits


def check_subject(sentence: str, support: Support, fits: Callable[[str], bool]) -> None:
    """Make sure that what is judged, "each flower", is what the data are about."""
    match = _SUBJECT.search(sentence)
    if match is None:
        return
    spoken = [word for word in words(match["subject"]) if word not in PLAIN]
    if not spoken or any(is_supported(word, support) for word in spoken[-2:]) or fits(" ".join(spoken)):
        return
    raise BadAnswerError(f"the sentence is about {match['subject']!r}, which the profile does not bear out.")
