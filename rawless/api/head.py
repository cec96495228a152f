"""A head: its answers for vectors, its evaluation, and its charts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rawless.api.shown import table
from rawless.errors import UserError
from rawless.heads import artefact
from rawless.heads.artefact import HeadManifest
from rawless.heads.evaluation import Evaluation
from rawless.heads.session import HeadSession, open_head

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Head:
    """A shallow model on frozen vectors, which answers in this process."""

    def __init__(self, folder: Path, warnings: tuple[str, ...] = ()) -> None:
        """Open the head in a folder. Raises UserError."""
        self.folder = folder
        self._session: HeadSession = open_head(folder)
        self.evaluation: Evaluation | None = artefact.read_evaluation(folder)
        """The evaluation on the test split; None for a head that was trained elsewhere."""
        self.warnings = warnings
        """What its training warned of."""

    @property
    def manifest(self) -> HeadManifest:
        """What the head is, which vectors it takes and what it returns."""
        return self._session.manifest

    @property
    def encoder(self) -> str:
        """The encoder whose vectors it takes, as NAME@VERSION."""
        return self.manifest.encoder_ref

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the probabilities."""
        return self.manifest.classes

    @property
    def measures(self) -> pd.DataFrame:
        """The measures on the test split with their 95% intervals, of the head and of the baselines."""
        found = self._evaluated()
        models = {f"{self.manifest.head}@{self.manifest.version}": found.measures, **found.baselines}
        rows = [{"model": model, **measure._asdict()} for model, each in models.items() for measure in each]
        return pd.DataFrame(rows, columns=["model", "name", "value", "low", "high"])

    def predict(self, vectors: Any, right: Any = None, *, features: Any = None, tenants: Any = None) -> pd.DataFrame:
        """Return the answers for vectors, one row for each, with the index of a frame or series.

        `vectors` are what `Encoder.encode` returns, a snapshot's frame, its column `embedding`, an array or tensor of
        shape (rows, width), lists, or a single vector. A head of pairs takes the second vectors as `right`. `features`
        are a frame or a dict of lists, `tenants` a list or one for all; both are found in a snapshot's frame.

        Columns are `prediction`, `confidence`, `in_domain` and `probability.CLASS` for classes, `value` for a number,
        `prediction` and `score` for pairs, `embedding` for mapped queries, and `reason` where an item was rejected when
        it was encoded. Raises UserError for vectors that the head cannot take.
        """
        from rawless.api.predict import predict

        return predict(self._session, vectors, right, features, tenants)

    def plot(self, kind: str | None = None) -> "go.Figure":
        """Return a chart of the evaluation: by default the confusion matrix, or the measures if there is none.

        Raises UserError for a chart that the evaluation has no data for, and without plotly.
        """
        from rawless.report import check_installed

        check_installed()
        from rawless.api.plots import head_figures, one_of

        name = f"{self.manifest.head}@{self.manifest.version}"
        charts = () if self.evaluation is None else head_figures(name, self.evaluation)
        return one_of(charts, kind, f"The head {name}")

    def __repr__(self) -> str:
        manifest = self.manifest
        main = f": {self.evaluation.main.name} {self.evaluation.main}" if self.evaluation else ""
        return f"Head {manifest.head}@{manifest.version} ({manifest.kind}) on vectors of {manifest.encoder_ref}{main}"

    def _repr_html_(self) -> str:
        if self.evaluation is None:
            return table(repr(self), ["classes"], [[", ".join(self.classes)]])
        baselines = {
            name: {measure.name: measure for measure in each} for name, each in self.evaluation.baselines.items()
        }
        rows = [
            [measure.name, measure, *(each.get(measure.name, "") for each in baselines.values())]
            for measure in self.evaluation.measures
        ]
        title = f"{self!r}, on {self.evaluation.rows['test']:,} test rows"
        return table(title, ["measure", "head", *baselines], rows)

    def _evaluated(self) -> Evaluation:
        if self.evaluation is None:
            raise UserError(
                f"The head {self.manifest.head}@{self.manifest.version} was trained elsewhere and has no evaluation: "
                "evaluate it by `rawless head show NAME --snapshot REF`."
            )
        return self.evaluation
