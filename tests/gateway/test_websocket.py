"""A handed-over socket: what the listener hears, what the peer sees, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import struct
import threading
from typing import Any

import pytest
from tests.gateway.wiring import BINARY, CLOSE, CONT, PING, PONG, TEXT, WireServer, masked

from chatgateway.close_codes import CloseCode
from chatgateway.gateway.upgrade import UpgradeSocket
from chatgateway.gateway.wire import close_frame, frame_text


def silent(server: WireServer) -> bool:
    """Whether nobody heard anything more, after the loop has done all that it had to do."""
    for _ in range(3):
        server.call(lambda: None)
    return server.heard.empty()


class TestFrame:
    @pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
    def test_of_every_length_form_is_read_by_the_peer(self, wired: WireServer, size: int) -> None:
        client, live = wired.live()
        wired.call(live.send_text, b"x" * size)
        assert client.frame() == (TEXT, b"x" * size)

    def test_is_framed_once_for_many(self, wired: WireServer) -> None:
        frame = frame_text(b"[1]")
        for _ in range(2):
            client, live = wired.live()
            wired.call(live.send_framed, frame + frame)
            assert [client.frame(), client.frame()] == [(TEXT, b"[1]")] * 2

    def test_of_a_close_is_cut_between_characters(self) -> None:
        frame = close_frame(4000, "é" * 100)
        assert len(frame) <= 2 + 125
        assert frame[4:].decode() == "é" * 61


class TestText:
    def test_split_into_single_bytes_is_one_message(self, wired: WireServer) -> None:
        client, _ = wired.live()
        for byte in masked(TEXT, "grüße".encode()):
            client.send(bytes([byte]))
        assert wired.next() == ("text", "grüße".encode())

    def test_coalesced_is_heard_in_order(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.send(b"".join(masked(TEXT, b"%d" % number) for number in range(500)))
        assert [wired.next() for _ in range(500)] == [("text", b"%d" % number) for number in range(500)]

    def test_in_64_fragments_is_heard_whole(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.send_frame(TEXT, b"a", fin=False)
        for number in range(2, 65):
            client.send_frame(CONT, b"b", fin=number == 64)
        assert wired.next() == ("text", b"a" + b"b" * 63)

    def test_in_65_fragments_ends_it(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.send_frame(TEXT, b"a", fin=False)
        client.send(masked(CONT, b"b", fin=False) * 64)
        assert client.close_frame() == (4400, "too many fragments")
        client.close()
        assert wired.next() == ("closed", 4400)

    def test_split_inside_a_character_across_fragments_is_heard_whole(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.send(masked(TEXT, b"\xc3", fin=False) + masked(CONT, b"\xa9"))
        assert wired.next() == ("text", "é".encode())

    def test_of_the_largest_size_is_heard(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.send_frame(TEXT, b"x" * 65_536)
        assert wired.next() == ("text", b"x" * 65_536)

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            (masked(TEXT, b"x" * 65_537), 4413),
            (masked(TEXT, b"x" * 40_000, fin=False) + masked(CONT, b"x" * 40_000), 4413),
            (b"\x81\xff" + struct.pack("!Q", 2**62), 4413),
            (masked(TEXT, b"\xff\xfe"), 1007),
            (masked(TEXT, b"\xed\xa0\x80"), 1007),
            (masked(BINARY, b"x"), 4400),
            (b"\x81\x01x", 1002),
            (masked(CONT, b"x"), 1002),
            (masked(3), 1002),
            (b"\xc1\x80\x01\x02\x03\x04", 1002),
            (masked(PING, b"x" * 126), 1002),
            (masked(CLOSE, b"x"), 1002),
            (masked(CLOSE, struct.pack("!H", 1005)), 1002),
            (masked(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        ],
        ids=[
            "big",
            "big-sum",
            "huge",
            "utf8",
            "surrogate",
            "binary",
            "unmasked",
            "cont",
            "opcode",
            "rsv",
            "ping",
            "close",
            "1005",
            "reason",
        ],
    )
    def test_that_breaks_a_rule_ends_it_with_a_code_that_the_peer_sees(
        self, wired: WireServer, sent: bytes, code: int
    ) -> None:
        client, _ = wired.live()
        client.send(sent + masked(TEXT, b"after"))
        assert client.close_frame()[0] == code
        assert client.rest() == b""
        client.close()
        assert wired.next() == ("closed", code)
        assert silent(wired)

    def test_while_reading_is_paused_waits(self, wired: WireServer) -> None:
        client, live = wired.live()
        wired.call(live.pause_reading)
        client.send_frame(TEXT, b"x")
        assert silent(wired)
        wired.call(live.resume_reading)
        assert wired.next() == ("text", b"x")

    def test_that_makes_the_listener_fail_closes_with_internal(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.send_frame(TEXT, b"raise")
        assert client.close_frame() == (4000, "internal")
        client.send_frame(CLOSE, struct.pack("!H", 4000))
        assert wired.next() == ("closed", 4000)
        assert [str(mistake["exception"]) for mistake in wired.mistakes] == ["a bug in the listener"]


class TestPing:
    def test_is_answered_with_its_payload(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.send_frame(PING, b"there?")
        assert client.frame() == (PONG, b"there?")

    def test_answers_only_the_last_of_one_read(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.send(masked(PING, b"1") + masked(PING, b"2") + masked(TEXT, b"echo"))
        frames = {client.frame(), client.frame()}
        assert frames == {(TEXT, b"echo"), (PONG, b"2")}

    @pytest.mark.parametrize("opcode", [PING, PONG])
    def test_flood_is_abusive(self, wired: WireServer, opcode: int) -> None:
        client, _ = wired.live()
        client.send(masked(opcode) * 10_000)
        assert client.close_frame() == (4429, "abusive")
        client.close()
        assert wired.next() == ("closed", 4429)

    def test_between_fragments_is_answered(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.send(masked(TEXT, b"a", fin=False) + masked(PING, b"p") + masked(CONT, b"b"))
        assert client.frame() == (PONG, b"p")
        assert wired.next() == ("text", b"ab")


class TestEnd:
    @pytest.mark.parametrize(("payload", "code"), [(struct.pack("!H", 1001) + b"bye", 1001), (b"", 1005)])
    def test_by_the_peers_close_frame(self, wired: WireServer, payload: bytes, code: int) -> None:
        client, _ = wired.live()
        client.send_frame(CLOSE, payload)
        assert client.close_frame()[0] == code
        assert client.rest() == b""
        assert wired.next() == ("closed", code)
        assert silent(wired)

    def test_by_the_peers_fin(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.close()
        assert wired.next() == ("closed", 1006)
        assert silent(wired)

    def test_by_the_peers_reset(self, wired: WireServer) -> None:
        client, _ = wired.live()
        client.reset()
        assert wired.next() == ("closed", 1006)
        assert silent(wired)

    def test_by_our_close_waits_for_the_peers_answer(self, wired: WireServer) -> None:
        client, live = wired.live()
        wired.call(live.close, CloseCode.KEY_REVOKED)
        assert client.close_frame() == (4301, "key_revoked")
        wired.call(live.send_text, b"late")
        client.send(masked(TEXT, b"under way"))
        assert silent(wired)
        client.send_frame(CLOSE, struct.pack("!H", 4301))
        assert client.rest() == b"", "what is sent after the close is dropped"
        assert wired.next() == ("closed", 4301)
        assert silent(wired)
        assert live._listener is None, "who heard the end is let go"

    def test_by_our_close_while_reading_is_paused_sees_the_answer(self, wired: WireServer) -> None:
        client, live = wired.live()
        wired.call(live.pause_reading)
        wired.call(live.close, CloseCode.DRAINING)
        assert client.close_frame() == (4200, "draining")
        client.send_frame(CLOSE, struct.pack("!H", 4200))
        assert client.rest() == b"", "ended, not reset after waiting in vain"
        assert wired.next() == ("closed", 4200)

    def test_by_our_close_without_an_answer_is_a_reset(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(close_ms=50)
        client, live = wired.live()
        wired.call(live.close, CloseCode.SUPERSEDED)
        assert wired.next() == ("closed", 4441)
        assert client.close_frame() == (4441, "superseded")
        with pytest.raises(ConnectionResetError):
            client.rest()
        assert silent(wired)

    def test_by_our_close_sees_the_answer_behind_whatever_was_under_way(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(close_ms=60_000)
        client, live = wired.live()
        wired.call(live.close, CloseCode.REBALANCE)
        client.send(masked(BINARY, b"x") + masked(PING) * 20 + masked(CLOSE, struct.pack("!H", 4201)))
        assert wired.next() == ("closed", 4201)

    def test_by_our_close_with_a_flood_for_an_answer_is_not_parsed_for_ever(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(close_ms=60_000)
        client, live = wired.live()
        wired.call(live.close, CloseCode.ABUSIVE)
        client.send(masked(TEXT, b"x" * 1_000) * 300)
        assert client.close_frame()[0] == 4429
        assert client.rest() == b"", "half-closed: we will not read on"
        client.close()
        assert wired.next() == ("closed", 4429)

    def test_by_our_abort_is_a_reset(self, wired: WireServer) -> None:
        client, live = wired.live()
        wired.call(live.abort)
        assert wired.next() == ("closed", 1006)
        with pytest.raises(ConnectionResetError):
            client.rest()
        assert silent(wired)

    def test_by_our_abort_tells_the_code_that_was_given(self, wired: WireServer) -> None:
        _, live = wired.live()
        wired.call(live.abort, CloseCode.LEASE_LOST)
        assert wired.next() == ("closed", 4006)

    def test_twice_is_once(self, wired: WireServer) -> None:
        client, live = wired.live()

        def all_at_once() -> None:
            live.close(CloseCode.DRAINING)
            live.close(CloseCode.INTERNAL)
            live.send_text(b"late")
            live.abort()
            live.abort()
            live.send_text(b"later")
            live.close(CloseCode.INTERNAL)
            live.pause_reading()
            live.resume_reading()

        wired.call(all_at_once)
        assert wired.next() == ("closed", 4200)
        assert silent(wired)
        wired.call(live.send_text, b"after the end")
        wired.call(live.abort)
        assert wired.call(live.buffered) == 0
        assert silent(wired)
        assert not wired.mistakes
        client.close()

    def test_of_the_server_says_so(self, wired: WireServer) -> None:
        client, live = wired.live()
        wired.call(live.shutdown)
        assert client.close_frame()[0] == 1012

    def test_of_a_thousand_at_once_leaves_nothing(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(close_ms=60_000)
        pairs = [wired.live() for _ in range(1_000)]

        def close_all() -> None:
            for _, live in pairs:
                live.close(CloseCode.DRAINING)

        wired.call(close_all)
        for client, _ in pairs:
            assert client.close_frame() == (4200, "draining")
            client.send_frame(CLOSE, struct.pack("!H", 4200))
        assert [wired.next() for _ in pairs] == [("closed", 4200)] * 1_000
        assert silent(wired)
        assert wired.call(lambda: (len(wired.server.server_state.connections), wired.wire.wheel.pending)) == (0, 0)
        assert not wired.mistakes


class TestStalledReader:
    def test_is_aborted_with_a_reset(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(write_stall_ms=300)
        client, live = wired.live(receive_buffer=4_096)
        wired.call(live.send_text, b"x" * 20_000_000)
        assert wired.next() == ("closed", 4003)
        with pytest.raises(ConnectionResetError):
            client.rest()
        assert not wired.mistakes

    def test_that_reads_again_is_told_to_be_writable(self, wired: WireServer) -> None:
        client, live = wired.live()
        wired.call(live.send_text, b"x" * 20_000_000)
        assert wired.call(live.buffered) > 0
        assert client.frame()[1] == b"x" * 20_000_000
        assert wired.next() == ("writable", None)
        wired.call(live.send_text, b"y")
        assert client.frame() == (TEXT, b"y")

    def test_that_takes_a_little_is_spared(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(write_stall_ms=10_000)
        _, live = wired.live(receive_buffer=4_096)
        wired.call(live.send_text, b"x" * 20_000_000)

        def sweep_with_progress() -> None:
            for _ in range(50):
                live.written += 1  # as if one byte had been taken
                wired.wire._sweep()

        wired.call(sweep_with_progress)
        assert live.is_open
        wired.call(lambda: [wired.wire._sweep() for _ in range(11)])
        assert wired.next() == ("closed", 4003)

    def test_that_closed_while_we_have_bytes_for_it_is_aborted_in_time(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(close_ms=100, write_stall_ms=60_000)
        client, live = wired.live(receive_buffer=4_096)
        wired.call(live.send_text, b"x" * 20_000_000)
        client.send_frame(CLOSE, struct.pack("!H", 1000))
        assert wired.next() == ("closed", 1000)
        with pytest.raises(ConnectionResetError):
            client.rest()

    def test_earns_no_pongs(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(control_frames_per_s=1_000_000)
        client, live = wired.live()
        wired.call(live.send_text, b"x" * 20_000_000)
        client.send(masked(PING, b"p" * 125) * 1_000 + masked(TEXT, b"end"))
        assert wired.next() == ("text", b"end")
        assert wired.call(lambda: live.written) == len(frame_text(b"x" * 20_000_000))
        assert client.frame()[0] == TEXT
        assert client.frame() == (PONG, b"p" * 125)


class TestHandOver:
    def test_leaves_no_task_and_nothing_of_the_request(self, wired: WireServer) -> None:
        wired.live()
        silent(wired)

        def left() -> list[object]:
            gc.collect()
            tasks = [task for task in asyncio.all_tasks() if "run_asgi" in repr(task)]
            return [*tasks, *(thing for thing in gc.get_objects() if isinstance(thing, UpgradeSocket))]

        assert wired.call(left) == []
        assert wired.call(lambda: wired.wire.wheel.pending) == 0

    def test_passes_on_what_came_since_accepting(self, wired: WireServer) -> None:
        client = wired.client().upgrade("/late")
        client.send(masked(TEXT, b"1") + masked(TEXT, b"2", fin=False))
        client.send(masked(CONT, b"3") + masked(PING, b"p"))
        wired.may_hand_over.set()
        assert [wired.next(), wired.next()] == [("text", b"1"), ("text", b"23")]
        assert client.frame() == (PONG, b"p")

    def test_that_takes_long_holds_one_read_and_no_more(self, wired: WireServer) -> None:
        client = wired.client().upgrade("/late")
        client.send_frame(TEXT, b"1")
        (upgrade,) = wired.call(lambda: tuple(wired.server.server_state.connections))
        while not wired.call(lambda: upgrade._held):
            pass
        assert not wired.call(lambda: upgrade.transport.is_reading())
        wired.may_hand_over.set()
        assert wired.next() == ("text", b"1")

    def test_judges_what_came_before_by_the_same_rules(self, wired: WireServer) -> None:
        client = wired.client().upgrade("/late")
        client.send_frame(BINARY, b"x")
        wired.may_hand_over.set()
        assert client.close_frame()[0] == 4400

    def test_of_bytes_in_the_requests_own_segment_loses_none(self, wired: WireServer) -> None:
        client = wired.client().upgrade(then=masked(TEXT, b"early") + masked(TEXT, b"bird"))
        assert [wired.next(), wired.next()] == [("text", b"early"), ("text", b"bird")]
        client.send_frame(TEXT, b"worm")
        assert wired.next() == ("text", b"worm")

    def test_of_a_peer_that_has_gone_tells_the_end(self, wired: WireServer) -> None:
        wired.client().upgrade("/late").reset()
        while wired.call(lambda: len(wired.server.server_state.connections)):
            pass
        wired.may_hand_over.set()
        assert wired.next() == ("closed", 1006)
        assert silent(wired)

    def test_in_vain_is_a_reset_in_time(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(handshake_ms=100)
        client = wired.client()
        client.send(client.upgrade_request("/never"))
        with pytest.raises(ConnectionResetError):
            client.rest()

    def test_twice_is_refused(self, wired: WireServer) -> None:
        _, live = wired.live()
        with pytest.raises(RuntimeError, match="before"):
            wired.call(live.hand_over, None)

    def test_after_the_application_has_read_is_refused(self, wired: WireServer) -> None:
        client = wired.client().upgrade("/read-first")
        client.send_frame(TEXT, b"x")
        assert b"did not read" in client.frame()[1]

    def test_knows_the_peers_address(self, wired: WireServer) -> None:
        _, live = wired.live()
        assert live.peer_address == "127.0.0.1"
        assert repr(live) == "<LiveSocket open, peer 127.0.0.1>"

    def test_knows_the_address_that_a_trusted_proxy_tells(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(client.upgrade_request("/live", "X-Forwarded-For: 198.51.100.7, 203.0.113.9\r\n"))
        assert wired.lives.get(timeout=20).peer_address == "203.0.113.9", "the last hop's word, not the peer's own"


class TestOrdinarySocket:
    def test_echoes(self, wired: WireServer) -> None:
        client = wired.client().upgrade("/echo", then=masked(TEXT, b"a"))
        client.send_frame(TEXT, b"b")
        assert [client.frame(), client.frame()] == [(TEXT, b"a"), (TEXT, b"b")]

    def test_outlives_the_time_for_the_hand_over(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(handshake_ms=50)
        client = wired.client().upgrade("/echo")
        passed = threading.Event()
        wired.call(wired.wire.wheel.schedule, 200, passed.set)
        assert passed.wait(20)
        client.send_frame(TEXT, b"still here")
        assert client.frame() == (TEXT, b"still here")

    def test_is_refused_after_accepting_with_a_code(self, wired: WireServer) -> None:
        client = wired.client().upgrade("/refuse")
        assert client.close_frame() == (4403, "forbidden")
        client.send_frame(CLOSE, struct.pack("!H", 4403))
        assert client.rest() == b""

    def test_whose_endpoint_fails_closes_with_internal(
        self, wired: WireServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert wired.client().upgrade("/fail").close_frame() == (4000, "internal")
        assert "a bug in the endpoint" in caplog.text

    def test_with_a_broken_handshake_is_answered(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(client.upgrade_request("/live").replace(b"GET", b"POST", 1) + b"x")
        assert client.rest().startswith(b"HTTP/1.1 4")

    def test_with_a_line_too_long_for_the_handshake_is_answered(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(client.upgrade_request("/live", f"X: {'x' * 9_000}\r\n"))
        assert client.rest().startswith(b"HTTP/1.1 431 ")


def test_no_log_line_shows_a_query_or_a_message(wired: WireServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    client = wired.client().upgrade("/live?token=SECRET", then=masked(TEXT, b"SECRET"))
    wired.next()
    client.send_frame(CLOSE)
    wired.next()
    plain = wired.client()
    plain.send(b"GET /?token=SECRET HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    plain.rest()
    assert "SECRET" not in caplog.text
