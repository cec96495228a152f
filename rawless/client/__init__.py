"""A client of services that `rawless serve` runs. It imports httpx and pydantic, and nothing that answers requests.

    with Client("https://heads.example", token=TOKEN) as client:
        client.predict("topic", text="Where is my parcel?").prediction

`Client` and `AsyncClient` have the same methods. Both retry what the service could not answer at the moment.
"""

from rawless.answers import Abstention, Match, Model, Offer, Prediction, Result, Scores
from rawless.client.asynchronous import AsyncClient
from rawless.client.errors import ServiceError
from rawless.client.items import Item
from rawless.client.synchronous import Client

__all__ = [
    "Abstention",
    "AsyncClient",
    "Client",
    "Item",
    "Match",
    "Model",
    "Offer",
    "Prediction",
    "Result",
    "Scores",
    "ServiceError",
]
