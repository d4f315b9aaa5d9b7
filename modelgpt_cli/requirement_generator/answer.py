"""Is an LLM's answer a requirement? Nothing it says is used before it has passed here, whatever steered it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelgpt_cli.llm.asking import BadAnswerError, read_object
from modelgpt_cli.requirement_generator.profile import Profile, Vocabulary, profiler_of
from modelgpt_cli.requirement_generator.sentences import is_markup, sentences, words

MIN_WORDS = 5
MAX_WORDS = 80

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
# Words that say nothing of what a table is about.
_WEAK_TEXT = """
a about after all also among an and any are as at based be been before between but by can categories category
class classes classification classify column columns csv data dataset datasets description each either estimate
every feature features file five for four from given has have if in input inputs into is it its json jsonl label
labels machine may model more most name names no not number numbers numeric of on one only or other out output
outputs over parquet predict predicting regression row rows sample samples set should so such table target
targets task test than that the their them then there these they this three to total train training tsv two txt
type types up used uses using value values was were what when whether which will with xlsx
"""
_WEAK = frozenset(_WEAK_TEXT.split())


def read_answer(answer: str, key: str, profile: Profile) -> str:
    """Give the sentence of an LLM's answer.

    Parameters
    ----------
    answer : str
        What the LLM said: JSON with the one key `key`, possibly inside a code fence.
    key : str
        The schema's key.
    profile : Profile
        What the sentence has to be about.

    Raises
    ------
    BadAnswerError
        If it is anything but one usable sentence.
    """
    values = read_object(answer)
    if set(values) != {key} or not isinstance(values[key], str):
        raise BadAnswerError(f'it must be a JSON object with exactly one key, "{key}", and a sentence as its value.')
    sentence: str = values[key].strip()
    check_sentence(sentence, profile)
    return sentence


def check_sentence(sentence: str, profile: Profile) -> None:
    """Make sure a sentence is one plain sentence that names the task type and is about the data.

    The task type counts as named if the sentence has its word (classify/categorise…, regression) or a verb of
    judgement with a fitting object ("predict whether", "estimate the price"). It is about the data if it has a used
    column's name, or a word of the columns, the description or the data's name that no label has; or a word that only
    such data call for (`Vocabulary.topics`).

    Raises
    ------
    BadAnswerError
        If it is not.
    """
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
    vocabulary = profiler_of(profile.domain).vocabulary(profile)
    if not _names_task(words(sentence), profile, vocabulary):
        raise BadAnswerError(f"the sentence does not name the task type, which is {profile.task}.")
    if not _about_data(sentence, profile, vocabulary):
        raise BadAnswerError(f"the sentence is not about the data: {vocabulary.subject}.")


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
    labels = {_stem(word) for label in profile.class_counts for word in words(label)}
    used = [column.name for column in profile.columns if column.used and vocabulary.names_tell]
    for name in used:
        # The name as it stands counts even where its words say little ("x1", "V 2"), unless it is an ordinary word.
        if name.strip().lower() in _WEAK or _stem(name.strip().lower()) in labels:
            continue
        if name.strip() and re.search(rf"(?<!\w){re.escape(name.strip())}(?!\w)", sentence):
            return True
    described = [column.description for column in profile.columns if column.used]
    sources = [profile.name, profile.description, *used, *described, *vocabulary.topics]
    content = {_stem(word) for text in sources for word in words(text) if len(word) > 2 and word not in _WEAK} - labels
    return any(_stem(word) in content for word in words(sentence) if len(word) > 2 and word not in _WEAK)


def _stem(word: str) -> str:
    """Cut the commonest English endings, so that "flowers" finds "flower"."""
    for ending in ("ies", "ing", "es", "ed", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
