"""`--redact`: what gives way to placeholders, what must not, and that nothing of it reaches an LLM."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import Cli
from fake_llm import FakeLLM, sentence
from tiny_images import folder_of

from modelgpt_cli.core.schema import Column
from modelgpt_cli.llm.redact import count_placeholders, redact
from modelgpt_cli.requirement_generator.describe import describe
from modelgpt_cli.requirement_generator.profile import Profile
from modelgpt_cli.requirement_generator.prompt import profile_json

GONE = {
    "ann.smith+x@private.example": "<email>",
    "mail bob@mail.co.uk.": "mail <email>.",
    "<jörg@büro.example>": "<<email>>",
    "+49 151 23456789": "<phone>",
    "+4915123456789": "<phone>",
    "+49 (0)30 123456": "<phone>",
    "0151-23456789": "<phone>",
    "030/1234567": "<phone>",
    "(030) 123-4567": "<phone>",
    "(call 030 1234567)": "(call <phone>)",
    "+1 (555) 123-4567": "<phone>",
    "1-800-555-1234": "<phone>",
    "555.123.4567": "<phone>",
    "01 23 45 67 89": "<phone>",
    "03.44.55.66.77": "<phone>",
    "612 345 678": "<number>",
    "4111 1111 1111 1111": "<number>",
    "card 4111-1111-1111-1111, 12/26": "card <number>, 12/26",
    "DE89 3704 0044 0532 0130 00": "<number>",
    "DE89370400440532013000": "<number>",
    "GB29 NWBK 6016 1331 9268 19": "<number>",
    "123-45-6789": "<number>",
    "123.456.789-00": "<number>",
    "1234567": "<number>",
    "12345678.5": "<number>",
    "AB1234567": "AB<number>",
    "id 98765432.": "id <number>.",
    "acct 00012345678901234567": "acct <number>",
    "12,1234567": "12,<number>",
    "x,01512345678": "x,<phone>",
    "٠١٢٣٤٥٦٧٨٩": "<number>",
    "on 2024-01-31 call 0151 2345678": "on 2024-01-31 call <phone>",
    "$5 0151 2345678": "$5 <phone>",
    "2020 0151 2345678": "<number>",
    "2024-01-31-1234": "<number>",
    "ann . smith @ mail . example . com": "ann . <email>",
    "ann @ example.com": "<email>",
    "ann [at] example [dot] org": "<email>",
    "write to ann.smith at example dot de, please": "write to <email>, please",
    "ann(at)example.co.uk": "<email>",
    "from 192.168.1.17 to 10.0.0.1:8080": "from <address> to <address>:8080",
    "10.0.0.0/24": "<address>",
    "2001:db8:85a3:0:0:8a2e:370:7334": "<address>",
    "fe80::1ff:fe23:4567:890a": "<address>",
    "::ffff:1:2, 2001:db8::": "<address>, <address>",
    "00:1A:2b:3c:4D:5e or 00-1a-2b-3c-4d-5e": "<address> or <address>",
    "sk-proj-abcDEF123456789": "<secret>",
    "key ghp_16C7e42F292c6912E7710c838347Ae178B4a!": "key <secret>!",
    "AKIAIOSFODNN7EXAMPLE": "<secret>",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_123": "<secret>",
    "d41d8cd98f00b204e9800998ecf8427e": "<secret>",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----": "<secret>",
    "password: hunter22, user": "password: <secret>, user",
    'api_key="abcd-efgh"': 'api_key="<secret>"',
    '{"access_token": "x9.y8.z7"}': '{"access_token": "<secret>"}',
    "Authorization: Bearer abc.def": "Authorization: Bearer <secret>",
    "postgres://ann:s3cret@db.example/x": "postgres://<secret>@db.example/x",
    "born on 31.01.1980 in Ulm": "born on <birth> in Ulm",
    "date of birth: 1980-01-31": "date of birth: <birth>",
    "DOB 01/31/1980": "DOB <birth>",
    "geb. 3. März 1980": "geb. <birth>",
    "born March 3, 1980": "born <birth>",
    '{"birth_date": ["1980-01-31", "1979-12-24"]}': '{"birth_date": ["<birth>"]}',
}
STAYS = [
    *("3.14159265", "(3.14159265)", "0.000000123456", "-0.12345678", "-122.4194155", "6.02214076e23", "1.0E-12"),
    *("(52.520008, 13.404954)", "3.14 2.71 1.41 1.73", "5.1,3.5,1.4,0.2,1234", "x=0.12345678,y=0.98765432"),
    *("1299.99", "1,299.99", "$1,234,567.89", "1.234.567,89 €", "12 500 €", "€ 1 234 567,89", "USD 1250000"),
    *("1,234,567", "1.234.567", "$1200-1500", "1500-2000 EUR", "¥1,000,000", "$.99", "100,000"),
    *("2024-01-31", "2024/01/31", "2024.01.31", "31.01.2024", "31. 12. 1999", "01/31/2024", "31/12/1999", "31-01-2024"),
    *("2024-01-31T12:34:56", "2024-01-31 12:34:56.123", "12.03.1999 13:45", "20240131", "2019-01-01 to 2020-12-31"),
    *("2019-2024", "2019–2024", "1999/2000", "2019 2020 2021", "in 1999, 2000 and 2001", "1990-1995 and 2000-2005"),
    *(
        "12:30:45",
        "08:00-12:00",
        "v1.2.3",
        "120/80 mmHg",
        "1500 x 2000",
        "100-200",
        "10.5-12.5",
        "999999",
        "45 %, 50 %",
    ),
    *(
        "me @ noon. So it is",
        "at home dot the i",
        "meet at five",
        "token count: 17",
        "3 tokens",
        "1:2:3",
        "a::b",
        "sold 31.01.1980",
    ),
    *(
        "birth rate 1980-2020",
        "password",
        "http://example.com:80/a@b",
        "deadbeef",
        "the bearer of news",
        "version 10.2",
    ),
    *("@user hello", "3 items @ 5.00", "sepal 5.1 3.5 1.4 0.2", "1. 2. 3.", "chapter 12.3.4", "a <b> & c"),
]


@pytest.mark.parametrize(("text", "shown"), GONE.items())
def test_what_identifies_gives_way(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(f"so {text} it is") == f"so {shown} it is"


@pytest.mark.parametrize("text", STAYS)
def test_ordinary_numbers_stay(text: str) -> None:
    assert redact(text) == text
    assert redact(f"so {text} it is") == f"so {text} it is"


@pytest.mark.parametrize("piece", ["a", "1", "123 ", "1.123", "a@", "2020 ", "AB12CDEF", "$", "1-", "a@bb-"])
def test_the_oddest_text_takes_time_in_proportion(piece: str) -> None:
    def seconds(length: int) -> float:
        start = time.process_time()
        redact(piece * (length // len(piece)))
        return time.process_time() - start

    assert seconds(200_000) < 5  # some 0.6 s; were it quadratic, hours


def test_a_profile_is_redacted_wherever_words_stand() -> None:
    columns = (
        Column(
            "call 0151 2345678", "categorical", "of ann@x.example", levels=("bob@y.example", "eve@z.example", "none")
        ),
        Column("1234567", "identifier"),
        Column("7654321", "numeric"),
    )
    row = {"call 0151 2345678": "bob@y.example", "1234567": "hidden", "7654321": "3.5", "y": "a@b.example"}
    counts = {"a@b.example": 3, "c@d.example": 2}
    profile = Profile("of 12345678", 5, "classification", "y", columns, counts, None, (row,), "Ask +49 151 2345678.")
    shown = profile_json(profile.redacted())
    assert shown["name"] == "of <number>"
    assert shown["description"] == "Ask <phone>."
    assert [column["name"] for column in shown["columns"]] == ["call <phone>", "<number> (2)"]
    assert shown["columns"][0]["values"] == ["<email>", "<email>", "none"]
    assert shown["rows_per_label"] == {"<email>": 3, "<email> (2)": 2}
    assert shown["sample"] == [{"call <phone>": "<email>", "<number> (2)": "3.5", "y": "<email>"}]


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Letters with addresses in them, some across the place where long ones are cut."""
    texts = [f"Letter {i} to the shop about " + "an order " * 18 + f"by ann{i}@private.example" for i in range(20)]
    texts += [f"Thank you {i}, I paid 12.50 EUR on 2024-01-{i + 10}, call 0151 23456{i + 10}." for i in range(20)]
    path = tmp_path / "letters.csv"
    pd.DataFrame({"letter": texts, "kind": ["question"] * 20 + ["praise"] * 20}).to_csv(path, index=False)
    return path


GOOD = "Classify each letter to a shop as question or praise by what its customer wants."


def test_an_llm_is_shown_placeholders_only(letters: Path) -> None:
    with FakeLLM(sentence(GOOD)) as fake:
        done = describe(letters, base_url=fake.url, redact=True, description="Ask eve@shop.example.")
        dry = describe(letters, base_url=fake.url, redact=True, description="Ask eve@shop.example.", dry_run=True)
        plain = describe(letters, base_url=fake.url)
    assert done.requirement.sentence == GOOD
    first, second = fake.requests
    for part in ("@", "private", "0151", "23456"):
        assert part not in first.raw
    assert "0151" in second.raw
    assert "12.50 EUR on 2024-01-" in first.raw
    assert json.loads(dry.prompt or "") == first.body
    text = first.messages[1]["content"]
    assert "Ask <email>." in text
    assert text.count("</data>") == 1
    found = count_placeholders(text)
    assert found["<phone>"] == 4
    assert found["<email>"] >= 1
    words = f"--redact: placeholders in what is sent: {found['<email>']} <email>, 4 <phone>."
    assert words in done.notes
    assert words in dry.notes
    assert not any("--redact" in note for note in plain.notes)


def test_the_command_says_so_and_leaves_the_file_alone(letters: Path, iris_csv: Path, cli: Cli) -> None:
    done = cli("describe", letters, "--redact", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "4 <phone>" in done.stderr
    assert "<phone>" in done.stdout
    assert "0151" not in done.stdout
    none = cli("describe", iris_csv, "--dry-run", env={"MODELGPT_REDACT": "1"})
    assert "none, as nothing was found" in none.stderr
    offline = cli("describe", letters, "--offline", "--redact")
    assert offline.returncode == 0
    assert offline.stdout == cli("describe", letters, "--offline").stdout


def test_images_are_sent_as_they_are_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modelgpt")
    folder = folder_of(tmp_path / "pets")
    (folder / "cat").rename(folder / "cat ann@x.example")
    done = describe(folder, dry_run=True, redact=True)
    assert "ann@x" not in (done.prompt or "")
    assert "cat <email>" in (done.prompt or "")
    assert [r.levelname for r in caplog.records if "sheet of images is sent as it is" in r.getMessage()] == ["WARNING"]
