"""Mails go out encrypted, once, to one address; and what goes wrong is told without address or password."""

from __future__ import annotations

import asyncio
import ssl
import traceback
import urllib.parse
from pathlib import Path

import pytest
from tests.outside.posting import PASSWORD, USER, certificate, listening, open_office

from chatgateway.errors import MailboxRefused, OutsideRefused, OutsideUnavailable, SettingsError
from chatgateway.outside import smtp
from chatgateway.outside.mail import Mail
from chatgateway.outside.smtp import AT_ONCE, Smtp, parse_mail_from, parse_smtp_url, smtp_of
from chatgateway.settings import Secret, Settings

MAIL = Mail(to="ada@shop.example", subject="Your code for Kaffee & Söhne", text="012345 is your code.\n", id="f00")
LOGIN = f"{USER}:{urllib.parse.quote(PASSWORD, safe='')}@"


def mailer(url: str, tls: ssl.SSLContext | None = None) -> Smtp:
    return Smtp(parse_smtp_url(url), parse_mail_from("Shop <chat@gateway.example>"), tls)


def plain(port: int, login: str = "") -> Smtp:
    return mailer(f"smtp://{login}127.0.0.1:{port}?starttls=never")


async def failure(sender: Smtp, mail: Mail = MAIL) -> OutsideUnavailable:
    """Send in vain, and return why; whatever the reason, it tells nobody whom the mail was for, nor how we log in."""
    with pytest.raises(OutsideUnavailable) as caught:
        await sender.send(mail)
    told = "".join(traceback.format_exception(caught.value))
    for private in (mail.to, "ada@", mail.text.strip(), PASSWORD):
        assert private not in told
    return caught.value


class TestAMail:
    async def test_arrives_with_sender_subject_and_text(self) -> None:
        async with open_office() as office:
            await plain(office.port).send(MAIL)
        (mail,), (envelope,) = office.mails, office.envelopes
        assert (mail["From"], mail["To"]) == ("Shop <chat@gateway.example>", "ada@shop.example")
        assert mail["Subject"] == "Your code for Kaffee & Söhne"
        assert mail.get_content().replace("\r\n", "\n") == MAIL.text
        assert mail.get_content_type() == "text/plain"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Date"] is not None
        assert (envelope.mail_from, envelope.rcpt_tos) == ("chat@gateway.example", ["ada@shop.example"])

    async def test_has_the_same_name_at_each_try(self) -> None:
        async with open_office() as office:
            for _ in range(2):
                await plain(office.port).send(MAIL)
        assert {mail["Message-ID"] for mail in office.mails} == {"<f00@gateway.example>"}

    @pytest.mark.parametrize(
        "to",
        [
            "ada@x.co\r\nBcc: bob@x.co",
            "ada@x.co\nRCPT TO:<bob@x.co>",
            "ada@x.co, bob@x.co",
            "<ada@x.co> bob",
            "",
            "ada",
        ],
    )
    async def test_has_one_recipient_whatever_was_typed(self, to: str) -> None:
        async with open_office() as office:
            with pytest.raises(OutsideRefused):
                await plain(office.port).send(Mail(to=to, subject="s", text="t", id="1"))
        assert office.mails == []

    @pytest.mark.parametrize("subject", ["Hi\r\nBcc: bob@x.co", "Hi\nX-Evil: 1", "Hi\r\n\r\nAnother body"])
    async def test_has_our_headers_whatever_a_project_is_called(self, subject: str) -> None:
        async with open_office() as office:
            with pytest.raises(OutsideRefused):
                await plain(office.port).send(Mail(to=MAIL.to, subject=subject, text="t", id="1"))
        assert office.mails == []

    async def test_of_many_only_a_few_go_out_at_once(self) -> None:
        async with open_office() as office:
            sender = plain(office.port)
            await asyncio.gather(*(sender.send(MAIL) for _ in range(3 * AT_ONCE)))
        assert len(office.mails) == 3 * AT_ONCE
        assert office.at_once_max <= AT_ONCE

    def test_prints_as_nothing(self) -> None:
        assert repr(MAIL) == "Mail(…)"


class TestEncryption:
    async def test_is_begun_on_the_way_or_from_the_start(self, tmp_path: Path) -> None:
        theirs, ours = certificate(tmp_path)
        async with open_office(starttls=theirs) as office:
            await mailer(f"smtp://127.0.0.1:{office.port}", ours).send(MAIL)
            assert office.encrypted == [True]
        async with open_office(implicit=theirs) as office:
            await mailer(f"smtps://127.0.0.1:{office.port}", ours).send(MAIL)
            assert len(office.mails) == 1

    async def test_that_the_server_does_not_offer_is_a_refusal_and_nothing_goes_out(self) -> None:
        async with open_office() as office:
            error = await failure(mailer(f"smtp://{LOGIN}127.0.0.1:{office.port}"))
            assert isinstance(error, OutsideRefused)
            assert "STARTTLS" in str(error)
        assert (office.mails, office.users) == ([], [])

    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    async def test_by_a_certificate_of_nobody_is_a_refusal(self, scheme: str, tmp_path: Path) -> None:
        theirs, _ = certificate(tmp_path)
        implicit = {"implicit": theirs} if scheme == "smtps" else {"starttls": theirs}
        async with open_office(**implicit) as office:
            error = await failure(mailer(f"{scheme}://127.0.0.1:{office.port}"))
            assert isinstance(error, OutsideRefused)
            assert "certificate" in str(error)
        assert office.mails == []


class TestLogin:
    async def test_is_with_the_user_and_password_of_the_url(self, tmp_path: Path) -> None:
        theirs, ours = certificate(tmp_path)
        async with open_office(starttls=theirs, auth=True) as office:
            await mailer(f"smtp://{LOGIN}127.0.0.1:{office.port}", ours).send(MAIL)
        assert office.users == [USER]

    async def test_that_fails_is_a_refusal_that_names_the_setting(self, tmp_path: Path) -> None:
        theirs, ours = certificate(tmp_path)
        async with open_office(starttls=theirs, auth=True) as office:
            error = await failure(mailer(f"smtp://{USER}:wrong@127.0.0.1:{office.port}", ours))
            assert isinstance(error, OutsideRefused)
            assert "smtp_url" in str(error)
        assert office.mails == []


class TestAServer:
    @pytest.mark.parametrize(
        ("answer", "kind"),
        [("450 4.7.1 <{}> is greylisted", OutsideUnavailable), ("550 5.1.1 <{}>: no", MailboxRefused)],
    )
    async def test_that_says_no_for_now_or_for_ever_is_told_by_its_number(
        self, answer: str, kind: type[OutsideUnavailable]
    ) -> None:
        async with open_office() as office:
            office.refuses = answer
            error = await failure(plain(office.port))
        assert type(error) is kind
        assert answer[:3] in str(error)

    async def test_that_is_not_there_may_be_tried_again(self) -> None:
        async with listening(asyncio.Protocol) as port:
            pass
        assert type(await failure(plain(port))) is OutsideUnavailable

    async def test_that_hangs_up_may_be_tried_again(self) -> None:
        class HangsUp(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transport.close()

        async with listening(HangsUp) as port:
            assert type(await failure(plain(port))) is OutsideUnavailable

    async def test_that_never_answers_may_be_tried_again_and_holds_nobody_up(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(smtp, "STEP_MAX_S", 0.05)
        async with listening(asyncio.Protocol) as port:
            error = await failure(plain(port))
        assert type(error) is OutsideUnavailable
        assert "in time" in str(error)

    async def test_that_answers_each_step_just_in_time_is_left_after_a_while(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Dribbles(asyncio.Protocol):
            """Goes on with its greeting for ever, a line at a time."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                self.transport = transport
                self._say()

            def _say(self) -> None:
                if not self.transport.is_closing():
                    self.transport.write(b"220-wait\r\n")
                    asyncio.get_running_loop().call_later(0.01, self._say)

        monkeypatch.setattr(smtp, "MAIL_MAX_S", 0.1)
        async with listening(Dribbles) as port:
            assert "in time" in str(await failure(plain(port)))

    async def test_that_speaks_nonsense_is_an_error_like_any_other(self) -> None:
        class Nonsense(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                transport.write(b"\xff\xfe\x00 what?\r\n" * 10)
                transport.close()

        async with listening(Nonsense) as port:
            await failure(plain(port))


class TestTheUrl:
    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("smtps://u:p@mail.example", ("mail.example", 465, "from_the_start", "u")),
            ("smtps://mail.example:4650/", ("mail.example", 4650, "from_the_start", "")),
            ("smtp://u%40x.co:p%3A@mail.example", ("mail.example", 587, "required", "u@x.co")),
            ("smtp://mail.example:25?starttls=required", ("mail.example", 25, "required", "")),
            ("smtp://mail.example:25?starttls=never", ("mail.example", 25, "never", "")),
            ("smtp://u:p@127.0.0.1:25?starttls=never", ("127.0.0.1", 25, "never", "u")),
            ("smtp://[::1]:25", ("::1", 25, "required", "")),
        ],
    )
    def test_says_where_and_how(self, url: str, said: tuple[str, int, str, str]) -> None:
        server = parse_smtp_url(url)
        assert (server.host, server.port, server.encryption, server.user) == said

    @pytest.mark.parametrize(
        "url",
        [
            *(
                "",
                "mail.example",
                "http://mail.example",
                "smtp://",
                "smtp://mail.example:x",
                "smtp://mail.example:99999",
            ),
            *(
                "smtp://mail.example/inbox",
                "smtp://mail.example#x",
                "smtp://mail.example?tls=1",
                "smtp://mail.example?x",
            ),
            *("smtp://mail.example?starttls=maybe", "smtps://mail.example?starttls=never", "smtp://u@mail.example"),
            *("smtp://:pass@mail.example", "smtp://u:pass@mail.example?starttls=never"),
        ],
    )
    def test_is_refused_without_being_quoted(self, url: str) -> None:
        with pytest.raises(SettingsError, match="smtp_url") as caught:
            parse_smtp_url(url)
        assert "pass@" not in str(caught.value)

    def test_prints_without_its_password(self) -> None:
        assert "hidden" not in repr(parse_smtp_url("smtps://u:hidden@mail.example"))
        assert "hidden" not in repr(mailer("smtps://u:hidden@mail.example"))


class TestTheSender:
    def test_is_an_address_with_or_without_a_name(self) -> None:
        assert str(parse_mail_from("chat@shop.example")) == "chat@shop.example"
        assert parse_mail_from("Kaffee & Söhne <chat@shop.example>").display_name == "Kaffee & Söhne"

    @pytest.mark.parametrize(
        "text", ["chat", "chat@", "@x.co", "a@x.co\r\nBcc: b@x.co", "Söhne <sö@x.co>", "<>", "a b@x"]
    )
    def test_is_nothing_else(self, text: str) -> None:
        with pytest.raises(SettingsError, match="mail_from"):
            parse_mail_from(text)


class TestSettings:
    def test_without_a_server_nobody_sends(self) -> None:
        assert smtp_of(Settings()) is None
        assert smtp_of(Settings(smtp_url=Secret("smtp://mail.example"), mail_from="a@x.co")) is not None

    @pytest.mark.parametrize("half", [{"smtp_url": Secret("smtp://mail.example")}, {"mail_from": "a@x.co"}])
    def test_need_both(self, half: dict[str, object]) -> None:
        with pytest.raises(SettingsError, match="need each other"):
            Settings(**half)  # type: ignore[arg-type]
