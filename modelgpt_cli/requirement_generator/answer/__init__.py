"""Is an LLM's answer a requirement? Nothing it says is used before it has passed here, whatever steered it.

`words` is what the checks know and `support` what the profile says; `labels`, `figures` and `columns` hold a sentence
against it by words and numbers, `nearness` by embeddings. What they can't see: a wrong sentence in the
profile's own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelgpt_cli.llm.asking import BadAnswerError, read_object
from modelgpt_cli.llm.template import Prompt
from modelgpt_cli.requirement_generator.answer.columns import check_columns, check_target
from modelgpt_cli.requirement_generator.answer.figures import check_figures
from modelgpt_cli.requirement_generator.answer.labels import check_labels
from modelgpt_cli.requirement_generator.answer.nearness import (
    Embed,
    check_nearness,
    check_subject,
    default_embed,
    near_words,
    subject_fits,
)
from modelgpt_cli.requirement_generator.answer.support import Support, stem
from modelgpt_cli.requirement_generator.answer.words import NEGATION, WEAK
from modelgpt_cli.requirement_generator.profile import Profile, Vocabulary, profiler_of
from modelgpt_cli.requirement_generator.prompt import ANALYSIS
from modelgpt_cli.requirement_generator.sentences import MAX_WORDS, MIN_WORDS, is_markup, sentences, words

_PARROTED = 8
"""So many words in a row from the prompt are copied; what it asks for word by word has five."""
_QUOTED = 6
"""So many words in a row from a row of the data are quoted."""

# A sentence names its task by the word itself, or by a verb of judgement together with what is judged.
_NAMED = {"classification": ("classif", "categoris", "categoriz"), "regression": ("regress",)}
_VERBS = {
    "classification": (
        *("predict", "decid", "determin", "detect", "identif", "recogni", "distinguish", "tell", "assign"),
        *("label", "diagnos", "sort", "estimat"),
    ),
    "regression": ("predict", "estimat", "forecast", "approximat"),
}
_OBJECTS = {
    "classification": ("class", "categor", "label", "type", "kind", "species", "group", "whether", "which", "if"),
    "regression": (
        *("value", "number", "numeric", "amount", "quantit", "continuous", "price", "cost", "score", "rate"),
        *("how", "count"),
    ),
}
_OTHER = {
    "classification": re.compile(r"\bregress\w*|\bnumeric(?:al)? value of\b", re.IGNORECASE),
    "regression": re.compile(
        r"\bclassif\w*|\bcategori[sz]\w*|\bclass label\w*|\binto (?:two|three|\d+) classes\b", re.IGNORECASE
    ),
}
"""What a sentence of a task says that belongs to the other one."""


def read_answer(answer: str, key: str, profile: Profile, prompt: Prompt | None = None) -> str:
    """Give the sentence of an LLM's answer.

    Parameters
    ----------
    answer : str
        What the LLM said: JSON with the key `key`, and possibly an analysis, possibly inside a code fence.
    key : str
        The schema's key of the sentence.
    profile : Profile
        What the sentence has to be about, as the LLM saw it.
    prompt : Prompt, optional
        The template, whose words the sentence must not repeat.

    Raises
    ------
    BadAnswerError
        If it is anything but one usable sentence.
    """
    values = read_object(answer)
    if set(values) - {ANALYSIS} != {key} or not isinstance(values[key], str):
        raise BadAnswerError(f'it must be a JSON object with the key "{key}", and a sentence as its value.')
    sentence: str = values[key].strip()
    check_sentence(sentence, profile, prompt)
    return sentence


def check_sentence(sentence: str, profile: Profile, prompt: Prompt | None = None, embed: Embed | None = None) -> None:
    """Make sure a sentence is one plain sentence that names the task and says of the data what is so.

    In this order: it is one plain sentence; it names the task type, that alone, and doesn't deny it; it is about the
    data; it repeats neither the prompt nor rows; it names every label where there are ten or fewer, and none that there
    isn't; figures, units, columns, target and subject are the profile's; and it is nearer in embedding to the sentence
    that is written offline than to those of other tasks.

    Parameters
    ----------
    embed : callable, optional
        Texts to unit vectors (n, E); the shipped text encoder by default.

    Raises
    ------
    BadAnswerError
        If it is not.
    """
    _check_form(sentence, profile)
    vocabulary = profiler_of(profile.domain).vocabulary(profile)
    _check_task(sentence, profile, vocabulary)
    if not _about_data(sentence, profile, vocabulary):
        raise BadAnswerError(f"the sentence is not about the data: {vocabulary.subject}.")
    examples = _check_copied(sentence, profile, prompt)
    support = Support(profile)
    check_labels(sentence, support)
    check_figures(sentence, support)
    embed = embed or default_embed()
    near = near_words(embed)
    fits = subject_fits(support, embed)
    check_columns(sentence, support, near, fits)
    check_target(sentence, support, near)
    check_subject(sentence, support, fits)
    check_nearness(sentence, support, embed, examples)


def _check_form(sentence: str, profile: Profile) -> None:
    """Make sure that it is one plain sentence."""
    if not sentence:
        raise BadAnswerError("the sentence is empty.")
    if any(not (char.isprintable() or char == "\u00a0") for char in sentence):
        raise BadAnswerError("the sentence has line breaks or control characters.")
    names = [profile.name, profile.target, *profile.class_counts, *(column.name for column in profile.columns)]
    markup = is_markup(sentence, names)
    if markup:
        raise BadAnswerError(f"the sentence has {markup} in it; it must be plain text.")
    found = sentences(sentence, names)
    if len(found) != 1:
        raise BadAnswerError(f"it must be ONE sentence, and these are {len(found)}.")
    n_words = len(sentence.split())
    if not MIN_WORDS <= n_words <= MAX_WORDS:
        raise BadAnswerError(f"the sentence has {n_words} words; it must have {MIN_WORDS} to {MAX_WORDS}.")


def _check_task(sentence: str, profile: Profile, vocabulary: Vocabulary) -> None:
    """Make sure that the task type is named, that alone, and not denied."""
    if not _names_task(words(sentence), profile, vocabulary):
        raise BadAnswerError(f"the sentence does not name the task type, which is {profile.task}.")
    # A column or a label may be called so.
    names = [profile.target, *profile.class_counts, *(column.name for column in profile.columns), profile.description]
    other = _OTHER[profile.task].search(sentence) if profile.task in _OTHER else None
    if other and not any(other[0].lower() in name.lower() for name in names):
        raise BadAnswerError(f"the sentence says {other[0]!r}, and the task is {profile.task} alone.")
    stems = (*_NAMED.get(profile.task, ()), *_VERBS.get(profile.task, ()))
    for match in re.finditer(r"[^\W_]+", sentence):
        if match[0].lower().startswith(stems):
            before = sentence[: match.start()].split()[-4:]
            if any(NEGATION.match(word.strip(",;:").lower()) for word in before):
                raise BadAnswerError("the sentence says what the model must not do; it must say what it does.")


def _check_copied(sentence: str, profile: Profile, prompt: Prompt | None) -> list[str]:
    """Make sure that no long run of words is the prompt's or a row's; return the sentences of the prompt's examples."""
    spoken = words(sentence)
    for row in profile.sample:
        cells = [words(cell) for name, cell in row.items() if name != profile.target]
        for cell in [*cells, [word for one in cells for word in one]]:
            if _common_run(spoken, cell, _QUOTED) or (len(cell) >= 4 and _common_run(spoken, cell, len(cell))):
                raise BadAnswerError("the sentence quotes a row of the data.")
    if prompt is None:
        return []
    text = f"{prompt.system}\n{prompt.user}"
    if _common_run(spoken, words(text), _PARROTED):
        raise BadAnswerError(
            "the sentence repeats the words of these rules or of an example; write it for this profile."
        )
    return re.findall(r'"requirement": "([^"<]+)"', text)


def _common_run(spoken: list[str], others: list[str], length: int) -> bool:
    """Whether so many words in a row are in both."""
    if length <= 0 or len(spoken) < length or len(others) < length:
        return False
    runs = {tuple(others[i : i + length]) for i in range(len(others) - length + 1)}
    return any(tuple(spoken[i : i + length]) in runs for i in range(len(spoken) - length + 1))


def _names_task(spoken: Iterable[str], profile: Profile, vocabulary: Vocabulary) -> bool:
    """Whether the words name the profile's task type, and not the other one alone."""
    spoken = list(spoken)

    def has(stems: tuple[str, ...]) -> bool:
        return any(word.startswith(stem) if len(stem) > 3 else word == stem for word in spoken for stem in stems)

    if has(_NAMED.get(profile.task, ())):
        return True
    if profile.task in _NAMED and any(has(stems) for stems in _NAMED.values()):
        return False
    verbs = (*_VERBS.get(profile.task, ()), *vocabulary.verbs.get(profile.task, ()))
    objects = (*_OBJECTS.get(profile.task, ()), *(words(profile.target) if profile.task == "regression" else ()))
    return has(verbs) and has((*objects, *vocabulary.objects.get(profile.task, ())))


def _about_data(sentence: str, profile: Profile, vocabulary: Vocabulary) -> bool:
    """Whether the sentence says something of the data that the labels alone do not."""
    labels = {stem(word) for label in profile.class_counts for word in words(label)}
    used = [column.name for column in profile.columns if column.used and vocabulary.names_tell]
    for name in used:
        # The name as it stands counts even where its words say little ("x1", "V 2"), unless it is an ordinary word.
        if name.strip().lower() in WEAK or stem(name.strip().lower()) in labels:
            continue
        if name.strip() and re.search(rf"(?<!\w){re.escape(name.strip())}(?!\w)", sentence):
            return True
    described = [column.description for column in profile.columns if column.used]
    sources = [profile.name, profile.description, *used, *described, *vocabulary.topics]
    content = {stem(word) for text in sources for word in words(text) if len(word) > 2 and word not in WEAK} - labels
    return any(stem(word) in content for word in words(sentence) if len(word) > 2 and word not in WEAK)
