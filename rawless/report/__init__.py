"""HTML reports on a snapshot and its heads, each in one file that needs no network."""

from importlib.util import find_spec

from rawless.errors import UserError


def check_installed() -> None:
    """Raise UserError unless the optional libraries that reports need are installed."""
    if not all(find_spec(name) for name in ("plotly", "sklearn", "umap")):
        raise UserError("A report needs plotly, scikit-learn and umap-learn: run `pip install 'rawless[report]'`.")
