"""Hunt for a text that the pre-parser of tokens takes in two ways, or that it trips over. Coverage-guided, by atheris.

    pip install -e .[fuzz,test]
    python tests/fuzz/fuzz_compact.py -max_total_time=600

What is hunted stands in ``hunt``; tests/fuzz/test_fuzz_compact.py runs it over the corpus of tokens, so it cannot rot.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

from chatgateway.core.compact import DEPTH_MAX, HEADER_BYTES_MAX, TOKEN_BYTES_MAX, read, strict_object
from chatgateway.core.public_key import followed_keys
from chatgateway.errors import TokenRejected

SEEDS_MAX = 700


def hunt(data: bytes) -> bool:
    """Return whether a token came of ``data``. Raises AssertionError, or anything unforeseen, for a find."""
    text = data.decode("utf-8", "surrogateescape")
    _json(data)
    _key_set(data)
    try:
        parts = read(text)
    except TokenRejected as refusal:
        assert refusal.detail, "refused for no reason"
        assert refusal.__cause__ is None, "a refusal carries what it refused"
        return False
    assert len(text) <= TOKEN_BYTES_MAX
    assert text.removeprefix("JWT ") == parts.text, "something but the one prefix was taken off"
    runs = [base64.urlsafe_b64decode(run + "==") for run in parts.text.split(".")]
    assert ".".join(base64.urlsafe_b64encode(run).rstrip(b"=").decode() for run in runs) == parts.text, "two texts"
    assert len(runs[0]) <= HEADER_BYTES_MAX
    assert [json.loads(run) for run in runs[:2]] == [parts.header, parts.claims], "another parser reads something else"
    assert not {"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"} & parts.header.keys()
    return True


def _json(data: bytes) -> None:
    try:
        value = strict_object(data)
    except TokenRejected:
        return
    assert value == json.loads(data), "another parser reads something else"
    assert _depth(value) <= DEPTH_MAX


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _key_set(data: bytes) -> None:
    try:
        assert followed_keys(data)
    except ValueError as refusal:
        assert "\n" not in str(refusal)


def seeds() -> list[bytes]:
    """Return the corpus of tokens, honest and hostile, as bytes."""
    from tests.core.hostile_tokens import HONEST, HOSTILE

    texts = [case.token for case in (*HONEST, *HOSTILE) if isinstance(case.token, str)]
    return [text.encode("utf-8", "surrogatepass") for text in texts if len(text) <= 2 * TOKEN_BYTES_MAX][:SEEDS_MAX]


def main() -> None:
    import tempfile

    import atheris

    sys.path.insert(0, str(Path(__file__).parents[2]))
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"{number:03}").write_bytes(seed)
        atheris.instrument_all()
        atheris.Setup([*sys.argv, folder], hunt)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
