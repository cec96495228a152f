"""What the server answers when it cannot do what it is asked."""

import grpc


class Fault(Exception):
    """A status code of the protocol and one sentence, which quotes no message."""

    def __init__(self, code: grpc.StatusCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def not_found(what: str) -> Fault:
    """There is no such topic or subscription."""
    return Fault(grpc.StatusCode.NOT_FOUND, f"{what} does not exist")


def exists(what: str) -> Fault:
    """There is one already."""
    return Fault(grpc.StatusCode.ALREADY_EXISTS, f"{what} exists already")


def invalid(sentence: str) -> Fault:
    """A request that breaks a rule of the protocol, or asks for what this server has not."""
    return Fault(grpc.StatusCode.INVALID_ARGUMENT, sentence)
