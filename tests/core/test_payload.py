"""What a description is made of; what is refused is in hostile_people.py."""

from __future__ import annotations

import pytest
from tests.core.jose import CLAIMS, PROJECT

from chatgateway.core.payload import PERSON_BYTES_MAX, Payload, payload_of
from chatgateway.core.profiles import CANONICAL, DESKPRO, PLAIN
from chatgateway.errors import TokenRejected


def of(**claims: object) -> Payload:
    return payload_of({"external_id": "u-1", **claims}, CANONICAL, PROJECT)


class TestTexts:
    @pytest.mark.parametrize("nothing", [None, "", "  "])
    def test_that_are_empty_say_nothing(self, nothing: str | None) -> None:
        said = of(name=nothing, short_name=nothing, organization=nothing, timezone=nothing, language=nothing)
        assert {said.description.name, said.description.short_name, said.description.organization} == {None}
        assert (said.description.timezone, said.description.language) == (None, None)

    def test_are_trimmed(self) -> None:
        said = of(short_name=" Ada ", labels=[" vip ", "vip", ""]).description
        assert (said.short_name, said.labels) == ("Ada", ("vip",))

    def test_of_an_address_stay_as_they_are_written(self) -> None:
        said = payload_of({"email": "Ada@Example.com"}, DESKPRO, PROJECT)
        assert said.description.email == "Ada@Example.com"
        assert [(one.kind, one.text) for one in said.identifiers] == [("deskpro_email", "ada@example.com")]


class TestLists:
    def test_that_are_absent_or_null_say_nothing_and_empty_ones_say_none(self) -> None:
        assert (of().description.labels, of(labels=None).description.labels, of(labels=[]).description.labels) == (
            None, None, (),
        )  # fmt: skip

    def test_hold_up_to_64(self) -> None:
        assert len(of(labels=[str(n) for n in range(64)]).description.labels or ()) == 64

    def test_of_groups_lose_the_two_that_everybody_gets(self) -> None:
        said = payload_of({"deskpro_id": "1", "usergroup_ids": ["1", "2"]}, DESKPRO, PROJECT)
        assert (said.description.groups, said.warnings) == ((), ("reserved_group",))
        said = payload_of({"deskpro_id": "1", "usergroup_ids": ["12"]}, DESKPRO, PROJECT)
        assert (said.description.groups, said.warnings) == (("12",), ())


class TestFields:
    def test_are_texts_and_lists_of_texts(self) -> None:
        table = {"plan": "gold", "tags": ["a", "b"], "none": [], "empty": ""}
        assert of(fields=table).description.fields == {"plan": "gold", "tags": ("a", "b"), "none": (), "empty": ""}

    @pytest.mark.parametrize("value", [5, None, True, {"a": "b"}, ["a", 5], [None]])
    def test_of_other_types_are_passed_over_and_named(self, value: object) -> None:
        said = of(fields={"kept": "x", "other": value})
        assert (said.description.fields, said.dropped) == ({"kept": "x"}, ("fields.other",))

    def test_without_a_name_or_with_one_that_asks_for_rights_are_passed_over(self) -> None:
        said = of(fields={"": "x", "isAdmin": "yes", "verified": "✓"})
        assert (said.description.fields, said.dropped) == ({}, ("fields.", "fields.isAdmin", "fields.verified"))


class TestSize:
    def test_is_that_of_everything_together(self) -> None:
        base = {"name": "語" * 400, "labels": ["x" * 500], "fields": {"k" * 100: "v" * 200}, "emails": ["a@b.example"]}
        used = len("u-1") + 1_200 + 500 + 300 + len("a@b.example")
        fits = of(**base, organization="o" * (PERSON_BYTES_MAX - used))
        assert fits.description.organization
        with pytest.raises(TokenRejected) as refusal:
            of(**base, organization="o" * (PERSON_BYTES_MAX - used + 1))
        assert refusal.value.detail == "person_too_big"


def test_what_nobody_asked_for_is_dropped_and_reported() -> None:
    said = payload_of({**CLAIMS, "externalId": "u-2", "fullName": "Ada", "email": {"email": "a@b.example",
        "isVerified": False}}, PLAIN, PROJECT)  # fmt: skip
    assert said.dropped == ("external_id", "name")
    assert said.identifiers[0].text == "u-2"
    assert said.description.email_proved is False
