"""The published description of the wire is the one that the code has."""

from __future__ import annotations

from pathlib import Path

from chatgateway.close_codes import CloseCode
from chatgateway.protocol.asyncapi import document, encoded

PUBLISHED = Path(__file__).parents[2] / "docs" / "asyncapi.json"


def test_the_published_document_is_what_the_frames_say() -> None:
    assert PUBLISHED.read_text() == encoded(), "run: python -m chatgateway.protocol.asyncapi > docs/asyncapi.json"


def test_every_reference_leads_somewhere() -> None:
    found = document()

    def look(node: object) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                place: object = found
                for step in reference.removeprefix("#/").split("/"):
                    assert isinstance(place, dict)
                    assert step in place, reference
                    place = place[step]
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    look(found)


def test_every_close_code_is_published_and_its_reason_fits_a_close_frame() -> None:
    codes = document()["x-close-codes"]
    assert codes == {str(code.value): code.reason for code in CloseCode}
    assert all(len(reason.encode()) <= 123 for reason in codes.values())
