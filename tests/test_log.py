"""The log says what is on the list, and nothing that opens a door."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from chatgateway import log as log_module
from chatgateway.log import FieldRefused, configure, dropped, log
from chatgateway.settings import Secret

SECRET = "cgs_live_0123456789abcdefghijABCDEFGHIJ0123456789abc_abc123"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    logging.getLogger().handlers = [
        handler for handler in logging.getLogger().handlers if type(handler).__module__ != log_module.__name__
    ]
    configure(strict=True)


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    return stream


class TestFields:
    def test_on_the_list_appear_after_instant_level_and_event(self, out: io.StringIO) -> None:
        log.info("session.closed", session="ses_1", code="key_revoked")
        line = json.loads(out.getvalue())
        assert list(line) == ["at", "level", "event", "session", "code"]
        assert line["level"] == "info"
        assert line["at"] > 1_700_000_000_000

    def test_off_the_list_are_dropped_and_counted(self, out: io.StringIO) -> None:
        before = dropped["password"]
        log.info("agent.refused", agent="agt_1", password="letmein")
        assert "letmein" not in out.getvalue()
        assert json.loads(out.getvalue())["agent"] == "agt_1"
        assert dropped["password"] == before + 1

    def test_off_the_list_raise_when_strict(self) -> None:
        configure(strict=True, stream=io.StringIO())
        with pytest.raises(FieldRefused, match="token"):
            log.bind(token=TOKEN).info("session.opened")

    def test_stay_bound(self, out: io.StringIO) -> None:
        log.bind(node="nod_1").info("node.started")
        assert json.loads(out.getvalue())["node"] == "nod_1"


class TestCredentials:
    @pytest.mark.parametrize(
        "text",
        [
            SECRET,
            f"cannot read {TOKEN}",
            TOKEN.rpartition(".")[0],
            "cgv_abcdefgh12345678.ijklmnop12345678",
            "cgt_abcdefgh12345678",
            "#login=cgl_abcdefgh12345678",
            "redis://someone:abcdefgh12345678@host:1/0",
            "GET /v1/ws?token=abcdefgh12345678 HTTP/1.1",
        ],
    )
    def test_are_cut_out_of_every_string(self, out: io.StringIO, text: str) -> None:
        log.info("token.rejected", detail=text)
        assert "…" in json.loads(out.getvalue())["detail"]
        for part in (SECRET, TOKEN, "abcdefgh12345678", "ijklmnop12345678"):
            assert part not in out.getvalue()

    def test_are_cut_out_of_tracebacks(self, out: io.StringIO) -> None:
        try:
            raise RuntimeError(SECRET)
        except RuntimeError:
            log.exception("connection.failed")
        line = json.loads(out.getvalue())
        assert "RuntimeError" in line["exception"]
        assert SECRET not in out.getvalue()

    def test_in_a_wrapper_show_nothing(self, out: io.StringIO) -> None:
        log.info("store.opened", detail=Secret("opensesame"))
        assert "opensesame" not in out.getvalue()


class TestForm:
    def test_below_the_level_is_silent(self, out: io.StringIO) -> None:
        log.debug("hub.joined")
        assert out.getvalue() == ""

    def test_one_line_per_event_whatever_a_peer_sent(self, out: io.StringIO) -> None:
        log.info("frame.rejected", detail='a\nb\x1b[2J"\ud800\u2028')
        assert len(out.getvalue().splitlines()) == 1
        assert out.getvalue().isascii()
        assert json.loads(out.getvalue())["detail"].startswith("a\nb")

    def test_pretty_is_for_people_and_cannot_steer_their_terminal(self) -> None:
        stream = io.StringIO()
        configure("info", "pretty", stream=stream)
        log.warning("frame.rejected", detail="\x1b[2J")
        assert "frame.rejected" in stream.getvalue()
        assert "\x1b" not in stream.getvalue()

    @pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
    def test_auto_is_pretty_on_a_terminal_and_honours_no_color(self, environ: dict[str, str], coloured: bool) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        stream = Terminal()
        configure("info", "auto", stream=stream, environ=environ)
        log.info("node.started")
        assert "node.started" in stream.getvalue()
        assert ("\x1b[" in stream.getvalue()) is coloured

    def test_a_closed_stream_ends_nothing(self, out: io.StringIO) -> None:
        out.close()
        log.info("node.started")


class TestLibraries:
    def test_warnings_come_through_ours(self, out: io.StringIO) -> None:
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        line = json.loads(out.getvalue())
        assert (line["event"], line["logger"]) == ("library.warned", "uvicorn.error")

    def test_access_lines_and_info_never_come_through(self, out: io.StringIO) -> None:
        logging.getLogger("uvicorn.access").critical('"GET /v1/ws?token=abc"')
        logging.getLogger("uvicorn.error").info('"WebSocket /v1/ws?token=abc" [accepted]')
        assert out.getvalue() == ""
