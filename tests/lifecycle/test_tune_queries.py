"""What queries are encoded to while a tower is tuned on them."""

import torch

from encoders.load import build
from encoders.spec import EncoderSpec
from rawless.lifecycle.tune_queries import encode_queries
from rawless.privacy import Raw


def test_queries_keep_their_order_whatever_their_lengths(tiny_sealed: EncoderSpec) -> None:
    encoder = build(tiny_sealed, torch.device("cpu"))
    texts = ["a bill that was paid twice", "card", "what is my balance", "lost it"]
    items = [encoder.prepare(Raw(text.encode()), role="query") for text in texts]

    alone = torch.cat([encode_queries(encoder, [item]) for item in items])

    assert len(torch.unique(alone, dim=0)) == len(texts)
    torch.testing.assert_close(encode_queries(encoder, items), alone)
