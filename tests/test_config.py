"""A YAML file is read into a validated model, or refused in one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from rawless.config import check, read_yaml
from rawless.errors import UserError


class Strict(BaseModel):
    """A model that refuses unknown fields, like every model that is read from a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Square(Strict):
    side: int = Field(ge=1)


class Circle(Strict):
    radius: int = Field(ge=1)
    filled: bool = False


def _kind(value: Any) -> str:
    return "<circle>" if isinstance(value, Circle) or (isinstance(value, dict) and "radius" in value) else "<square>"


Shape = Annotated[Annotated[Square, Tag("<square>")] | Annotated[Circle, Tag("<circle>")], Discriminator(_kind)]
"""A tagged union; its tags are in angle brackets and are not shown to users."""


class Drawing(Strict):
    title: str
    colour: Literal["red", "blue"] = "red"
    shapes: dict[Annotated[str, Field(pattern="^[a-z]+$")], Shape] = {}
    tags: tuple[str, ...] = ()

    @field_validator("title")
    @classmethod
    def _short(cls, title: str) -> str:
        if len(title) > 100:
            raise ValueError("a title has at most 100 characters")
        return title

    @model_validator(mode="after")
    def _named_shapes(self) -> "Drawing":
        if self.title == "empty" and self.shapes:
            raise ValueError("shapes: an empty drawing has none")
        return self


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[str | bytes], str]:
    """Return a function from a file's text to the error message, with the path replaced by FILE."""

    def refuse(text: str | bytes) -> str:
        path = tmp_path / "drawing.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(UserError) as refused:
            read_yaml(path, Drawing, what="drawing")
        assert refused.value.__cause__ is None
        sentence = str(refused.value).replace(str(path), "FILE")
        assert sentence.startswith("The drawing FILE")
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert len(sentence) < 400
        return sentence.removeprefix("The drawing FILE")

    return refuse


def _message(data: Any, model: type[BaseModel]) -> str:
    """The error about data that are refused, or nothing."""
    try:
        check(data, model, where="Here")
    except UserError as refused:
        return str(refused)
    return ""


def test_a_good_file_becomes_the_model(tmp_path: Path) -> None:
    path = tmp_path / "drawing.yaml"
    path.write_text("title: Fläche\nshapes: {a: {side: 2}, b: {radius: 3}}\n", encoding="utf-8")
    read = read_yaml(path, Drawing, what="drawing")
    assert read == Drawing(title="Fläche", shapes={"a": Square(side=2), "b": Circle(radius=3)})


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        read_yaml(tmp_path / "none.yaml", Drawing, what="drawing")
    assert str(refused.value) == f"The drawing {tmp_path / 'none.yaml'} does not exist: check the path."


@pytest.mark.parametrize("name", ["", "file/below", "n" * 300], ids=["a directory", "below a file", "too long a name"])
def test_a_path_that_is_not_a_file_is_reported_in_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("title: a")
    with pytest.raises(UserError, match=r"^The drawing .* (cannot be read as UTF-8 text|does not exist)"):
        read_yaml(tmp_path / name, Drawing, what="drawing")


@pytest.mark.parametrize("content", [b"title: \xff", b"title: \xed\xa0\x80"])
def test_a_file_that_is_not_utf8_is_refused(content: bytes, refusal: Callable[[bytes], str]) -> None:
    assert refusal(content) == " cannot be read as UTF-8 text (UnicodeDecodeError)."


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE"), ("utf-32", "UTF-32")],
)
def test_the_encoding_of_a_file_that_is_not_utf8_is_named(
    encoding: str, name: str, refusal: Callable[[bytes], str]
) -> None:
    assert refusal("title: a\n".encode(encoding)) == (
        f" is text in {name}, but must be UTF-8: save it as UTF-8, or convert it as in `iconv -f {name} -t UTF-8`."
    )


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "drawing.yaml"
    path.write_bytes("title: a\r\ncolour: blue\r\n".encode("utf-8-sig"))
    assert read_yaml(path, Drawing, what="drawing").colour == "blue"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("title: a: b\n", 1),
        ("title: a\ncolour: [red\n", 3),
        ("title: a\n\tcolour: red\n", 2),
        ("title: 'a\n", 2),
        ("title: a\ncolour: *nowhere\n", 2),
        ("title: a\ncolour: !colour red\n", 2),
        ("title: a\n? {a: b}\n: c\n", 2),
        ("title: a\n--- \ntitle: b\n", 2),
        ("!!python/object/apply:os.system ['true']\n", 1),
    ],
)
def test_invalid_yaml_is_reported_with_its_line(text: str, line: int, refusal: Callable[[str], str]) -> None:
    assert f" is not valid YAML at line {line}, column " in refusal(text)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("title: a\ntitle: b\n", 2, "title"),
        ("title: a\nshapes:\n  a: {side: 1}\n  b: {side: 1}\n  a: {side: 2}\n", 5, "a"),
        ("title: a\nshapes: {a: {side: 1, side: 2}}\n", 2, "side"),
        ("title: a\n'title': b\n", 2, "title"),
    ],
)
def test_a_repeated_key_is_refused(text: str, line: int, key: str, refusal: Callable[[str], str]) -> None:
    sentence = refusal(text)
    assert f"at line {line}, column" in sentence
    assert sentence.endswith(f"the key {key!r} is repeated.")


def _repeated(first: str, many: str) -> str:
    """Levels, each of which repeats the one before nine times."""
    levels = [f"a{level}: &a{level} {many.format(','.join(9 * [f'*a{level - 1}']))}\n" for level in range(1, 30)]
    return "".join([f"a0: &a0 {first}\n", *levels, "title: *a29\n"])


@pytest.mark.parametrize(
    "text", [_repeated("[x]", "[{}]"), _repeated("{x: 1}", "{{<<: [{}]}}")], ids=["lists", "merged mappings"]
)
def test_a_file_whose_values_would_fill_the_memory_is_refused(text: str, refusal: Callable[[str], str]) -> None:
    assert refusal(text).endswith("there are more than 1,000,000 values, counted as often as aliases repeat them.")


@pytest.mark.parametrize("text", ["title: &a [*a]\n", "title: &a {<<: *a}\n"])
def test_an_alias_inside_of_what_it_repeats_is_refused(text: str, refusal: Callable[[str], str]) -> None:
    assert refusal(text).endswith("an alias is inside of what it repeats.")


@pytest.mark.parametrize("number", ["1" + ":1" * 3000, "0x" + "f" * 5000, "-1" + "0" * 100])
def test_a_number_that_cannot_be_printed_is_refused(number: str, refusal: Callable[[str], str]) -> None:
    assert refusal(f"title: {number}\n").endswith("a number has more than 100 digits.")


def test_an_alias_repeats_a_value(tmp_path: Path) -> None:
    path = tmp_path / "drawing.yaml"
    path.write_text("title: &a x\nshapes: {a: &b {side: 2}, b: *b, c: {<<: *b}}\ntags: [*a, *a]\n")

    assert read_yaml(path, Drawing, what="drawing") == Drawing(
        title="x", shapes=dict.fromkeys("abc", Square(side=2)), tags=("x", "x")
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", "NoneType"), ("- title\n", "list"), ("title\n", "str"), ("4\n", "int"), ("# a\n", "NoneType")],
)
def test_a_file_that_is_not_a_mapping_is_refused(text: str, kind: str, refusal: Callable[[str], str]) -> None:
    assert refusal(text) == f" must be a mapping of fields to values, not {kind}."


@pytest.mark.parametrize(
    "text",
    [
        "title: 2026-13-45\n",
        "title: a\0b\n",
        "title: !!int ''\n",
        "title: !!bool maybe\n",
        "title: !!timestamp tomorrow\n",
        "title: !!float x\n",
        "title: !!map [a, b]\n",
        "title: !!map a\n",
        "title: !!set [a]\n",
        "title: " + "1" * 5000 + "\n",
        "[" * 5000,
        "{a: " * 5000,
    ],
    ids=lambda text: text.strip()[:24],
)
def test_a_value_that_yaml_cannot_construct_is_reported_in_one_sentence(
    text: str, refusal: Callable[[str], str]
) -> None:
    assert "is not valid YAML" in refusal(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("colour: red\n", "the field title is missing; add it."),
        ("title: a\ncolor: red\n", "the field color is unknown; correct its name to colour, or remove it."),
        ("titel: a\n", "the field titel is unknown; correct its name to title, or remove it."),
        ("title: a\nlanguage: de\n", "the field language is unknown; remove it or correct its name."),
        ("title: a\nshapes: {a: {side: 2, colour: red}}\n", "a.colour is unknown; remove it or correct its name."),
        ("title: a\nshapes: {a: {radius: 2, fill: true}}\n", "a.fill is unknown; correct its name to filled,"),
        ("title: a\ncolour: green\n", "colour is 'green', but the rule is: Input should be 'red' or 'blue'."),
        ("title: 5\n", "title is 5, but the rule is: Input should be a valid string."),
        ("title: a\ntags: [a, 5]\n", "tags.1 is 5, but the rule is: Input should be a valid string."),
        ("title: a\nshapes: {a: {side: 0}}\n", "shapes.a.side is 0, but the rule is: Input should be greater than"),
        ("title: empty\nshapes: {a: {side: 1}}\n", "shapes: an empty drawing has none."),
        ("title: [[a]]\n", "title is a list, but the rule is: Input should be a valid string."),
    ],
)
def test_an_invalid_value_is_reported_with_field_value_and_rule(
    text: str, sentence: str, refusal: Callable[[str], str]
) -> None:
    assert sentence in refusal(text)


def test_the_error_is_about_the_intended_member_of_a_union(
    refusal: Callable[[str], str],
) -> None:
    sentence = refusal("title: a\nshapes: {a: {radius: 0}}\n")
    assert "shapes.a.radius is 0, but the rule is: Input should be greater than or equal to 1." in sentence


def test_an_unknown_field_with_a_capital_is_named(refusal: Callable[[str], str]) -> None:
    assert "the field Colour is unknown" in refusal("title: a\nColour: red\n")


@pytest.mark.parametrize(
    "text",
    [
        f"title: {'t' * 5000}\n",
        f"title: [{'t' * 5000}]\n",
        f"title: a\ncolour: {'t' * 5000}\n",
        f"title: a\n{'t' * 500}: b\n",
        f"title: a\n{'t' * 500}: b\n{'t' * 500}: b\n",
        'title: a\n"a field\\n\\nof three lines": b\n',
        'title: a\ncolour: "a value\\n\\nof three lines"\n',
    ],
    ids=["title", "list", "colour", "unknown field", "key given twice", "field of lines", "value of lines"],
)
def test_long_values_and_line_breaks_are_shortened(text: str, refusal: Callable[[str], str]) -> None:
    refusal(text)  # checks the length and the number of lines


@given(
    st.dictionaries(
        st.sampled_from(["title", "colour", "shapes", "tags", "other"]),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=5)),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_any_data_is_accepted_or_refused_in_one_sentence(data: dict[str, Any]) -> None:
    message = _message(data, Drawing)
    assert not message or (message.startswith("Here: ") and message.endswith("."))


class Account(Strict):
    name: str = Field("a", max_length=5)
    api_key: str = Field("k", max_length=2)
    credentials: "tuple[Account, ...]" = ()

    @field_validator("api_key")
    @classmethod
    def _quoting(cls, value: str) -> str:
        raise ValueError(f"no key is {value}")


class Service(Strict):
    accounts: dict[str, Account] = {}
    sha256: str = Field("", pattern="^[0-9a-f]{4}$")
    tokens: tuple[Account, ...] = ()
    replicas: int = 1


_MARKER = "swordfish"
_SECRET_NAMES = st.sampled_from(
    ["sha256", "SECRET", "client_secret", "tokens", "api_key", "apiKey", "Password", "credentials", "db_password_file"]
)
_NAMES = st.sampled_from(["accounts", "replicas", "name", "other"])
_SECRETS = st.recursive(
    st.sampled_from([_MARKER, f"{_MARKER} and more", _MARKER.encode()]),
    lambda inner: st.lists(inner, min_size=1, max_size=2) | st.dictionaries(_NAMES, inner, min_size=1, max_size=2),
    max_leaves=3,
)
_FILES = st.recursive(
    st.dictionaries(_SECRET_NAMES, _SECRETS, min_size=1, max_size=2),
    lambda inner: st.dictionaries(_NAMES, inner | st.lists(inner, max_size=2), min_size=1, max_size=2),
    max_leaves=4,
)


@given(_FILES)
def test_no_error_shows_a_value_that_may_be_secret(data: dict[str, Any]) -> None:
    assert _MARKER not in _message(data, Service)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"sha256": _MARKER}, "sha256 is (not shown), but the rule is: String should match pattern"),
        ({"tokens": [{"name": _MARKER}]}, "tokens.0.name is (not shown), but the rule is: String should have at most"),
        ({"tokens": {"a": _MARKER}}, "tokens is (not shown), but the rule is: Input should be a valid tuple"),
        ({"accounts": {"a": {"api_key": "ab"}}}, "api_key is (not shown), but the rule is: no key is (not shown)."),
        (
            {"replicas": {"password": _MARKER}},
            "replicas is a mapping, but the rule is: Input should be a valid integer",
        ),
        ({"replicas": [{"password": _MARKER}]}, "replicas is a list, but the rule is: Input should be a valid integer"),
        ({"passwort_token": _MARKER}, "the field passwort_token is unknown"),
        ({"replicas": "many"}, "replicas is 'many', but the rule is: Input should be a valid integer"),
    ],
)
def test_a_value_that_may_be_secret_is_replaced(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        check(data, Service, where="Here")
    assert f"Here: {sentence}" in str(refused.value) or f"Here: accounts.a.{sentence}" in str(refused.value)
    assert _MARKER not in str(refused.value)


@pytest.mark.parametrize(
    "value", [f"*{_MARKER}", f"!{_MARKER} x", f"!!{_MARKER} x", f"!{_MARKER}!x y", f"&a{_MARKER} [&a{_MARKER} 1]"]
)
def test_a_secret_that_yaml_reads_as_something_else_is_not_shown(value: str, refusal: Callable[[str], str]) -> None:
    sentence = refusal(f"title: a\npassword: {value}\n")
    assert "line 2" in sentence
    assert _MARKER not in sentence


def test_what_yaml_found_instead_of_a_value_is_shown(refusal: Callable[[str], str]) -> None:
    assert "found character '@' that cannot start any token" in refusal("title: @a\n")


class Line(Strict):
    kind: Literal["line"]


class Arc(Strict):
    kind: Literal["arc"]


class Sketch(Strict):
    part: Annotated[Line | Arc, Field(discriminator="kind")]


def test_a_value_that_is_none_of_a_list_is_answered_with_the_one_that_was_meant(
    refusal: Callable[[str], str],
) -> None:
    expected = ": colour is 'bleu', but the rule is: Input should be 'red' or 'blue' (did you mean blue?)."
    assert refusal("title: a\ncolour: bleu\n") == expected
    assert "did you mean" not in refusal("title: a\ncolour: green-ish\n")
    with pytest.raises(UserError) as refused:
        check({"part": {"kind": "lines"}}, Sketch, where="It")
    assert str(refused.value) == (
        "It: part.kind is 'lines', but the rule is: it is one of 'line', 'arc' (did you mean line?)."
    )
