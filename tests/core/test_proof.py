"""What a code is, what it answers, and which addresses may be asked for."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgateway.core import proof
from chatgateway.core.credential import CredentialRing
from chatgateway.core.keyring import Material
from chatgateway.core.proof import Pending
from chatgateway.errors import EmailMalformed
from chatgateway.types import ProjectId, UserId

RING = CredentialRing(1, (Material(b"k" * 32),))
SHOP, ADA, EMAIL = ProjectId("prj_shop"), UserId("usr_ada"), "ada@shop.example"
CODE = "012345"


def pending(tries: int = 1, email: str = EMAIL, ring: CredentialRing = RING) -> Pending:
    return Pending(email, proof.digest(CODE, SHOP, ADA, email, ring), tries)


class TestACode:
    @given(st.binary(min_size=proof.ENTROPY_BYTES, max_size=32))
    def test_is_always_six_digits(self, entropy: bytes) -> None:
        code = proof.code_from(entropy)
        assert len(code) == 6
        assert code.isascii()
        assert code.isdigit()

    def test_keeps_its_leading_zeros(self) -> None:
        assert proof.code_from(bytes(15) + b"\x07") == "000007"

    def test_is_not_made_of_too_little_chance(self) -> None:
        with pytest.raises(ValueError, match="random"):
            proof.code_from(bytes(15))

    @pytest.mark.parametrize(
        "typed", ["012345", " 012 345\n", "012-345", "012\u00a0345", "\uff10\uff11\uff12345", "٠١٢٣٤٥"]
    )
    def test_may_be_typed_as_people_do(self, typed: str) -> None:
        assert proof.typed_code(typed) == CODE

    @pytest.mark.parametrize("typed", ["", "12345", "0123456", "01234a", "01234²", "+12345", "01234Ⅷ"])
    def test_is_nothing_else(self, typed: str) -> None:
        assert proof.typed_code(typed) is None


class TestAnAnswer:
    def test_is_right_for_its_visitor_and_address(self) -> None:
        assert proof.answers(CODE, pending(), SHOP, ADA, RING)

    @given(st.integers(0, 999_999).map("{:06}".format))
    def test_is_wrong_with_any_other_code(self, code: str) -> None:
        assert proof.answers(code, pending(), SHOP, ADA, RING) == (code == CODE)

    def test_is_wrong_for_another_visitor_project_or_address(self) -> None:
        assert not proof.answers(CODE, pending(), SHOP, UserId("usr_bob"), RING)
        assert not proof.answers(CODE, pending(), ProjectId("prj_bar"), ADA, RING)
        assert not proof.answers(CODE, dataclasses.replace(pending(), email="bob@shop.example"), SHOP, ADA, RING)

    def test_is_wrong_from_the_sixth_try_on(self) -> None:
        assert [proof.answers(CODE, pending(tries), SHOP, ADA, RING) for tries in (5, 6, 7)] == [True, False, False]

    def test_is_wrong_where_nothing_was_sent(self) -> None:
        assert not proof.answers(CODE, Pending(EMAIL, b"", 1), SHOP, ADA, RING)

    def test_is_right_after_the_gateways_key_was_replaced_and_wrong_once_it_is_gone(self) -> None:
        fresh = Material(b"n" * 32)
        assert proof.answers(CODE, pending(), SHOP, ADA, CredentialRing(2, (fresh, *RING.keys)))
        assert not proof.answers(CODE, pending(), SHOP, ADA, CredentialRing(3, (fresh,)))

    def test_is_remembered_under_the_newest_key(self) -> None:
        fresh = Material(b"n" * 32)
        assert pending(ring=CredentialRing(2, (fresh, *RING.keys))) == pending(ring=CredentialRing(3, (fresh,)))

    def test_cannot_be_found_in_what_is_remembered_without_the_key(self) -> None:
        assert pending().digest != pending(ring=CredentialRing(1, (Material(b"x" * 32),))).digest
        assert CODE.encode() not in pending().digest


class TestAnAddress:
    @pytest.mark.parametrize(
        "text",
        ["ada@shop.example", "A.B+c'd@sub.shop.example", "x" * 64 + "@x.co", "a@1.example", "a@xn--bcher-kva.example"],
    )
    def test_is_a_dot_atom_at_a_name(self, text: str) -> None:
        assert proof.required_address(f" {text}\n") == text

    @pytest.mark.parametrize(
        "text",
        [
            *("", "ada", "@shop.example", "ada@", "ada@shop", "ada@@shop.example", "a@b@shop.example"),
            *("a..b@shop.example", ".a@shop.example", "a.@shop.example", "a@.example", "a@shop..example"),
            *("a@-shop.example", "a@shop-.example", "a@shop.example.", "a@127.0.0.1", "a@[127.0.0.1]"),
            *("a b@shop.example", '"a b"@shop.example', "Ada <ada@shop.example>", "a@x.co,b@x.co", "a@x.co b@x.co"),
            *("a@x.co\r\nBcc: b@x.co", "a\r\n@x.co", "a\0@x.co", "a@x.co\0", "a@x.co\u2028b", "\u0430da@shop.example"),
            *("a@\u0455hop.example", "\ud800@x.co", "x" * 65 + "@x.co", "a@" + "x" * 64 + ".co"),
            "a@" + ".".join(["x" * 62] * 4) + ".example",
        ],
    )
    def test_is_nothing_else(self, text: str) -> None:
        with pytest.raises(EmailMalformed):
            proof.required_address(text)

    @given(st.text())
    def test_whatever_is_taken_holds_nothing_that_a_header_or_a_command_could_be_made_of(self, text: str) -> None:
        try:
            address = proof.required_address(text)
        except EmailMalformed:
            return
        assert not set(address) & set('\r\n\0 <>,;:"()[]\\')
        assert address.count("@") == 1

    def test_counts_as_its_mailbox(self) -> None:
        assert proof.counted_as("Ada+news@Shop.example") == proof.counted_as("ada@shop.example")
        assert proof.counted_as("+@shop.example") == "+@shop.example"
        assert proof.counted_as("ada@shop.example") != proof.counted_as("ada@bar.example")


class TestALetter:
    def test_says_project_code_and_life_and_what_to_do_if_it_was_not_you(self) -> None:
        subject, text = proof.letter(CODE, "Difference & Co.")
        assert "Difference & Co." in subject
        for said in ("Difference & Co.", CODE, "10 minutes", "ignore"):
            assert said in text

    def test_has_no_code_in_its_subject_and_nothing_to_click(self) -> None:
        subject, text = proof.letter(CODE, "Shop")
        assert CODE not in subject
        assert "http" not in text
        assert "<" not in text
