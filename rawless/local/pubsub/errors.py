"""Errors that the server returns to its clients."""

import grpc


class PubSubError(Exception):
    """A gRPC status code and one sentence, which never quotes a message."""

    def __init__(self, code: grpc.StatusCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def not_found(what: str) -> PubSubError:
    """Return the error for a topic or subscription that does not exist."""
    return PubSubError(grpc.StatusCode.NOT_FOUND, f"{what} does not exist")


def exists(what: str) -> PubSubError:
    """Return the error for a topic or subscription that exists already."""
    return PubSubError(grpc.StatusCode.ALREADY_EXISTS, f"{what} already exists")


def invalid(sentence: str) -> PubSubError:
    """Return the error for a request that is invalid or that this server does not support."""
    return PubSubError(grpc.StatusCode.INVALID_ARGUMENT, sentence)
