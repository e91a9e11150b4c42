"""Who may say what of a person, what names them, and what they are found by."""

from __future__ import annotations

import dataclasses

import pytest

from chatgateway.core.person import (
    EVERYONE,
    SIGNED,
    WORD_CHARS_MAX,
    WORDS_MAX,
    Description,
    Identifier,
    Person,
    contradicts,
    described,
    folded,
    folded_email,
    folded_prefixes,
    forgotten,
    found_by,
    is_found,
    locked,
    named,
    proved,
)
from chatgateway.types import ExternalId, UnixMs, UserId

THEN, NOW = UnixMs(1_000), UnixMs(2_000)
SOMEBODY = Person(UserId("usr_1"), created_at=THEN, updated_at=THEN)
EVERYTHING = Description(
    name="Anna", short_name="A", email="a@x.example", email_proved=True, emails=("b@x.example",), organization="o1",
    groups=("7",), fields={"plan": "gold"}, labels=("vip",), timezone="Europe/Berlin", language="de",
)  # fmt: skip


class TestWhatIsSigned:
    def test_is_taken_whole_and_locked(self) -> None:
        person = described(SOMEBODY, EVERYTHING, NOW, signed=True)
        for field in dataclasses.fields(EVERYTHING):
            assert getattr(person, field.name) == getattr(EVERYTHING, field.name)
        assert set(person.signed) == {field.name for field in dataclasses.fields(EVERYTHING)} - {"email_proved"}
        assert person.updated_at == NOW

    def test_changes_nothing_that_it_does_not_say(self) -> None:
        person = described(SOMEBODY, EVERYTHING, NOW, signed=True)
        assert described(person, Description(), UnixMs(9), signed=True) == person
        again = described(person, Description(name="Anna B."), UnixMs(9), signed=True)
        assert again == dataclasses.replace(person, name="Anna B.", updated_at=UnixMs(9))

    def test_adds_fields_to_those_that_are_known(self) -> None:
        person = described(SOMEBODY, Description(fields={"plan": "gold", "city": "Bonn"}), NOW, signed=True)
        person = described(person, Description(fields={"plan": ("a", "b")}), NOW, signed=True)
        assert person.fields == {"plan": ("a", "b"), "city": "Bonn"}

    def test_can_take_something_back(self) -> None:
        person = described(SOMEBODY, EVERYTHING, NOW, signed=True)
        person = described(person, Description(email="", labels=()), NOW, signed=True)
        assert (person.email, person.email_proved, person.labels) == ("", False, ())


class TestWhatIsNotSigned:
    def test_leaves_what_was_signed_as_it_is(self) -> None:
        person = described(SOMEBODY, Description(name="Anna"), NOW, signed=True)
        said = Description(name="Mallory", organization="o2")
        edited = described(person, said, NOW, signed=False)
        assert (edited.name, edited.organization, edited.signed) == ("Anna", "o2", ("name",))
        assert locked(person, said) == ("name",)

    def test_is_not_locked(self) -> None:
        person = described(SOMEBODY, Description(name="Anna"), NOW, signed=False)
        assert person.signed == ()
        assert described(person, Description(name="Bob"), NOW, signed=False).name == "Bob"

    def test_repeats_what_was_signed_without_being_refused(self) -> None:
        person = described(SOMEBODY, Description(name="Anna"), NOW, signed=True)
        assert locked(person, Description(name="Anna", language="de")) == ()

    def test_proves_no_address(self) -> None:
        person = described(SOMEBODY, Description(email="a@x.example", email_proved=True), NOW, signed=False)
        assert (person.email, person.email_proved) == ("a@x.example", False)


class TestEmailProof:
    def test_stays_while_the_address_stays(self) -> None:
        person = described(SOMEBODY, Description(email="a@x.example", email_proved=True), NOW, signed=True)
        assert described(person, Description(email="a@x.example"), NOW, signed=True).email_proved
        assert not described(person, Description(email="b@x.example"), NOW, signed=True).email_proved

    def test_by_a_code_gives_an_anonymous_visitor_the_address(self) -> None:
        person = proved(SOMEBODY, "a@x.example", NOW)
        assert (person.email, person.email_proved, person.signed, person.vouched) == ("a@x.example", True, (), False)
        assert proved(person, "a@x.example", UnixMs(9)) == person

    def test_by_a_code_does_not_replace_a_signed_address(self) -> None:
        person = described(SOMEBODY, Description(email="Anna@x.example"), NOW, signed=True)
        assert proved(person, "mallory@x.example", NOW) is person
        assert proved(person, "anna@x.example", NOW).email_proved


class TestIdentifiers:
    ids = (Identifier("external_id", "42"), Identifier("deskpro_id", "usr_1"))

    def test_are_kept_in_the_order_in_which_they_were_learnt(self) -> None:
        person = named(named(SOMEBODY, self.ids[1:], NOW), self.ids, NOW)
        assert person.identifiers == self.ids[::-1]
        assert (person.external_id, person.signed, person.vouched) == ("42", ("external_id",), True)
        assert named(person, self.ids, UnixMs(9)) is person

    def test_that_are_forgotten_name_nobody(self) -> None:
        person = named(SOMEBODY, self.ids, NOW)
        left = forgotten(person, self.ids[0], UnixMs(9))
        assert (left.identifiers, left.external_id, left.signed) == (self.ids[1:], "", ())
        assert forgotten(left, self.ids[0], UnixMs(10)) is left

    def test_of_a_record_from_before_they_were_kept_are_its_external_id(self) -> None:
        old = dataclasses.replace(SOMEBODY, external_id=ExternalId("42"))
        assert old.names == self.ids[:1]
        assert forgotten(old, self.ids[0], NOW).names == ()

    @pytest.mark.parametrize(("one", "two"), [("Anna@X.example", "anna@x.example")])
    def test_that_are_addresses_are_folded_in_ascii_only(self, one: str, two: str) -> None:
        assert folded_email(one) == two
        assert folded_email("Ä@x.example") == "Ä@x.example"
        assert folded_email("\u212a@x.example") != folded_email("k@x.example")  # KELVIN SIGN is no k here


class TestContradiction:
    """Whether identifiers call somebody by another id than the project's server did before."""

    person = named(SOMEBODY, (Identifier("external_id", "42"), Identifier("email", "a@x.example")), NOW)

    def test_is_a_second_id_of_a_kind(self) -> None:
        assert contradicts(self.person, (Identifier("external_id", "43"),))
        assert contradicts(self.person, (Identifier("email", "a@x.example"), Identifier("external_id", "43")))

    @pytest.mark.parametrize(
        "said",
        [
            Identifier("external_id", "42"), Identifier("email", "b@x.example"),
            Identifier("deskpro_email", "b@x.example"), Identifier("deskpro_id", "7"),
            Identifier("deskpro_id", "usr_1"),
        ],
    )  # fmt: skip
    def test_is_neither_the_same_id_nor_another_kind_nor_another_address(self, said: Identifier) -> None:
        assert not contradicts(self.person, (said,))

    def test_is_no_id_of_ours_beside_the_projects_own(self) -> None:
        person = named(SOMEBODY, (Identifier("deskpro_id", "7"),), NOW)
        assert not contradicts(person, (Identifier("deskpro_id", "usr_1"),))

    def test_is_an_id_of_the_projects_beside_ours(self) -> None:
        """Ours is all that tokens have called them so far: a foreign id is somebody else's."""
        person = named(SOMEBODY, (Identifier("deskpro_id", "usr_1"),), NOW)
        assert contradicts(person, (Identifier("deskpro_id", "7"),))

    def test_counts_the_external_id_of_a_record_from_before_identifiers_were_kept(self) -> None:
        old = dataclasses.replace(SOMEBODY, external_id=ExternalId("42"))
        assert contradicts(old, (Identifier("external_id", "43"),))


class TestGroups:
    def test_that_everybody_gets_are_named_by_nobody(self) -> None:
        person = described(SOMEBODY, Description(groups=(EVERYONE, SIGNED, "7")), NOW, signed=True)
        assert person.groups == ("7",)
        assert person.all_groups == (EVERYONE, "7")
        assert named(person, (Identifier("email", "a@x.example"),), NOW).all_groups == (EVERYONE, SIGNED, "7")


class TestFinding:
    person = dataclasses.replace(
        SOMEBODY, name="Ánna-María  O'Neil", short_name="Straße", email="AM@X.example", emails=("two@x.example",),
        identifiers=(Identifier("external_id", "Kunde 42"),),
    )  # fmt: skip

    @pytest.mark.parametrize(
        "typed", ["anna", "ÁNNA", "mari", "anna-m", "neil", "o'n", "strasse", "STRASS", "am@x", "two@", "kunde", "42"]
    )
    def test_takes_no_notice_of_case_accents_and_places(self, typed: str) -> None:
        assert is_found(self.person, folded_prefixes(typed))

    def test_needs_every_word(self) -> None:
        assert is_found(self.person, folded_prefixes("maria ann"))
        assert not is_found(self.person, folded_prefixes("maria bob"))

    def test_looks_for_the_longest_word_first(self) -> None:
        assert folded_prefixes("  a Bcd éf ") == ("bcd", "ef", "a")
        assert folded_prefixes(" \t") == ()

    def test_is_bounded(self) -> None:
        long = dataclasses.replace(
            SOMEBODY, name=" ".join(f"{'x' * 100}{n}" for n in range(100)), emails=("z@x.y",) * 99
        )
        many = dataclasses.replace(SOMEBODY, name=" ".join(f"w{n}" for n in range(100)))
        assert found_by(long) == ("x" * WORD_CHARS_MAX, "z@x.y")
        assert len(found_by(many)) == WORDS_MAX

    def test_folds_to_the_same_text_twice(self) -> None:
        for text in ("Ǆ", "ﬃ", "İ", "ΐ", "A\u030a", "ς"):
            assert folded(folded(text)) == folded(text)
