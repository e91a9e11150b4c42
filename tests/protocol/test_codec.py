"""Bytes become frames or Malformed, whatever the bytes; frames become bytes that join."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgateway.errors import Malformed
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f

START = b'{"type":"start","ref":"1","text":%s}'


def message(text: str = "hi") -> f.Message:
    author = f.Author(user="usr_1", role="visitor", assurance="anonymous")
    return f.Message(
        seq=1, at=7, link="77d0e1b3", prev="00000000", conversation="cnv_1", ref="r", author=author, text=text
    )  # fmt: skip


class TestWhatIsNoFrame:
    @pytest.mark.parametrize(
        "data",
        [b"", b" ", b"null", b"1", b"[]", b'"hello"', b"{", b'{"type":"hello"', b'{"type":"hello"}}', b"\x00", b"\xff"],
    )
    def test_is_malformed(self, data: bytes) -> None:
        with pytest.raises(Malformed):
            codec.decode_client(data)

    @pytest.mark.parametrize(
        "text",
        [rb'"\ud800"', rb'"\ud800x"', rb'"\udc00"', rb'"\udc00\ud800"', b'"\xed\xa0\x80"', b'"\xed\xb0\x80"'],
    )
    def test_is_a_text_with_half_a_character(self, text: bytes) -> None:
        """A lone surrogate would fail later, where the text is encoded: it must not come in."""
        with pytest.raises(Malformed):
            codec.decode_client(START % text)

    @pytest.mark.parametrize("text", [b'"\xc0\xaf"', b'"\xff"', b'"\xe2\x82"', b'"a\nb"', b'"\x00"'])
    def test_is_a_text_that_json_or_utf_8_forbids(self, text: bytes) -> None:
        with pytest.raises(Malformed):
            codec.decode_client(START % text)

    def test_says_where_it_is_wrong_and_never_what_was_said(self) -> None:
        with pytest.raises(Malformed) as caught:
            codec.decode_client(b'{"type":"authenticate","ref":"1","token":["eyJhbGciOiJub25l"]}')
        assert "$.token" in str(caught.value)
        assert "eyJ" not in str(caught.value)

    @settings(max_examples=150)
    @given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
    def test_raises_nothing_else(self, data: bytes) -> None:
        for decode in (codec.decode_client, codec.decode_server, codec.decode_head):
            try:
                decode(data)
            except Malformed:
                continue

    @settings(max_examples=150)
    @given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
    def test_is_what_was_damaged_on_the_way_or_it_is_another_frame(self, at: int, damage: bytes) -> None:
        whole = b'{"type":"send","ref":"1","conversation":"cnv_1","text":"h\\u00e9 \\ud83c\\udf5d"}'
        try:
            frame = codec.decode_client(whole[:at] + damage + whole[at + len(damage) :])
        except Malformed:
            return
        assert isinstance(frame, f.ClientFrame)
        json.dumps(str(frame)).encode()


class TestText:
    @settings(max_examples=100)
    @given(st.text(min_size=1, max_size=40))
    def test_arrives_as_it_was_typed(self, text: str) -> None:
        for ensure_ascii in (True, False):
            data = json.dumps({"type": "start", "ref": "1", "text": text}, ensure_ascii=ensure_ascii)
            assert codec.decode_client(data.encode()).text == text

    def test_may_be_a_pair_of_surrogates_that_make_one_character(self) -> None:
        assert codec.decode_client(START % rb'"\ud83c\udf5d"').text == "🍝"


class TestDepth:
    @staticmethod
    def nested(depth: int) -> bytes:
        inner = depth - 1
        return b'{"type":"heartbeat","x":' + b"[" * inner + b"]" * inner + b"}"

    def test_up_to_the_limit_is_read(self) -> None:
        assert codec.decode_client(self.nested(codec.MAX_DEPTH)) == f.Heartbeat()

    @pytest.mark.parametrize("depth", [codec.MAX_DEPTH + 1, 1_000, 100_000])
    def test_beyond_it_is_malformed(self, depth: int) -> None:
        with pytest.raises(Malformed, match="levels deep"):
            codec.decode_client(self.nested(depth))
        with pytest.raises(Malformed, match="levels deep"):
            codec.decode_client(self.nested(depth).decode())

    def test_does_not_count_brackets_that_somebody_typed(self) -> None:
        for text in ("[" * 50, '\\"[{' * 20, "\\" * 7 + "[" * 50):
            data = json.dumps({"type": "start", "ref": "1", "text": text})
            assert codec.decode_client(data).text == text

    def test_does_not_count_what_is_side_by_side(self) -> None:
        hello = {"type": "hello", "resume": {f"cnv_{i}": [1, 1, "00000000"] for i in range(64)}}
        assert len(codec.decode_client(json.dumps(hello)).resume) == 64


class TestEncoding:
    def test_joins_frames_into_one_message(self) -> None:
        frames: list[f.ServerFrame] = [f.Ack(ref="1"), f.Beat(now=7), message()]
        assert codec.decode_server(codec.join(map(codec.encode, frames))) == frames

    def test_of_a_tail_starts_at_the_conversation_whatever_the_text_says(self) -> None:
        spoken = message('"conversation":"cnv_2" \\')
        tail = codec.event_tail(spoken)
        head = b'{"type":"message","seq":1,"at":7,"link":"77d0e1b3","prev":"00000000",'
        assert tail.startswith(b'"conversation":"cnv_1",')
        assert head + tail == codec.encode(spoken)

    def test_of_a_note_has_a_tail_too(self) -> None:
        note = f.NoteEntry(conversation="cnv_1", seq=3, at=7, agent="agt_1", text="likes windows")
        assert b'{"type":"note","seq":3,"at":7,' + codec.event_tail(note) == codec.encode(note)

    def test_is_read_by_delivery_without_the_rest(self) -> None:
        head = codec.decode_head(codec.encode(message()))
        assert (head.type, head.conversation, head.seq, head.at) == ("message", "cnv_1", 1, 7)
        assert (head.link, head.prev) == ("77d0e1b3", "00000000")
