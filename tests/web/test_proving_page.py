"""The email step in a real browser: the demo as its user starts it, a visitor, and the page with the mails."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.web.test_pages import browser, faults, free_port, new_browser

pytestmark = pytest.mark.browser
__all__ = ["browser", "faults", "new_browser"]


@dataclass
class Demo:
    visitor: str
    mails: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    command = [sys.executable, "-m", "chatgateway", "demo", "--data", "data", "--policy", "email"]
    command += ["--port", str(free_port()), "--site-port", str(free_port())]
    folder: Path = tmp_path_factory.mktemp("demo")
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if "key regenerate" in line:
                    break
            visitor, mails = re.search(r"visitor\s+(http\S+)", said), re.search(r"mails\s+(http\S+)", said)
            assert visitor and mails, said
            yield Demo(visitor[1], mails[1])
        finally:
            process.send_signal(signal.SIGTERM)


def code_of_the_newest_mail(page: Page) -> str:
    found = re.search(r"\b\d{6}\b", page.locator("li").first.inner_text())
    assert found is not None
    return found[0]


def test_a_visitor_confirms_an_address_with_the_keyboard_alone_and_then_writes(
    demo: Demo, new_browser: Callable[..., Page]
) -> None:
    page, mails = new_browser(), new_browser()
    page.goto(demo.visitor)
    page.get_by_role("button", name="Open chat").press("Enter")
    address = page.get_by_label("Your email address")
    expect(address).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_be_hidden()
    address.press("Tab")
    address.press_sequentially("nobody")
    address.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="email address")).to_be_visible()
    expect(address).to_have_attribute("aria-invalid", "true")
    address.fill("visitor@elsewhere.example")
    address.press("Enter")
    code = page.get_by_label("The six digits of the code")
    expect(code).to_be_focused()

    mails.goto(demo.mails)
    expect(mails.get_by_role("heading", name="Your code for Demo")).to_be_visible()
    right = code_of_the_newest_mail(mails)
    code.press_sequentially(f"{(int(right) + 1) % 10**6:06}")
    code.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="wrong or too old")).to_be_visible()
    code.fill(f"{right[:3]} {right[3:]}")
    code.press("Enter")

    message = page.get_by_label("Message", exact=True)
    expect(message).to_be_focused()
    message.press_sequentially("Now I may write")
    message.press("Enter")
    expect(page.get_by_role("group", name="Messages").locator("li").filter(has_text="Now I may write")).to_contain_text(
        "Sent"
    )
    # The next page, and the next visit: nobody asks again.
    page.reload()
    expect(page.get_by_role("group", name="Messages").get_by_text("Now I may write")).to_be_visible()
    expect(page.get_by_label("Your email address")).to_be_hidden()
