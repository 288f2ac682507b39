"""docs/subscribe.html in a real browser: Debian's Chromium, without a window."""

import http.server
import json
import os
import signal
import threading

import pytest

from harness import binaries, browser
from harness.client import expect
from harness.wait import until

DOCS = os.path.join(binaries.SOURCE, "docs")
ROWS = """[...document.querySelectorAll("#rows tr.event")].reverse()
    .map((row) => [...row.children].map((cell) => cell.textContent))"""
NOTES = """[...document.querySelectorAll("#rows tr.note")].reverse().map((row) => row.textContent)"""


class Pages(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=DOCS)

    def log_message(self, *_):
        pass


@pytest.fixture
def pages():
    """A server of the documents, on the machine's own name and on its address: two origins."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def chromium(tmp_path):
    if not browser.is_there():
        assert os.getuid() != 0, "chromium is not installed: make deps"
        pytest.skip("chromium is not installed (make deps installs it as root)")
    started = browser.Browser(tmp_path / "chromium.log")
    yield started
    started.close()


def fill_in(page, **fields):
    for name, value in fields.items():
        page.run(f"document.getElementById({json.dumps(name)}).value = {json.dumps(value)}; 0")


def subscribe(page, **fields):
    fill_in(page, **fields)
    page.run("document.getElementById('start').click()")


def wait_state(page, beginning):
    page.wait(
        f"document.getElementById('state').textContent.startsWith({json.dumps(beginning)})",
        f"the page's state is {beginning}",
    )


def publish(client, topic, *data):
    """[(index, topic, data)], as JSON"""
    return [
        [expect(client.post("/events", {"topic": topic, "data": one}), 200).index, topic, one]
        for one in data
    ]


def shown(page):
    """The events in the page, as publish returns them."""
    return [[int(index), topic, json.loads(data)] for index, _, topic, data in page.run(ROWS)]


def wait_shown(page, wanted):
    """Exactly these events, in this order, each once."""
    until(lambda: len(shown(page)) >= len(wanted), f"{len(wanted)} events", 20, 0.05)
    assert shown(page) == wanted


def test_page_shows_events_and_misses_none_when_gateway_is_killed(make_cluster, pages, chromium):
    origin = f"http://127.0.0.1:{pages}"
    cluster = make_cluster(sessions={"allowedOrigins": [origin]}).start()
    node = cluster.nodes[0]
    client = cluster.tenant("browser")
    publish(client, "news/before", "not for who subscribes later")
    page = chromium.open(f"{origin}/subscribe.html")
    url = f"http://127.0.0.1:{node.http_port}"
    subscribe(page, url=url, token=client.token, topic="news/*")
    wait_state(page, "subscribed")
    wanted = publish(
        client,
        "news/<b>bold</b>",
        "<img src=x onerror=document.title='hurt'>",
        {"list": [1, 2.5, None, True], "text": "ü ☂ \u2028 \"quoted\""},
        7,
    )
    publish(client, "other", "another topic")
    wait_shown(page, wanted)
    assert page.run("document.querySelectorAll('#rows img, #rows b').length") == 0
    assert page.run("document.title") == "INSI: subscribe"

    # Its gateway dies; what is published while nobody is subscribed comes afterwards.
    for round_number in range(3):
        process, position = node.signal_worker("gateway", signal.SIGKILL)
        assert process.wait_gone(10)
        node.wait_worker_ready("gateway", position)
        client.close()
        wanted += publish(client, "news/later", *[f"{round_number}.{n}" for n in range(20)])
        wait_shown(page, wanted)
    assert len([text for text in page.run(NOTES) if text.startswith("closed with")]) >= 3

    # The key is deleted: the page is told, and stops.
    root = node.root()
    expect(root.delete_key(client.token), 200)
    root.close()
    client.close()
    wait_state(page, "closed with 1008")


def test_page_is_told_of_a_gap_and_one_of_another_origin_of_nothing(make_cluster, pages, chromium):
    """The same server by another name is another origin: not in the list."""
    cluster = make_cluster(
        sessions={"allowedOrigins": [f"http://127.0.0.1:{pages}"]}, events={"retention": "1KiB"}
    ).start()
    client = cluster.tenant("browser")
    page = chromium.open(f"http://localhost:{pages}/subscribe.html")
    url = f"http://127.0.0.1:{cluster.nodes[0].http_port}"
    subscribe(page, url=url, token=client.token, topic="news")
    until(lambda: len(page.run(NOTES)) >= 3, "three attempts were refused", 20, 0.05)
    sent = publish(client, "news", *[str(n) * 500 for n in range(10)])
    until(lambda: len(page.run(NOTES)) >= 4, "a fourth attempt was refused", 20, 0.05)
    assert all(text.startswith("closed with 1006") for text in page.run(NOTES))
    assert shown(page) == []

    page = chromium.open(f"http://127.0.0.1:{pages}/subscribe.html")
    subscribe(page, url=url, token=client.token, topic="news", after=str(sent[0][0]))
    wait_state(page, "subscribed")
    kept = until(lambda: (shown(page)[-1:] == sent[-1:]) and shown(page), "what is retained", 20, 0.05)
    assert kept == sent[-len(kept) :] and len(kept) < 9
    gaps = [text for text in page.run(NOTES) if text.startswith("gap: ")]
    assert gaps == [
        f"gap: what was published from {sent[0][0] + 1} to {kept[0][0] - 1} is retained no more"
    ]
    client.close()
