"""The strict readers of the environment."""

from __future__ import annotations

import os
from pathlib import Path

import environ
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_site.env import Environment, MailServer, Refused, load

BOOLEANS = "allowed are true, 1, yes, on and false, 0, no, off"
WHOLE = "a whole number from 1 to 200 is needed"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("1", True),
        ("YES", True),
        (" on ", True),
        ("false", False),
        ("0", False),
        ("No", False),
        ("off", False),
    ],
)
def test_boolean_reads_the_eight_words(text: str, value: bool) -> None:
    assert Environment({"FLAG": text}).boolean("FLAG", not value) is value


@pytest.mark.parametrize("values", [{}, {"FLAG": ""}, {"FLAG": "  "}])
@pytest.mark.parametrize("default", [True, False])
def test_empty_boolean_is_the_default(values: dict[str, str], default: bool) -> None:
    assert Environment(values).boolean("FLAG", default) is default


@pytest.mark.parametrize("text", ["maybe", "2", "truee", "t", "None"])
def test_other_boolean_is_refused_by_name(text: str) -> None:
    with pytest.raises(Refused) as error:
        Environment({"FLAG": text}).boolean("FLAG", False)
    assert str(error.value) == f"FLAG={text!r} is refused: {BOOLEANS}"


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "201", "1000000", "abc", "1_0", "+5", "--5", "5-", "-", "1.0", "٣", "0x10", "9" * 5000],
)
def test_integer_outside_its_range_or_spelling_is_refused_by_name(text: str) -> None:
    with pytest.raises(Refused) as error:
        Environment({"SIZE": text}).integer("SIZE", 5, minimum=1, maximum=200)
    assert str(error.value) == f"SIZE={text!r} is refused: {WHOLE}"


@given(st.integers(min_value=-(10**17), max_value=10**17))
def test_integer_reads_back_what_was_written(number: int) -> None:
    assert Environment({"SIZE": str(number)}).integer("SIZE", 0, minimum=-(10**17), maximum=10**17) == number


@given(st.text(max_size=20))
def test_integer_reads_only_plain_digits(text: str) -> None:
    try:
        number = Environment({"SIZE": text}).integer("SIZE", 5, minimum=1, maximum=200)
    except Refused:
        return
    assert text.strip() in ("", str(number), str(number).zfill(len(text.strip())))


@pytest.mark.parametrize("values", [{}, {"SIZE": " "}])
def test_empty_integer_is_the_default(values: dict[str, str]) -> None:
    assert Environment(values).integer("SIZE", 5, minimum=1, maximum=200) == 5


@pytest.mark.parametrize(("text", "numbers"), [("7,4,12", (7, 4, 12)), (" 1 , 0 ,2", (1, 0, 2)), ("", (9, 9, 9))])
def test_integers_are_read_in_their_order(text: str, numbers: tuple[int, ...]) -> None:
    assert Environment({"KEEP": text}).integers("KEEP", (9, 9, 9), minimum=0, maximum=20) == numbers


@pytest.mark.parametrize("text", ["7", "7,4", "7,4,12,1", "7,,12", "7,4,21", "7,-1,3", "7;4;12", "7,4,x"])
def test_integers_that_are_too_few_too_many_or_outside_are_refused_by_name(text: str) -> None:
    with pytest.raises(Refused) as error:
        Environment({"KEEP": text}).integers("KEEP", (9, 9, 9), minimum=0, maximum=20)
    allowed = "3 whole numbers from 0 to 20 are needed, as in 7,4,12"
    assert str(error.value) == f"KEEP={text!r} is refused: {allowed}"


def test_choice_outside_the_allowed_is_refused_by_name() -> None:
    with pytest.raises(Refused) as error:
        Environment({"EMO_ENV": "bogus"}).choice("EMO_ENV", "dev", ("dev", "staging", "prod"))
    assert str(error.value) == "EMO_ENV='bogus' is refused: allowed are dev, staging, prod"


def test_choice_that_is_not_set_is_the_default() -> None:
    assert Environment({}).choice("EMO_ENV", "dev", ("dev", "prod")) == "dev"


@pytest.mark.parametrize(
    ("text", "items"),
    [("", ["x"]), (" , ", []), ("a", ["a"]), (" a ,, b,", ["a", "b"])],
)
def test_list_drops_empty_items(text: str, items: list[str]) -> None:
    assert Environment({"HOSTS": text}).listed("HOSTS", ["x"]) == items


def test_text_that_is_blank_is_the_default() -> None:
    assert Environment({"NAME": "  "}).text("NAME", "default") == "default"


def test_secret_comes_from_its_variable() -> None:
    assert Environment({"KEY": " s3cret "}).secret("KEY") == "s3cret"


def test_secret_comes_from_the_file_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    assert Environment({"KEY_FILE": str(tmp_path / "key")}).secret("KEY") == "s3cret"


def test_secret_that_is_not_set_is_empty() -> None:
    assert Environment({}).secret("KEY") == ""


def test_secret_given_twice_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(Refused) as error:
        Environment({"KEY": "s3cret", "KEY_FILE": "/run/key"}).secret("KEY")
    assert str(error.value) == "KEY_FILE='/run/key' is refused: set either KEY or KEY_FILE, not both"


def test_secret_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none"
    with pytest.raises(Refused) as error:
        Environment({"KEY_FILE": str(path)}).secret("KEY")
    assert str(error.value) == (
        f"KEY_FILE={str(path)!r} is refused: a readable text file is needed"
        f" ([Errno 2] No such file or directory: {str(path)!r})"
    )


def test_secret_file_that_is_empty_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(" \n")
    with pytest.raises(Refused) as error:
        Environment({"KEY_FILE": str(path)}).secret("KEY")
    assert str(error.value) == f"KEY_FILE={str(path)!r} is refused: the file is empty"


def test_secret_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Refused, match="a readable text file is needed"):
        Environment({"KEY_FILE": str(path)}).secret("KEY")


def test_refusal_of_a_secret_masks_its_value() -> None:
    assert str(Refused("KEY", "s3cret", "too short", secret=True)) == "KEY='***' is refused: too short"


def test_refusal_of_a_missing_variable_says_so() -> None:
    assert str(Refused("KEY", None, "set it")) == "KEY is not set: set it"


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The process environment, to be written to: what load() sets is gone afterwards."""
    values = {"EMO_ENV": "staging"}
    monkeypatch.setattr(os, "environ", values)
    monkeypatch.setattr(environ.Env, "ENVIRON", values)
    return values


def test_file_of_the_environment_completes_the_process(process: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env.staging").write_text("EMO_DB_POOL_SIZE=9\nSECRET_KEY=from-file\n")
    (tmp_path / ".env.dev").write_text("EMO_DB_POOL_SIZE=8\n")
    process["SECRET_KEY"] = "from-process"
    environment = load(tmp_path)
    assert environment.text("EMO_DB_POOL_SIZE") == "9"
    assert environment.text("SECRET_KEY") == "from-process"


def test_without_a_file_the_process_is_all_there_is(process: dict[str, str], tmp_path: Path) -> None:
    assert load(tmp_path).text("EMO_ENV") == "staging"


def test_file_that_names_another_environment_is_refused(process: dict[str, str], tmp_path: Path) -> None:
    del process["EMO_ENV"]
    (tmp_path / ".env.dev").write_text("EMO_ENV=prod\n")
    with pytest.raises(Refused) as error:
        load(tmp_path)
    assert str(error.value) == "EMO_ENV in .env.dev='prod' is refused: the file was read for EMO_ENV=dev"


def test_unknown_environment_is_refused_before_any_file_is_read(process: dict[str, str], tmp_path: Path) -> None:
    process["EMO_ENV"] = "bogus"
    (tmp_path / ".env.bogus").write_text("SECRET_KEY=x\n")
    with pytest.raises(Refused, match="EMO_ENV='bogus' is refused"):
        load(tmp_path)
    assert "SECRET_KEY" not in process


# ---- mail ------------------------------------------------------------------------------------------------------------


def test_addresses_are_read_and_one_that_is_none_is_named() -> None:
    assert Environment({}).addresses("WHO") == []
    assert Environment({"WHO": "anna@example.com, bert@example.com"}).addresses("WHO") == [
        "anna@example.com",
        "bert@example.com",
    ]
    with pytest.raises(Refused, match=r"WHO='bert' is refused: e-mail addresses are needed, separated by commas"):
        Environment({"WHO": "anna@example.com,bert"}).addresses("WHO")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", MailServer()),
        ("smtp://127.0.0.1", MailServer(host="127.0.0.1", port=25)),
        (
            "smtp+tls://emo:p%40ss@mail.example.com",
            MailServer(host="mail.example.com", port=587, user="emo", password="p@ss", starttls=True),
        ),
        ("smtp+ssl://mail.example.com:1465", MailServer(host="mail.example.com", port=1465, tls=True)),
    ],
)
def test_a_mail_server_is_read_from_its_url(url: str, expected: MailServer) -> None:
    assert Environment({"MAIL": url}).mail_server("MAIL") == expected
    assert "p@ss" not in repr(expected)


@pytest.mark.parametrize("url", ["mail.example.com", "http://u:s3cret@x", "smtp://", "smtp://u:s3cret@x:port"])
def test_a_url_that_is_no_mail_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Refused) as caught:
        Environment({"MAIL": url}).mail_server("MAIL")
    assert str(caught.value) == "MAIL='***' is refused: smtp, smtp+tls, smtp+ssl with :// and a host are allowed"
