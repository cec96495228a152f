"""Parts of a statement's text by their place in its syntax tree."""

from typing import Any


def leaf(node: Any) -> Any:
    """Return the node of the most specific kind that a message of several kinds contains."""
    while node.DESCRIPTOR.oneofs and (kind := node.WhichOneof(node.DESCRIPTOR.oneofs[0].name)):
        node = getattr(node, kind)
    return node


def kind_of(statement: Any) -> str:
    """Return the kind of a statement, such as `create_table`."""
    name = type(statement).__name__.removeprefix("AST").removesuffix("StatementProto")
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in name).lstrip("_")


def identifier(path: Any) -> str:
    """Return the name that a path spells."""
    return ".".join(each.id_string for each in leaf(path).names)


class Source:
    """The text of a statement with its syntax tree."""

    def __init__(self, sql: str, tree: Any) -> None:
        self.sql = sql
        self.statement = leaf(tree)
        self._bytes = sql.encode()  # places are counted in bytes

    def text(self, node: Any) -> str:
        """Return the text of a part."""
        node = leaf(node)
        while "parse_location_range" not in node.DESCRIPTOR.fields_by_name:
            node = node.parent
        place = node.parse_location_range
        return self._bytes[place.start : place.end].decode()
