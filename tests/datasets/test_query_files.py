"""Files of labels and rules, as editors save them."""

from pathlib import Path

from rawless.datasets.query_files import find_query


def test_a_byte_order_mark_and_line_ends_of_windows_are_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    text = "/* says: nothing */\nSELECT 1\n"
    (folder / "mine.sql").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))

    assert find_query("rules", "mine", tmp_path).text == text
