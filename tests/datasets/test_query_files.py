"""Files of labels and rules: as editors save them, and refused before they take all memory or any time."""

import re
from pathlib import Path

import pytest

from rawless.datasets.compile import CompiledDataset, compile_dataset
from rawless.datasets.dataset import Dataset
from rawless.datasets.query_files import Query, find_query, parse_header
from rawless.datasets.spec import DatasetSpec
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig
from rawless.warehouse.tables import FOLDER
from tests.shop import LABEL, SPEC

WAREHOUSE = Warehouse(
    WarehouseConfig(project="local-dev", events="e", snapshots="s", builds="b", subjects="u", audit="a")
)
REPEATED = "".join(f"a{level}: &a{level} [{','.join(9 * [f'*a{level - 1}'])}]\n" for level in range(1, 30))
HEADER = "says: Keeps some.\nwithout_subject: keep\nparameters: {closed: {type: source, default: account_closed}}\n"


def _compile(header: str, jinja: str) -> CompiledDataset:
    sql = f"SELECT event.example_id, event.event_id FROM event WHERE event.person_key {jinja}"
    dataset = Dataset(
        spec=DatasetSpec.model_validate(SPEC | {"rules": ["own"]}),
        label=Query(folder="labels", name="confirmed_upload", text=LABEL),
        rules=(Query(folder="rules", name="own", text=f"/*\n{header}*/\n{sql}"),),
    )
    return compile_dataset(WAREHOUSE, dataset)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (f"a0: &a0 [x]\n{REPEATED}", "more than 1,000,000 values"),
        (f"{HEADER}says: Keeps all.\n", "the key 'says' is repeated"),
        (f"{HEADER}constants: !!map x\n", "is not valid YAML"),
        ("- x\n", "must be a mapping"),
    ],
    ids=["aliases", "repeated key", "tag", "list"],
)
def test_a_header_that_is_not_plain_yaml_is_refused(header: str, problem: str) -> None:
    with pytest.raises(UserError, match=f"^The comment at the top of the rule own .*{problem}"):
        _compile(header, "IS NULL")


@pytest.mark.parametrize(
    "jinja",
    [
        "= '{{ 'a' * 3000000000 }}'",
        "= '{{ 'a'|center(3000000000) }}'",
        "= '{{ '%03000000000d' % 1 }}'",
        "= {% for i in range(99999) %}{% for j in range(99999) %} {% endfor %}{% endfor %} 1",
        "= {% macro m() %}{{ m() }}{% endmacro %} 1",
        "= {% include 'rules/sample.sql' %}",
        "= '{{ closed.upper() }}'",
    ],
)
def test_jinja_other_than_names_and_conditions_is_refused(jinja: str) -> None:
    with pytest.raises(UserError, match=r"only names in \{\{ … \}\} and conditions are allowed; fix it"):
        _compile(HEADER, jinja)


def test_names_and_conditions_are_rendered() -> None:
    compiled = _compile(
        HEADER, "IN (SELECT {{ closed }}.person_key FROM {{ closed }}) {% if not closed %} x {% endif %}"
    )

    assert compiled.rules[0].sql.endswith(" IN (SELECT account_closed.person_key FROM account_closed) ")


def test_a_byte_order_mark_and_line_ends_of_windows_are_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    text = "/* says: nothing */\nSELECT 1\n"
    (folder / "mine.sql").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))

    assert find_query("rules", "mine", tmp_path).text == text


@pytest.mark.parametrize(
    "file", sorted([*FOLDER.glob("rules/*.sql"), *FOLDER.glob("labels/*.sql")]), ids=lambda file: file.stem
)
def test_the_names_that_a_built_in_query_defines_are_two_words_so_that_no_table_has_them(file: Path) -> None:
    names = re.findall(r"^(?:WITH )?(\w+) AS \($", file.read_text(), re.MULTILINE)

    assert [name for name in names if "_" not in name] == []


def test_the_guide_lists_the_parameters_of_every_built_in_label_and_rule() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for folder in ("labels", "rules"):
        for file in FOLDER.joinpath(folder).glob("*.sql"):
            header = parse_header(Query(folder=folder, name=file.stem, text=file.read_text()))  # type: ignore[arg-type]
            # A label has rows below its own, a rule one row.
            rows = re.search(
                rf"^\| `{file.stem}\b.*\n(?:\| \| .*\n)*", guide[guide.index("| parameter |") :], re.MULTILINE
            )
            assert rows, file.stem
            documented = {*re.findall(r"\w+", rows[0])}
            assert {*header.parameters} - documented == set(), file.stem
