"""What HTTP asks of every server, which neither the framework nor the server does by itself (RFC 9110)."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def answer_head(app: ASGIApp) -> ASGIApp:
    """Return an app that answers HEAD as GET; the server leaves out the body."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await app({**scope, "method": "GET"} if is_head else scope, receive, send)

    return answering


def close_before_body(app: ASGIApp) -> ASGIApp:
    """Return an app that closes a connection with the response to a body that the caller was not told to send.

    After `Expect: 100-continue` some callers go on with the next request then, which would be read as that body.
    """

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        waits = scope["type"] == "http" and any(name == b"expect" for name, _ in scope["headers"])

        async def tracking_receive() -> Message:
            nonlocal waits
            waits = False
            return await receive()

        async def closing_send(message: Message) -> None:
            if waits and message["type"] == "http.response.start":
                others = [header for header in message.get("headers", ()) if header[0].lower() != b"connection"]
                message = {**message, "headers": [*others, (b"connection", b"close")]}
            await send(message)

        await app(scope, tracking_receive, closing_send)

    return closing
