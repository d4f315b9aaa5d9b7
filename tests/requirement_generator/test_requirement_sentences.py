"""What counts as one sentence, as naming the task, and as being about the data."""

from __future__ import annotations

import pytest
from sentence_cases import CASES

from modelgpt_cli.core.schema import Column
from modelgpt_cli.requirement_generator.answer import BadAnswerError, check_sentence
from modelgpt_cli.requirement_generator.offline import write_offline
from modelgpt_cli.requirement_generator.profile import Profile
from modelgpt_cli.requirement_generator.prompt import load_prompt
from modelgpt_cli.requirement_generator.sentences import is_markup, sentences

LOANS = Profile(
    "loans",
    10,
    "classification",
    "granted",
    (Column("x1", "numeric"), Column("No. of debts", "numeric"), Column("secret", "text")),
    {"yes": 5, "St. Louis": 5},
)
HOUSES = Profile("homes", 10, "regression", "price", (Column("floorArea", "numeric"),), {}, (1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("One row.", 1),
        ("No stop at all", 1),
        ("Values from 0.5 to 1.5 cm, e.g. Sepals, i.e. leaves.", 1),
        ("Made by Dr. Fisher, R. A. in the U.S. of America approx. 1936.", 1),
        ("Measured in sq. ft. by the tot. of credit.amount vs. age.", 1),
        ("By the No. of debts and St. Louis.", 1),
        ("Is it one?", 1),
        ("Wait... what is it?", 1),
        ("First one. Second one.", 2),
        ("First rows. then more.", 2),
        ("Really! It is.", 2),
        ("He said “stop.” Then he went.", 2),
        ("一つ。二つ。", 2),
        ("A. B. C.", 1),
    ],
)
def test_counting_sentences(text: str, n: int) -> None:
    assert len(sentences(text, ["No. of debts", "St. Louis"])) == n


@pytest.mark.parametrize("text", ["`a`", "**a**", "# A", "- a", "<b>a</b>", "[a](b)", "http://a.b", "WWW.a.b", "&lt;"])
def test_markup_is_seen(text: str) -> None:
    assert is_markup(text)


@pytest.mark.parametrize("text", ["earn <=50K or >50K", "2 * 3 * 4", "petal_length_cm", "a < b and c > d", "Q&A"])
def test_ordinary_signs_are_no_markup(text: str) -> None:
    assert not is_markup(text)


@pytest.mark.parametrize(
    "text",
    [
        "Classify loans as yes or St. Louis by what is known of them.",
        "Predict whether a loan is a yes or a St. Louis.",
        "Decide which of the two labels, yes or St. Louis, x1 stands for.",
        "Categorise each row by its No. of debts into yes or St. Louis.",
    ],
)
def test_classification_and_the_data_are_named(text: str) -> None:
    check_sentence(text, LOANS)


@pytest.mark.parametrize(
    "text",
    [
        "Predict the price of homes near the sea.",
        "Estimate how much each home costs there.",
        "Fit a regression of the price on floorArea.",
        "Predict the numeric value from the floor area.",
    ],
)
def test_regression_and_the_data_are_named(text: str) -> None:
    check_sentence(text, HOUSES)


@pytest.mark.parametrize(
    ("text", "profile", "words"),
    [
        ("Loans have debts and much else besides.", LOANS, "task type, which is classification"),
        ("Fit a regression to predict which loan it is.", LOANS, "task type"),
        ("Classify homes by the price they fetch.", HOUSES, "task type, which is regression"),
        ("Classify each row as yes or St. Louis.", LOANS, "not about the data"),
        ("Classify the rows of this dataset by their columns.", LOANS, "not about the data"),
        ("Classify each row by its secret as yes.", LOANS, "not about the data"),
        ("Classify the loans now.", LOANS, "4 words"),
        ("Classify the loans. Then go home.", LOANS, "ONE sentence"),
        ("Classify the loans\tby their No. of debts.", LOANS, "control characters"),
    ],
)
def test_what_is_missing_is_named(text: str, profile: Profile, words: str) -> None:
    with pytest.raises(BadAnswerError, match=words):
        check_sentence(text, profile)


# What an LLM may write about five small data sets ---------------------------------------------------------------------


@pytest.mark.parametrize(("data", "kind"), [(data, kind) for data, (_, wrong, _) in CASES.items() for kind in wrong])
def test_no_wrong_sentence_passes(data: str, kind: str) -> None:
    profile, wrong, _ = CASES[data]
    with pytest.raises(BadAnswerError):
        check_sentence(wrong[kind], profile, load_prompt(domain=profile.domain))


@pytest.mark.parametrize(("data", "text"), [(data, text) for data, (_, _, right) in CASES.items() for text in right])
def test_right_sentences_pass(data: str, text: str) -> None:
    profile = CASES[data][0]
    check_sentence(text, profile, load_prompt(domain=profile.domain))


@pytest.mark.parametrize("data", CASES)
def test_the_sentence_that_is_written_offline_passes(data: str) -> None:
    profile = CASES[data][0]
    check_sentence(write_offline(profile), profile, load_prompt(domain=profile.domain))
