"""What a project's server may tell of a person, and the sentence it is answered when it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgateway.core.payload import ENTRIES_MAX, ID_CHARS_MAX, PERSON_BYTES_MAX
from chatgateway.core.person import Description, Identifier
from chatgateway.core.project import Project
from chatgateway.core.upsert import TEXT_CHARS_MAX, Upsert, description, external_id, identifiers, read
from chatgateway.errors import Unacceptable
from chatgateway.types import ProjectId

SHOP = Project(ProjectId("prj_shop"), "Shop")
BY_EMAIL = Project(ProjectId("prj_mail"), "Mail", identify_by_email=True)

WHOLE: dict[str, Any] = {
    "external_id": "u-1",
    "name": " Ada Lovelace ",
    "short_name": "Ada",
    "email": "Ada@shop.example",
    "email_proved": True,
    "emails": ["ada@home.example"],
    "organization": "Analytical Engines",
    "groups": ["7", "7", ""],
    "fields": {"plan": "gold", "langs": ["en", "fr"]},
    "labels": ["vip"],
    "timezone": "Europe/London",
    "language": "en",
}


def told(**more: Any) -> Upsert:
    return read(json.dumps({"external_id": "u-1"} | more).encode())


class TestLine:
    def test_says_all_that_a_person_can_be_described_by(self) -> None:
        said = description(read(json.dumps(WHOLE).encode()))
        assert said == Description(
            name="Ada Lovelace",
            short_name="Ada",
            email="Ada@shop.example",
            email_proved=True,
            emails=("ada@home.example",),
            organization="Analytical Engines",
            groups=("7",),
            fields={"plan": "gold", "langs": ("en", "fr")},
            labels=("vip",),
            timezone="Europe/London",
            language="en",
        )

    def test_with_null_says_nothing_and_with_an_empty_list_says_none(self) -> None:
        said = description(told(name=None, labels=[]))
        assert said.name is None
        assert said.labels == ()

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            (b"", "JSON"),
            (b"[]", "JSON"),
            (b'{"external_id": 7}', "external_id"),
            (b'{"external_id": "u", "nmae": "x"}', "nmae"),
            (b'{"external_id": "u", "email_proved": "false"}', "email_proved"),
            (b'{"external_id": "u", "fields": {"a": 1}}', "fields"),
            (b'{"external_id": "\xff"}', "JSON"),
        ],
    )
    def test_that_is_none_is_answered_with_the_place(self, line: bytes, why: str) -> None:
        with pytest.raises(Unacceptable, match=why):
            read(line)

    def test_under_another_name_is_answered_with_the_right_one(self) -> None:
        with pytest.raises(Unacceptable, match="unknown field email_verified; here it is called email_proved"):
            read(b'{"external_id": "u-1", "email": "a@b.example", "email_verified": true}')

    def test_is_never_repeated_in_the_answer(self) -> None:
        for line in (b'{"external_id": {"private": "words"}}', b'{"external_id": "u", "name": ["private words"]}'):
            with pytest.raises(Unacceptable) as refused:
                read(line)
            assert "words" not in str(refused.value)

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_of_whatever_bytes_is_read_or_refused(self, line: bytes) -> None:
        try:
            description(read(line))
        except Unacceptable as error:
            assert "\n" not in str(error)


class TestId:
    def test_is_taken_as_it_is(self) -> None:
        for text in ("u-1", "a}:{b", "*", "Ada", "ada", "é" * ID_CHARS_MAX):
            assert external_id(text) == text

    @pytest.mark.parametrize("text", ["", "x" * (ID_CHARS_MAX + 1), " u", "u ", "a\0b", "a\u200bb", "\ud800", "a\nb"])
    def test_that_cannot_be_seen_or_compared_is_refused(self, text: str) -> None:
        with pytest.raises(Unacceptable, match="external_id"):
            external_id(text)


class TestIdentifiers:
    def test_are_the_external_id_alone_as_a_rule(self) -> None:
        assert identifiers(read(json.dumps(WHOLE).encode()), SHOP) == (Identifier("external_id", "u-1"),)

    def test_include_a_proved_address_where_project_and_server_want_it(self) -> None:
        named = identifiers(told(email="Ada@Shop.example", email_proved=True, identify_by_email=True), BY_EMAIL)
        assert named == (Identifier("external_id", "u-1"), Identifier("email", "ada@shop.example"))

    def test_never_include_an_address_where_the_project_did_not_opt_in(self) -> None:
        with pytest.raises(Unacceptable, match="project"):
            identifiers(told(email="a@b.example", email_proved=True, identify_by_email=True), SHOP)

    @pytest.mark.parametrize("said", [{}, {"email": "a@b.example"}, {"email": "a@b.example", "email_proved": False}])
    def test_never_include_an_address_that_nobody_proved(self, said: dict[str, Any]) -> None:
        with pytest.raises(Unacceptable, match="email_proved"):
            identifiers(told(**said, identify_by_email=True), BY_EMAIL)


class TestDescription:
    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ({"name": "x" * (TEXT_CHARS_MAX + 1)}, "name has at most"),
            ({"name": "a\0b"}, "control"),
            ({"organization": "a\u202eb"}, "turn"),
            ({"email": "not an address"}, "address"),
            ({"emails": ["a@b.example", "x"]}, "address"),
            ({"email_proved": True}, "no email"),
            ({"labels": ["x"] * (ENTRIES_MAX + 1)}, "labels has at most"),
            ({"fields": {str(number): "x" for number in range(ENTRIES_MAX + 1)}}, "fields has at most"),
            ({"fields": {"x": ["y"] * (ENTRIES_MAX + 1)}}, "values"),
            ({"fields": {"x\0": "y"}}, "control"),
            ({"fields": {str(number): "x" * 255 for number in range(PERSON_BYTES_MAX // 255 + 1)}}, "bytes"),
        ],
    )
    def test_that_cannot_be_is_refused_with_its_reason(self, said: dict[str, Any], why: str) -> None:
        with pytest.raises(Unacceptable, match=why):
            description(told(**said))

    def test_keeps_the_joiners_that_names_are_written_with(self) -> None:
        assert description(told(name="می\u200cخواهم 👩\u200d🚀")).name == "می\u200cخواهم 👩\u200d🚀"
