"""The pages in a real browser: the demo as its user starts it, a visitor, an agent, a secret that is regenerated."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocket, expect, sync_playwright

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass
class Demo:
    """A running ``chatgateway demo``, and what it printed."""

    folder: Path
    visitor: str
    agent: str
    regenerate: list[str]

    @property
    def gateway(self) -> str:
        return self.agent.partition("/agent")[0]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "chatgateway", "demo", "--data", "data"]
    command += ["--port", str(free_port()), "--site-port", str(free_port())]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "key regenerate" in line:
            break
    else:
        pytest.fail(f"the demo did not start: {said}")
    visitor = re.search(r"visitor\s+(http\S+)", said)
    agent = re.search(r"agent\s+(http\S+)", said)
    assert visitor and agent, said
    yield Demo(folder, visitor[1], agent[1], shlex.split(said.strip().splitlines()[-1]))
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        reason = "no Chromium is installed: the pages were not tried in a browser"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Faults(list[str]):
    """What pages complained of in their consoles."""

    def hear(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on("console", lambda said: self.append(said.text) if said.type in ("error", "warning") else None)


@pytest.fixture
def faults() -> Iterator[Faults]:
    """No test may leave an error or a warning in a console."""
    faults = Faults()
    yield faults
    assert faults == []


@pytest.fixture
def new_browser(browser: Browser, faults: Faults) -> Iterator[Callable[..., Page]]:
    """Open a page in a browser that nobody has used before."""
    opened: list[BrowserContext] = []

    def new(**about: object) -> Page:
        size = {"width": 1280, "height": 860}
        context = browser.new_context(viewport=size, reduced_motion="reduce", **about)  # type: ignore[arg-type]
        context.set_default_timeout(10_000)
        context.on("page", faults.hear)
        opened.append(context)
        return context.new_page()

    yield new
    for context in opened:
        context.close()


@pytest.fixture(scope="module")
def signed_in_agent(browser: Browser, demo: Demo) -> str:
    """An agent's storage after the one-time link was used."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(demo.agent)
    expect(page.locator(".desk")).to_be_visible()
    # The secret of the link is not left where shoulders, histories and screenshots find it.
    assert page.url == f"{demo.gateway}/agent"
    state = str(demo.folder / "agent.json")
    context.storage_state(path=state)
    context.close()
    return state


@pytest.fixture
def visitor(new_browser: Callable[..., Page], demo: Demo) -> Page:
    page = new_browser()
    page.goto(demo.visitor)
    return page


@pytest.fixture
def agent(new_browser: Callable[..., Page], demo: Demo, signed_in_agent: str) -> Page:
    page = new_browser(storage_state=signed_in_agent)
    page.goto(f"{demo.gateway}/agent")
    expect(page.locator(".desk[data-status=live]")).to_be_visible()
    return page


def write(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answer(page: Page, text: str) -> None:
    page.get_by_label("Reply").fill(text)
    page.keyboard.press("Enter")


def open_chat(page: Page) -> None:
    page.get_by_role("button", name="Open chat").click()
    expect(page.locator(".panel[data-status=live]")).to_be_visible()


def log_in(page: Page, name: str) -> None:
    page.get_by_role("button", name=f"Log in as {name}").click()
    expect(page.locator(".panel")).to_have_attribute("data-identity", "signed")


def choose(page: Page, preview: str) -> None:
    page.locator(".row", has_text=preview).click()


class TestAConversation:
    def test_goes_both_ways_live_with_typing_and_read_marks(self, visitor: Page, agent: Page) -> None:
        open_chat(visitor)
        write(visitor, "Is anybody there?")
        expect(visitor.locator(".entry.mine .state.sent")).to_be_visible()
        choose(agent, "Is anybody there?")
        expect(visitor.locator(".entry.mine .state.seen")).to_be_visible()
        agent.get_by_label("Reply").press_sequentially("Yes")
        expect(visitor.locator(".typing .dots")).to_be_visible()
        agent.keyboard.press("Enter")
        expect(visitor.locator(".entry.theirs .bubble")).to_have_text("Yes")
        expect(visitor.get_by_role("log")).to_contain_text("Yes")
        expect(agent.locator(".entry.mine .state.seen")).to_be_visible()

    def test_shows_markup_as_text(self, visitor: Page, agent: Page) -> None:
        open_chat(visitor)
        write(visitor, "<img src=x onerror=alert(1)> markup")
        choose(agent, "markup")
        expect(agent.locator(".bubble")).to_have_text("<img src=x onerror=alert(1)> markup")
        expect(agent.locator(".bubble img")).to_have_count(0)

    def test_is_still_there_after_a_reload(self, visitor: Page) -> None:
        open_chat(visitor)
        write(visitor, "Remember me")
        expect(visitor.locator(".state.sent")).to_be_visible()
        visitor.reload()
        expect(visitor.locator(".bubble")).to_have_text("Remember me")

    def test_is_shared_by_the_tabs_of_an_anonymous_visitor(self, visitor: Page, demo: Demo) -> None:
        open_chat(visitor)
        write(visitor, "From the first tab")
        expect(visitor.locator(".state.sent")).to_be_visible()
        other = visitor.context.new_page()
        other.goto(demo.visitor)
        open_chat(other)
        expect(other.locator(".bubble")).to_have_text("From the first tab")
        write(other, "From the second tab")
        expect(visitor.locator(".bubble")).to_have_text(["From the first tab", "From the second tab"])

    def test_hides_notes_from_the_visitor(self, visitor: Page, agent: Page) -> None:
        open_chat(visitor)
        write(visitor, "A difficult question")
        choose(agent, "A difficult question")
        agent.get_by_role("button", name="Note", exact=True).click()
        answer(agent, "Ask Grace")
        expect(agent.locator(".entry.note .bubble")).to_have_text("Ask Grace")
        answer(agent, "We are looking into it")
        expect(visitor.locator(".entry.theirs .bubble")).to_have_text("We are looking into it")
        expect(visitor.get_by_text("Ask Grace")).to_have_count(0)

    def test_can_be_resolved_and_reopened(self, visitor: Page, agent: Page) -> None:
        open_chat(visitor)
        write(visitor, "Soon settled")
        choose(agent, "Soon settled")
        agent.get_by_role("button", name="Assign to me").click()
        expect(agent.get_by_role("button", name="Unassign me")).to_be_visible()
        agent.get_by_role("button", name="Resolve", exact=True).click()
        expect(visitor.locator(".divider.resolved")).to_be_visible()
        expect(agent.locator(".row", has_text="Soon settled")).to_have_count(0)
        agent.get_by_role("button", name="Reopen").click()
        expect(agent.locator(".row", has_text="Soon settled")).to_be_visible()


class TestSigningIn:
    def test_shows_the_badge_live_and_leaves_earlier_messages_as_they_were(self, visitor: Page, agent: Page) -> None:
        open_chat(visitor)
        write(visitor, "Who am I?")
        choose(agent, "Who am I?")
        expect(agent.locator(".entry .badge")).to_have_text("Anonymous")
        log_in(visitor, "Ada")
        expect(visitor.locator(".bubble")).to_have_text("Who am I?")
        expect(visitor.locator(".divider.signed_in")).to_have_text("You signed in as Ada Lovelace")
        expect(agent.locator(".talk-mark")).to_have_text("Signed in as Ada Lovelace")
        expect(agent.locator(".banner")).to_contain_text("not yet confirmed as theirs")
        write(visitor, "Ada, as you see")
        expect(agent.locator(".entry .badge")).to_have_text(["Anonymous", "Signed in as Ada Lovelace"])
        expect(visitor.locator(".own-mark")).to_have_count(1)

    def test_brings_the_history_to_another_browser(self, new_browser: Callable[..., Page], demo: Demo) -> None:
        home, work = new_browser(), new_browser()
        home.goto(demo.visitor)
        log_in(home, "Grace")
        open_chat(home)
        write(home, "Said at home")
        expect(home.locator(".state.sent")).to_be_visible()
        work.goto(demo.visitor)
        log_in(work, "Grace")
        open_chat(work)
        expect(work.locator(".bubble")).to_have_text("Said at home")
        write(work, "Said at work")
        expect(home.locator(".bubble").last).to_have_text("Said at work")

    def test_ends_with_the_logout_and_leaves_nothing_behind(self, visitor: Page) -> None:
        log_in(visitor, "Ada")
        open_chat(visitor)
        write(visitor, "Nobody else may read this")
        expect(visitor.locator(".state.sent")).to_be_visible()
        credentials = "JSON.stringify([{...localStorage}, {...sessionStorage}])"
        before = set(re.findall(r"cgv_[\w.-]+", visitor.evaluate(credentials)))
        visitor.get_by_role("button", name="Log out").click()
        expect(visitor.get_by_role("button", name="Log in as Ada")).to_be_visible()
        expect(visitor.locator(".panel[data-status=live][data-identity=anonymous]")).to_be_visible()
        expect(visitor.get_by_text("Nobody else may read this")).to_have_count(0)
        after = set(re.findall(r"cgv_[\w.-]+", visitor.evaluate(credentials)))
        assert before
        assert after.isdisjoint(before)


class TestARegeneratedSecret:
    def test_cuts_the_signed_session_off_and_the_page_recovers_by_itself(
        self, visitor: Page, agent: Page, demo: Demo
    ) -> None:
        said: list[str] = []
        visitor.on("websocket", lambda live: live.on("framereceived", lambda data: said.append(str(data))))
        log_in(visitor, "Ada")
        open_chat(visitor)
        write(visitor, "Before the change")
        expect(visitor.locator(".state.sent")).to_be_visible()
        visitor.get_by_label("Message", exact=True).fill("half a thou")
        with visitor.expect_event("websocket", timeout=20_000):
            done = subprocess.run([*demo.regenerate, "--yes"], cwd=demo.folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        expect(visitor.locator(".panel")).to_have_attribute("data-status", "live")
        expect(visitor.locator(".panel")).to_have_attribute("data-identity", "signed")
        assert any('"code":4301' in frames for frames in said)
        expect(visitor.get_by_label("Message", exact=True)).to_have_value("half a thou")
        write(visitor, "After the change")
        choose(agent, "After the change")
        expect(agent.locator(".entry .bubble").last).to_have_text("After the change")
        expect(agent.locator(".entry .badge").last).to_have_text("Signed in as Ada Lovelace")


class TestTheWidget:
    def test_opens_no_socket_for_an_anonymous_visitor_before_the_first_click(self, visitor: Page) -> None:
        sockets: list[WebSocket] = []
        visitor.on("websocket", lambda live: sockets.append(live))
        visitor.reload()
        expect(visitor.get_by_role("button", name="Open chat")).to_be_visible()
        assert sockets == []
        open_chat(visitor)
        assert len(sockets) == 1

    def test_works_with_the_keyboard_alone(self, visitor: Page) -> None:
        launcher = visitor.get_by_role("button", name="Open chat")
        launcher.focus()
        visitor.keyboard.press("Enter")
        expect(visitor.get_by_label("Message", exact=True)).to_be_focused()
        visitor.keyboard.type("No mouse here")
        visitor.keyboard.press("Enter")
        expect(visitor.locator(".state.sent")).to_be_visible()
        visitor.keyboard.press("Escape")
        expect(visitor.get_by_role("dialog")).to_have_count(0)
        expect(visitor.get_by_role("button", name="Open chat")).to_be_focused()

    def test_may_be_loaded_twice(self, visitor: Page) -> None:
        expect(visitor.locator("chatgateway-widget")).to_have_count(1)
        visitor.evaluate(
            """() => new Promise((loaded) => {
                const first = document.querySelector("script[data-app]")
                const policy = trustedTypes.createPolicy("test", { createScriptURL: (url) => url })
                const again = document.createElement("script")
                again.src = policy.createScriptURL(first.src)
                again.dataset.app = first.dataset.app
                again.onload = loaded
                document.head.append(again)
            })"""
        )
        open_chat(visitor)
        expect(visitor.locator("chatgateway-widget")).to_have_count(1)

    def test_keeps_a_draft_from_page_to_page(self, visitor: Page) -> None:
        open_chat(visitor)
        visitor.get_by_label("Message", exact=True).fill("half a thou")
        visitor.reload()
        expect(visitor.get_by_label("Message", exact=True)).to_have_value("half a thou")

    def test_covers_a_phone_and_lets_go_of_it(self, visitor: Page) -> None:
        visitor.set_viewport_size({"width": 390, "height": 800})
        open_chat(visitor)
        box = visitor.locator(".panel").bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (390, 800)
        visitor.get_by_role("button", name="Close chat").click()
        expect(visitor.get_by_role("button", name="Open chat")).to_be_focused()

    def test_goes_when_it_is_destroyed(self, visitor: Page) -> None:
        open_chat(visitor)
        visitor.evaluate("chatgateway.destroy()")
        expect(visitor.locator("chatgateway-widget")).to_have_count(0)


class TestTheLoginLink:
    def test_signs_in_only_once(
        self, new_browser: Callable[..., Page], demo: Demo, signed_in_agent: str, faults: Faults
    ) -> None:
        page = new_browser()
        page.goto(demo.agent)
        expect(page.get_by_role("alert")).not_to_be_empty()
        expect(page.locator(".desk")).to_have_count(0)
        # A refused request is named in the console by the browser itself.
        assert len(faults) == 1
        faults.clear()
