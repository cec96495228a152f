"""Synthetic embedding rows for the benchmarks of the sink and of datasets."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from rawless.warehouse.rows import EmbeddingRow


def make_rows(stream: str, subjects: Sequence[str], times: Sequence[datetime], dimension: int) -> list[EmbeddingRow]:
    """Return one row for each pair of subject and time, with the same random vectors in every call."""
    rng = np.random.default_rng(0)
    return [
        EmbeddingRow(
            stream=stream,
            event_id=f"e-{number}",
            subject_key=subject,
            subject_key_id="0" * 16,
            occurred_at=time,
            logged_at=time,
            origin="ingest",
            caller_key=None,
            modality="text",
            encoder="bench",
            encoder_version="1.0.0",
            encoder_fingerprint="0" * 64,
            embedding=rng.standard_normal(dimension, np.float32),
            truncated=False,
            attributes=(("channel", "chat"),),
        )
        for number, (subject, time) in enumerate(zip(subjects, times, strict=True))
    ]
