"""The page /docs in a real browser: everything comes from the service, and heads can be tried on it."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page

from encoders.encoder import Encoder
from tests.browser import opened_browser
from tests.serving.conftest import Bench
from tests.serving.test_origins import ACCESS, TOKEN


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened_browser() as browser:
        yield browser


class _Visit:
    """A visit of the page, with what it asked for and complained about."""

    def __init__(self, browser: Browser, client: httpx.Client) -> None:
        self.page: Page = browser.new_page()
        self.urls: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.urls.append(request.url))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self._origin = f"http://{client.base_url.host}:{client.base_url.port}/"
        self.page.goto(f"{self._origin}docs")

    @property
    def foreign(self) -> list[str]:
        return [url for url in self.urls if not url.startswith((self._origin, "data:"))]

    def try_out(self, path: str) -> None:
        """Open an operation, and make it editable."""
        self.page.locator(".opblock-summary-path", has_text=path).first.click()
        self.page.get_by_role("button", name="Try it out").click()

    def execute(self) -> str:
        """Send the request, and return the body of the answer."""
        self.page.get_by_role("button", name="Execute").click()
        return self.page.locator(".live-responses-table .response-col_description .microlight").first.inner_text()


@pytest.mark.full
def test_a_head_is_tried_on_the_page_without_any_other_host(tiny_bench: Bench, browser: Browser) -> None:
    tiny_bench.deploy("topic")
    visit = _Visit(browser, tiny_bench.start({"topic": {}}))

    visit.try_out("/v1/heads/topic/predict")
    answer = visit.execute()

    assert '"prediction"' in answer
    assert visit.errors == []
    assert visit.foreign == []


@pytest.mark.full
@pytest.mark.parametrize(
    ("content_type", "answered"), [("image/png", '"abstention"'), ("multipart/form-data", '"results"')]
)
def test_an_image_is_chosen_on_the_page(
    bench: Bench, browser: Browser, resnet: Encoder, image: bytes, content_type: str, answered: str
) -> None:
    bench.deploy("digit", spec=resnet.spec)
    visit = _Visit(browser, bench.start({"digit": {"stream": "upload.yaml"}}))
    file = bench.folder / "chosen.png"
    file.write_bytes(image)

    visit.try_out("/v1/heads/digit/predict")
    visit.page.get_by_label("Request content type").first.select_option(content_type)
    visit.page.locator("input[type=file]").first.set_input_files(file)
    answer = visit.execute()

    assert answered in answer, visit.page.locator(".curl").first.inner_text()
    assert '"prediction"' in answer
    assert visit.errors == []


@pytest.mark.full
def test_a_service_with_tokens_shows_its_page_only_if_told_and_to_whom_has_one(
    tiny_bench: Bench, browser: Browser
) -> None:
    tiny_bench.deploy("topic")
    silent = tiny_bench.start({"topic": {}}, access=ACCESS)
    visit = _Visit(browser, tiny_bench.start({"topic": {}}, access=ACCESS, docs=True))

    visit.page.get_by_label("Access token").fill("wrong")
    visit.page.get_by_role("button", name="Open").click()
    visit.page.get_by_text("The service does not know this token.").wait_for()
    assert visit.page.locator(".opblock").count() == 0
    visit.page.get_by_label("Access token").fill(TOKEN)
    visit.page.get_by_role("button", name="Open").click()
    visit.try_out("/v1/heads/topic/predict")

    assert '"prediction"' in visit.execute()
    assert silent.get("/docs").status_code == 404


_FETCH = """async (url) => {
    const headers = {"content-type": "application/json", "rawless-event-id": "msg-0001", "authorization": "Bearer a"};
    try {
        const answer = await fetch(url, {method: "POST", headers, body: '{"text": "a"}'});
        return (await answer.json()).event_id;
    } catch {
        return "the browser refused";
    }
}"""


@pytest.mark.full
def test_a_browser_lets_only_pages_of_listed_origins_read_answers(tiny_bench: Bench, browser: Browser) -> None:
    tiny_bench.deploy("topic")
    other = tiny_bench.start({"topic": {}})
    origin = f"http://{other.base_url.host}:{other.base_url.port}"
    closed, listed = tiny_bench.start({"topic": {}}), tiny_bench.start({"topic": {}}, cors={"origins": [origin]})
    page = browser.new_page()
    page.goto(f"{origin}/health")

    answers = [page.evaluate(_FETCH, f"{each.base_url}/v1/heads/topic/predict") for each in (listed, closed)]

    assert answers == ["msg-0001", "the browser refused"]


def test_the_page_forbids_the_browser_to_load_from_elsewhere(tiny_bench: Bench) -> None:
    tiny_bench.deploy("topic")
    client = tiny_bench.start({"topic": {}})

    page, unknown = client.get("/docs"), client.get("/docs/secrets.txt")

    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "not_found")
    assert tiny_bench.start({"topic": {}}, docs=False).get("/docs").status_code == 404
