"""What an HTTP peer may take: time, bytes and requests; and that what follows an upgrade is not lost."""

from __future__ import annotations

from typing import Any

import pytest
from tests.gateway.wiring import TEXT, WireServer, masked

GET = b"GET / HTTP/1.1\r\nHost: test\r\n"


class TestHead:
    def test_of_the_largest_size_is_answered(self, wired: WireServer) -> None:
        client = wired.client()
        head = GET + b"Connection: close\r\nX: "
        client.send(head + b"x" * (16_384 - len(head) - 4) + b"\r\n\r\n")
        assert client.rest().startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize("size", [16_385, 200_000])
    def test_that_is_larger_is_refused(self, wired: WireServer, size: int) -> None:
        client = wired.client()
        head = GET + b"X: "
        client.send(head + b"x" * (size - len(head) - 4) + b"\r\n\r\n")
        answer = client.rest()
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert answer.endswith(b"The request's head is too large.")

    def test_that_is_larger_is_refused_on_a_kept_connection_too(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(GET + b"\r\n")
        assert client.head().startswith(b"HTTP/1.1 200 ")
        client.send(GET + b"X: " + b"x" * 17_000)
        assert b"HTTP/1.1 431 " in client.rest()

    def test_is_measured_by_itself_on_a_kept_connection(self, wired: WireServer) -> None:
        client = wired.client()
        for _ in range(4):
            client.send(GET + b"X: " + b"x" * 7_000 + b"\r\n\r\n")
            assert client.head().removeprefix(b"hello").startswith(b"HTTP/1.1 200 ")

    def test_of_one_endless_request_line_is_refused(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(b"GET /" + b"x" * 17_000)
        assert client.rest().startswith(b"HTTP/1.1 431 ")

    def test_that_is_slow_is_told_so(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(handshake_ms=100)
        client = wired.client()
        client.send(GET)
        assert client.rest().startswith(b"HTTP/1.1 408 ")

    def test_that_never_begins_ends_the_connection(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(handshake_ms=100)
        assert wired.client().rest() == b""

    def test_that_is_slow_on_a_kept_connection_is_told_so(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(handshake_ms=100)
        client = wired.client()
        client.send(GET + b"\r\n")
        assert client.head().startswith(b"HTTP/1.1 200 ")
        client.send(b"G")
        assert b"HTTP/1.1 408 " in client.rest()

    def test_that_is_no_http_is_refused(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert client.rest().startswith(b"HTTP/1.1 400 ")

    def test_that_is_refused_and_goes_on_and_on_is_reset(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(close_ms=100)
        client = wired.client()
        client.send(b"GET /" + b"x" * 17_000)
        assert client.rest().startswith(b"HTTP/1.1 431 ")
        with pytest.raises(ConnectionError):
            while True:
                client.send(b"x" * 1_000)


class TestBody:
    def test_larger_than_a_head_may_be_arrives(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        assert client.head().startswith(b"HTTP/1.1 200 ")
        assert wired.uploads.get(timeout=20) == b"x" * 100_000

    def test_that_is_slow_is_told_so(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(body_ms=100, close_ms=60_000)
        client = wired.client()
        client.send(b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nx")
        assert client.rest().startswith(b"HTTP/1.1 408 ")
        while wired.call(lambda: len(wired.server.server_state.tasks)):
            pass  # the application is told at once, and not only when the peer has gone


class TestAnswer:
    def test_that_is_not_taken_ends_with_a_reset(self, start_wire: Any) -> None:
        wired: WireServer = start_wire(body_ms=200)
        client = wired.client(receive_buffer=4_096)
        client.send(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")
        while not wired.call(lambda: wired.server.server_state.total_requests):
            pass
        while wired.call(lambda: len(wired.server.server_state.connections)):
            pass
        with pytest.raises(ConnectionResetError):
            client.rest()

    def test_that_is_taken_slowly_arrives(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(b"GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        assert len(client.rest()) > 20_000_000


class TestPipeline:
    def test_of_some_is_answered_in_order(self, wired: WireServer) -> None:
        client = wired.client()
        client.send((GET + b"\r\n") * 4 + GET + b"Connection: close\r\n\r\n")
        assert client.rest().count(b"HTTP/1.1 200 ") == 5

    def test_of_many_is_refused(self, wired: WireServer) -> None:
        client = wired.client()
        client.send((GET + b"\r\n") * 400)
        assert client.rest().count(b"HTTP/1.1 200 ") <= 9
        assert b"HTTP/1.1 400 " in client.received


class TestUpgrade:
    def test_with_bytes_behind_it_in_one_segment_loses_none(self, wired: WireServer) -> None:
        client = wired.client().upgrade("/echo", then=masked(TEXT, b"early") * 3)
        assert [client.frame() for _ in range(3)] == [(TEXT, b"early")] * 3

    def test_split_into_single_bytes_is_accepted(self, wired: WireServer) -> None:
        client = wired.client()
        for byte in client.upgrade_request("/echo"):
            client.send(bytes([byte]))
        assert client.head().startswith(b"HTTP/1.1 101 ")

    def test_on_a_kept_connection_leaves_no_deadline_behind(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(GET + b"\r\n")
        assert client.head().startswith(b"HTTP/1.1 200 ")
        assert client._exactly(5) == b"hello"
        client.upgrade("/live")
        wired.lives.get(timeout=20)
        assert wired.call(lambda: wired.wire.wheel.pending) == 0

    def test_before_an_earlier_answer_is_refused(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(GET + b"\r\n" + client.upgrade_request("/live"))
        assert client.rest().startswith(b"HTTP/1.1 400 ")

    def test_to_another_protocol_is_answered_as_plain_http(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(GET + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
        assert client.head().startswith(b"HTTP/1.1 200 ")

    def test_offers_no_compression_and_no_server_name(self, wired: WireServer) -> None:
        client = wired.client()
        client.send(client.upgrade_request("/echo", "Sec-WebSocket-Extensions: permessage-deflate\r\n"))
        head = client.head().lower()
        assert b"sec-websocket-extensions" not in head
        assert b"uvicorn" not in head
