"""Pages to look at: a snapshot and its heads as one HTML file that needs no network."""

from importlib.util import find_spec

from rawless.errors import UserError


def check_installed() -> None:
    """Raises UserError when a library is not here that only reports need."""
    if not all(find_spec(name) for name in ("plotly", "sklearn", "umap")):
        raise UserError("A report needs plotly, scikit-learn and umap-learn: run `pip install 'rawless[report]'`.")
