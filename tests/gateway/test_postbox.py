"""The demo's mails are shown to whoever runs the demo, as text, and to nobody elsewhere."""

from __future__ import annotations

from tests.gateway.indoors import Indoors

from chatgateway.gateway.postbox import KEPT_MAX, Postbox
from chatgateway.outside.mail import Mail


def mail(subject: str, text: str = "") -> Mail:
    return Mail(to="a@x.co", subject=subject, text=text, id=subject)


async def test_shows_the_newest_first_as_text_under_a_strict_policy(indoors: Indoors) -> None:
    indoors.parts.mailer = box = Postbox()
    for one in (mail("Old"), mail("<script>New", "<img src=x>")):
        await box.send(one)
    async with indoors.browser() as browser:
        page = await browser.get("/demo/outbox")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert page.text.index("&lt;script&gt;New") < page.text.index("Old")
    assert "<img" not in page.text


async def test_is_nowhere_but_in_the_demo(indoors: Indoors) -> None:
    async with indoors.browser() as browser:
        assert (await browser.get("/demo/outbox")).status_code == 404


async def test_keeps_no_more_than_it_may() -> None:
    box = Postbox()
    for number in range(KEPT_MAX + 10):
        await box.send(mail(str(number)))
    assert [one.subject for one in box.letters][:2] == [str(KEPT_MAX + 9), str(KEPT_MAX + 8)]
    assert len(box.letters) == KEPT_MAX
