"""Every frame as it stands on the wire: one golden file each, which the browser's tests may read too.

``golden/client`` holds what a client says (one object), ``golden/server`` what the gateway says (an array of one).
Every field of a frame appears in one of its files, so that renaming or dropping one is seen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from chatgateway.errors import Malformed
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f

GOLDEN = Path(__file__).parent / "golden"
CLIENT = sorted((GOLDEN / "client").glob("*.json"))
SERVER = sorted((GOLDEN / "server").glob("*.json"))


def name(path: Path) -> str:
    return path.stem


def types(union: Any) -> dict[str, type[msgspec.Struct]]:
    return {str(kind.__struct_config__.tag): kind for kind in get_args(union)}


def said(path: Path) -> Any:
    """What stands in the file: one frame."""
    value = json.loads(path.read_bytes())
    return value if path.parent.name == "client" else value[0]


@pytest.mark.parametrize(("paths", "union"), [(CLIENT, f.AnyClientFrame), (SERVER, f.AnyServerFrame)])
class TestTheGoldenFiles:
    def test_show_every_type_of_frame_and_no_other(self, paths: list[Path], union: Any) -> None:
        assert {said(path)["type"] for path in paths} == types(union).keys()

    def test_show_every_field_of_every_frame(self, paths: list[Path], union: Any) -> None:
        shown: dict[str, set[str]] = {}
        for path in paths:
            shown.setdefault(said(path)["type"], set()).update(said(path))
        fields = {tag: {*kind.__struct_encode_fields__, "type"} for tag, kind in types(union).items()}
        assert shown == fields


class TestAFrame:
    @pytest.mark.parametrize("path", CLIENT, ids=name)
    def test_of_a_client_is_read_and_written_as_its_golden_file(self, path: Path) -> None:
        data = path.read_bytes().rstrip()
        frame = codec.decode_client(data)
        assert type(frame) is types(f.AnyClientFrame)[said(path)["type"]]
        assert msgspec.json.encode(frame) == data

    @pytest.mark.parametrize("path", SERVER, ids=name)
    def test_of_the_gateway_is_read_and_written_as_its_golden_file(self, path: Path) -> None:
        data = path.read_bytes().rstrip()
        frames = codec.decode_server(data)
        assert [type(frame) for frame in frames] == [types(f.AnyServerFrame)[said(path)["type"]]]
        assert codec.join(map(codec.encode, frames)) == data

    @pytest.mark.parametrize("path", CLIENT, ids=name)
    def test_of_a_client_may_carry_fields_of_a_later_version(self, path: Path) -> None:
        later = json.dumps({**said(path), "sentiment": {"score": [0.5, None]}})
        assert codec.decode_client(later) == codec.decode_client(path.read_bytes())

    @pytest.mark.parametrize("path", SERVER, ids=name)
    def test_of_the_gateway_may_carry_fields_of_a_later_version(self, path: Path) -> None:
        later = msgspec.json.encode([{**said(path), "sentiment": 1}])
        assert codec.decode_server(later) == codec.decode_server(path.read_bytes())

    @pytest.mark.parametrize("data", ['{"type":"shout","ref":"1"}', '{"type":"welcome","ref":"1"}', '{"ref":"1"}'])
    def test_of_an_unknown_type_is_refused(self, data: str) -> None:
        with pytest.raises(Malformed):
            codec.decode_client(data)

    def test_leaves_out_what_it_takes_for_granted(self) -> None:
        assert codec.encode(f.Ack(ref="1")) == b'{"type":"ack","ref":"1"}'

    def test_shows_neither_a_default_kind_nor_an_empty_subject_in_the_log(self) -> None:
        assert not {"kind", "subject"} & said(GOLDEN / "server" / "message.json").keys()

    def test_keeps_a_message_of_the_log_byte_by_byte(self) -> None:
        spelled = '{"type":"message", "text":"\\u00e9", "of_a_later_version":1}'
        page = codec.decode_server(f'[{{"type":"replay","conversation":"cnv_1","messages":[{spelled}]}}]')[0]
        assert isinstance(page, f.Replay)
        assert spelled.encode() in codec.encode(page)

    def test_cannot_be_changed(self) -> None:
        frame: Any = f.Leave(conversation="cnv_1")
        with pytest.raises(AttributeError):
            frame.conversation = "cnv_2"


UNFIT = {
    "a ref of nothing": {"type": "leave", "ref": "", "conversation": "cnv_1"},
    "a ref too long": {"type": "leave", "ref": "r" * 65, "conversation": "cnv_1"},
    "a ref with a line in it": {"type": "leave", "ref": "1\n", "conversation": "cnv_1"},
    "a ref of other letters": {"type": "leave", "ref": "é", "conversation": "cnv_1"},
    "a ref that is a number": {"type": "leave", "ref": 1, "conversation": "cnv_1"},
    "an id that names a key": {"type": "leave", "conversation": "cnv_1}:m"},
    "an id too long": {"type": "leave", "conversation": "c" * 65},
    "no id": {"type": "leave"},
    "an empty text": {"type": "send", "ref": "1", "conversation": "cnv_1", "text": ""},
    "a text that is null": {"type": "send", "ref": "1", "conversation": "cnv_1", "text": None},
    "a negative seq": {"type": "read", "conversation": "cnv_1", "seq": -1},
    "a seq beyond what a browser counts": {"type": "read", "conversation": "cnv_1", "seq": 2**53},
    "a seq with a point": {"type": "read", "conversation": "cnv_1", "seq": 1.5},
    "a seq that is true": {"type": "read", "conversation": "cnv_1", "seq": True},
    "a cursor of two": {"type": "open", "conversation": "cnv_1", "cursor": [1, 1]},
    "a cursor of four": {"type": "open", "conversation": "cnv_1", "cursor": [1, 1, "00000000", 1]},
    "a cursor with a short link": {"type": "open", "conversation": "cnv_1", "cursor": [1, 1, "0000000"]},
    "65 cursors": {"type": "hello", "resume": {f"cnv_{i}": [1, 1, "00000000"] for i in range(65)}},
    "a page too long": {"type": "hello", "page": "p" * 2049},
    "17 facts": {"type": "context", "facts": {str(i): "" for i in range(17)}},
    "a fact too long": {"type": "context", "facts": {"plan": "f" * 257}},
    "a page of no entries": {"type": "history", "conversation": "cnv_1", "before": [1, 1, "00000000"], "limit": 0},
    "a page of 101 entries": {"type": "history", "conversation": "cnv_1", "before": [1, 1, "00000000"], "limit": 101},
    "an unknown view": {"type": "inbox", "project": "prj_1", "view": "spam"},
    "typing that is neither on nor off": {"type": "typing", "conversation": "cnv_1", "on": "yes"},
}


@pytest.mark.parametrize("frame", UNFIT.values(), ids=UNFIT)
def test_an_unfit_field_is_refused_with_its_path(frame: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match=r"`\$|required field"):
        codec.decode_client(json.dumps(frame))


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "leave", "ref": "r" * 64, "conversation": "c" * 64},
        {"type": "read", "conversation": "cnv_1", "seq": 2**53 - 1},
        {"type": "hello", "resume": {f"cnv_{i}": [1, 1, "00000000"] for i in range(64)}},
        {"type": "context", "facts": {str(i): "f" * 256 for i in range(16)}},
        {"type": "history", "conversation": "cnv_1", "before": [1, 1, "00000000"], "limit": 100},
    ],
    ids=lambda frame: str(frame["type"]),
)
def test_a_field_at_its_bound_is_accepted(frame: dict[str, Any]) -> None:
    assert codec.decode_client(json.dumps(frame))
