"""A service that logs embeddings is held by the leakage gate of its stream like a job."""

from datetime import UTC, datetime

import pytest
import yaml

from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from tests.serving.conftest import TEXT_STREAM, Bench
from tests.warehouse.test_leakage_gate import audit


def test_a_service_logs_only_what_the_gate_of_its_stream_lets_pass(tiny_bench: Bench, warehouse: Warehouse) -> None:
    assert tiny_bench.spec is not None
    gate = {"max": {"words_f1": 0.5}, "max_age": "90d"}
    gated = TEXT_STREAM | {"stream": "gated", "encoders": [tiny_bench.spec.ref], "leakage": gate}
    (tiny_bench.folder / "gated.yaml").write_text(yaml.safe_dump(gated))
    tiny_bench.deploy("topic")
    logged = {"topic": {"stream": "gated.yaml", "log": True}}

    assert tiny_bench.start({"topic": {"stream": "gated.yaml"}}).get("/health").status_code == 200
    with pytest.raises(UserError, match=r"The leakage gate of gated refuses .*: words_f1 must be at most 0\.5, but no"):
        tiny_bench.start(logged, warehouse=warehouse)

    audit(warehouse, encoder_fingerprint=tiny_bench.spec.fingerprint, high=0.4, audited_at=datetime.now(UTC))
    assert tiny_bench.start(logged, warehouse=warehouse).get("/health").status_code == 200
    assert tiny_bench.messages == []
