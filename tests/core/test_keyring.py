"""What a ring and its keys are worth, and what a secret looks like."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.jose import SIGNERS

from chatgateway.core.keyring import (
    LATELY_MS,
    KeyKind,
    KeyRing,
    KeyState,
    Material,
    SigningKey,
    fingerprint,
    followed_set,
    is_secret,
    is_secret_like,
    public_key,
    secret_from,
    shared_secret,
)
from chatgateway.core.public_key import FollowedKey, PublicMaterial
from chatgateway.errors import KeyUnknown
from chatgateway.types import KeyId, UnixMs

NOW = UnixMs(1_795_249_707_000)
PEM = SIGNERS["k_rsa"].public().decode()
URL = "https://shop.example/.well-known/jwks.json"


def key(kid: str, state: KeyState = "active", algorithm: KeyKind = "HS256") -> SigningKey:
    made = shared_secret(KeyId(kid), secret_from(kid.encode().ljust(32)[:32], live=True), kid, NOW)
    return replace(made, state=state, algorithm=algorithm)


def ring(*keys: SigningKey) -> KeyRing:
    made = KeyRing()
    for one in reversed(keys):
        made = made.add(one)
    return made


class TestSecret:
    def test_has_the_published_form(self) -> None:
        secret = secret_from(bytes(range(32)), live=True)
        assert secret.startswith("cgs_live_")
        assert len(secret) == 9 + 43 + 1 + 6
        assert is_secret(secret)
        assert secret_from(bytes(range(32)), live=False).startswith("cgs_test_")

    @pytest.mark.parametrize("entropy", [bytes(32), b"\xff" * 32], ids=["zeros", "ones"])
    def test_holds_every_one_of_256_bits(self, entropy: bytes) -> None:
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        value = 0
        for char in secret_from(entropy, live=True)[9:52]:
            value = value * 62 + digits.index(char)
        assert value == int.from_bytes(entropy, "big")

    @pytest.mark.parametrize("size", [0, 31, 33])
    def test_is_made_of_exactly_32_bytes(self, size: int) -> None:
        with pytest.raises(ValueError, match="32 random bytes"):
            secret_from(bytes(size), live=True)

    @given(st.binary(min_size=32, max_size=32), st.integers(0, 58), st.sampled_from("aZ0"))
    def test_with_a_typing_error_is_known_without_asking_anybody(self, entropy: bytes, at: int, char: str) -> None:
        secret = secret_from(entropy, live=True)
        wrong = secret[:at] + char + secret[at + 1 :]
        assert is_secret(wrong) == (wrong == secret)

    def test_is_noticed_inside_other_text_even_with_a_typing_error(self) -> None:
        secret = secret_from(bytes(32), live=True)
        assert is_secret_like(f"Authorization: Bearer {secret[:-1]}x;")
        assert not is_secret_like("cgs_live_short")
        assert not is_secret(f" {secret}")
        assert not is_secret("_000000")  # the checksum of nothing


class TestMaterial:
    def test_shows_nothing(self) -> None:
        material = Material(b"top secret")
        assert f"{material} {material!r} {[material]}".count("…") == 3
        assert "secret" not in f"{material} {material!r}"
        assert material.reveal() == b"top secret"

    def test_is_not_pickled(self) -> None:
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(Material(b"x"))

    def test_equals_by_value(self) -> None:
        assert Material(b"x") == Material(b"x") != Material(b"y")
        assert len({Material(b"x"), Material(b"x")}) == 1
        assert Material(b"x") != b"x"


class TestSigningKey:
    def test_of_a_secret_says_what_may_be_shown(self) -> None:
        secret = secret_from(bytes(32), live=True)
        made = shared_secret(KeyId("k_1"), secret, "the shop", NOW)
        assert (made.prefix, made.last_four, made.state) == ("cgs_live_", secret[-4:], "active")
        assert made.fingerprint == fingerprint(secret.encode())
        assert made.secret.reveal() == secret.encode()
        assert secret not in repr(made)

    def test_of_a_short_secret_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 32 bytes"):
            shared_secret(KeyId("k_1"), "x" * 31, "", NOW)
        assert shared_secret(KeyId("k_1"), "x" * 32, "", NOW).prefix == ""

    @pytest.mark.parametrize("file", [PEM, '{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}', f"x{PEM}"])
    def test_of_a_secret_is_not_made_of_a_key_file(self, file: str) -> None:
        with pytest.raises(ValueError, match="key file"):
            shared_secret(KeyId("k_1"), file, "", NOW)

    @pytest.mark.parametrize("kid", ["k_rsa", "k_ec", "k_ed"])
    def test_of_a_public_key_has_the_algorithm_of_the_key(self, kid: str) -> None:
        made = public_key(KeyId("k_1"), SIGNERS[kid].public().decode(), "chat", NOW)
        assert (made.algorithm, made.state, made.name) == (SIGNERS[kid].algorithm, "active", "chat")
        assert (made.prefix, made.last_four) == ("", "")
        assert made.material == PublicMaterial(SIGNERS[kid].public())
        assert made.fingerprint == fingerprint(SIGNERS[kid].public())

    def test_of_a_public_key_has_no_secret(self) -> None:
        assert key("k").secret == key("k").material
        with pytest.raises(TypeError, match="k_1 is a public key"):
            _ = public_key(KeyId("k_1"), PEM, "", NOW).secret

    def test_of_a_followed_set_says_where_it_is_and_holds_nothing_yet(self) -> None:
        made = followed_set(KeyId("k_1"), URL, "the shop", NOW)
        assert (made.algorithm, made.url, made.followed, made.state) == ("JWKS", URL, (), "active")
        with pytest.raises(ValueError, match="no public key"):
            assert isinstance(made.material, PublicMaterial)
            made.material.key()

    @pytest.mark.parametrize(
        "url",
        [
            "", "shop.example/jwks", "ftp://shop.example/jwks", "https://", "https:///jwks", "https://a@shop.example/",
            "https://a:b@shop.example/", "https://shop.example/#x", "https://shop.example/a b", "https://shop.example/é",
            "https://shop.example/\n", "https://shop.example:x/", "https://shop.example/" + "x" * 2_048,
        ],
    )  # fmt: skip
    def test_follows_no_address_that_is_none(self, url: str) -> None:
        with pytest.raises(ValueError, match="no address of a key set"):
            followed_set(KeyId("k_1"), url, "", NOW)

    @pytest.mark.parametrize("url", ["http://shop.example/jwks", "HTTP://shop.example/jwks"])
    def test_follows_nothing_that_somebody_in_between_could_change(self, url: str) -> None:
        with pytest.raises(ValueError, match="https only"):
            followed_set(KeyId("k_1"), url, "", NOW)

    @pytest.mark.parametrize(
        ("state", "usable", "dead"),
        [
            ("pending", False, False),
            ("active", True, False),
            ("retiring", True, False),
            ("revoked", False, True),
            ("destroyed", False, True),
        ],
    )
    def test_vouches_in_two_states(self, state: KeyState, usable: bool, dead: bool) -> None:
        assert (key("k", state).usable, key("k", state).dead) == (usable, dead)

    def test_dies_once(self) -> None:
        dead = key("k").revoked(NOW)
        assert (dead.state, dead.revoked_at) == ("revoked", NOW)
        assert dead.revoked(UnixMs(NOW + 1)) == dead
        assert key("k", "destroyed").revoked(NOW).state == "destroyed"

    def test_is_dead_lately_for_a_day(self) -> None:
        dead = key("k").revoked(NOW)
        assert dead.revoked_lately(UnixMs(NOW + LATELY_MS - 1))
        assert not dead.revoked_lately(UnixMs(NOW + LATELY_MS))
        assert not key("k").revoked_lately(NOW)
        assert LATELY_MS == 86_400_000

    def test_is_not_dead_lately_once_destroyed_or_when_nobody_knows_since_when(self) -> None:
        assert not replace(key("k").revoked(NOW), state="destroyed").revoked_lately(NOW)
        assert not key("k", "revoked").revoked_lately(NOW)

    def test_remembers_its_last_use(self) -> None:
        assert key("k").used(NOW).last_used_at == NOW


class TestKeyRing:
    def test_counts_its_changes(self) -> None:
        assert [KeyRing().revision, ring(key("k_1")).revision, ring(key("k_1"), key("k_2")).revision] == [0, 1, 2]

    def test_finds_the_dead_too(self) -> None:
        one = ring(key("k_1"), key("k_2", "revoked"))
        assert one.get(KeyId("k_2")) == key("k_2", "revoked")
        assert one.knows(KeyId("k_2"))
        assert one.get(KeyId("k_3")) is None

    def test_offers_the_usable_of_one_kind_newest_first(self) -> None:
        one = ring(key("k_new"), key("k_rsa", algorithm="RS256"), key("k_dead", "revoked"), key("k_old", "retiring"))
        assert [k.kid for k in one.usable("HS256")] == ["k_new", "k_old"]
        assert [k.kid for k in one.usable()] == ["k_new", "k_rsa", "k_old"]

    @pytest.mark.parametrize("kid", ["", "a b", "a/b", "k" * 65, "é", "a\n"])
    def test_takes_no_id_that_could_not_stand_in_a_token(self, kid: str) -> None:
        with pytest.raises(ValueError, match="not of the form"):
            KeyRing().add(replace(key("k"), kid=KeyId(kid)))

    def test_takes_no_id_of_an_admin_tokens_form(self) -> None:
        """A session rests on either: to revoke the one would end what the other vouched for."""
        with pytest.raises(ValueError, match="admin token"):
            KeyRing().add(key("adm_0123456789abcdef0123"))
        assert KeyRing().add(key("adm.1")).knows(KeyId("adm.1"))

    def test_never_takes_an_id_twice(self) -> None:
        with pytest.raises(ValueError, match="used before"):
            ring(key("k_1", "destroyed")).add(key("k_1"))

    @pytest.mark.parametrize("state", ["active", "revoked", "destroyed"])
    def test_never_takes_a_key_twice_under_two_ids(self, state: KeyState) -> None:
        """To revoke one of them would not mean that the key is gone, and a leaked one would come back."""
        one = ring(replace(public_key(KeyId("k_1"), PEM, "", NOW), state=state))
        with pytest.raises(ValueError, match=f"here already, as k_1 .{state}."):
            one.add(public_key(KeyId("k_2"), PEM, "", NOW))

    def test_follows_a_set_again_after_it_was_given_up(self) -> None:
        one = ring(followed_set(KeyId("k_1"), URL, "", NOW))
        with pytest.raises(ValueError, match="here already"):
            one.add(followed_set(KeyId("k_2"), URL, "", NOW))
        again = one.revoke(KeyId("k_1"), NOW).add(followed_set(KeyId("k_2"), URL, "", NOW))
        assert [k.kid for k in again.usable("JWKS")] == ["k_2"]

    def test_is_given_the_keys_of_its_followed_sets_and_of_nothing_else(self) -> None:
        found = (FollowedKey("r", "RS256", PublicMaterial(PEM.encode())),)
        sets = (followed_set(KeyId(f"k_{n}"), f"{URL}?{n}", "", NOW) for n in (1, 2))
        one = ring(*sets, key("k_3"))
        filled = one.following({KeyId("k_1"): found, KeyId("k_3"): found, KeyId("k_9"): found})
        assert [k.followed for k in filled.keys] == [found, (), ()]
        assert filled.revision == one.revision
        assert filled.following({}) == one

    @pytest.mark.parametrize("state", ["revoked", "destroyed"])
    def test_is_not_given_a_dead_key_back_by_a_set_that_publishes_it(self, state: KeyState) -> None:
        """Whoever holds a leaked key may publish it, or an identity provider go on doing so."""
        leaked = replace(public_key(KeyId("k_1"), PEM, "", NOW), state=state)
        other = FollowedKey("ec", "ES256", PublicMaterial(SIGNERS["k_ec"].public()))
        found = (FollowedKey("rsa", "RS256", PublicMaterial(PEM.encode())), other)
        one = ring(followed_set(KeyId("k_2"), URL, "", NOW), leaked)
        assert one.following({KeyId("k_2"): found}).keys[0].followed == (other,)

    def test_is_given_a_key_that_is_pasted_too_and_lives(self) -> None:
        found = (FollowedKey("rsa", "RS256", PublicMaterial(PEM.encode())),)
        one = ring(followed_set(KeyId("k_2"), URL, "", NOW), public_key(KeyId("k_1"), PEM, "", NOW))
        assert one.following({KeyId("k_2"): found}).keys[0].followed == found

    def test_regenerate_ends_one_secret_and_no_other(self) -> None:
        before = ring(key("k_1"), key("k_2"))
        after = before.regenerate(KeyId("k_1"), key("k_3"), NOW)
        assert [(k.kid, k.state) for k in after.keys] == [("k_3", "active"), ("k_1", "revoked"), ("k_2", "active")]
        assert after.revision == before.revision + 1
        assert before == ring(key("k_1"), key("k_2"))

    def test_regenerate_of_a_dead_secret_gives_a_fresh_one(self) -> None:
        before = ring(key("k_1")).revoke(KeyId("k_1"), NOW)
        after = before.regenerate(KeyId("k_1"), key("k_2"), UnixMs(NOW + 5))
        assert [(k.kid, k.revoked_at) for k in after.keys] == [("k_2", None), ("k_1", NOW)]

    def test_regenerate_refuses_public_keys_used_ids_and_strangers(self) -> None:
        one = ring(key("k_rsa", algorithm="RS256"), key("k_1"))
        with pytest.raises(ValueError, match="public key"):
            one.regenerate(KeyId("k_rsa"), key("k_2"), NOW)
        with pytest.raises(ValueError, match="used before"):
            one.regenerate(KeyId("k_1"), key("k_1"), NOW)
        with pytest.raises(KeyUnknown, match="k_9"):
            one.regenerate(KeyId("k_9"), key("k_2"), NOW)

    def test_revoke_ends_one_key_and_may_be_repeated(self) -> None:
        once = ring(key("k_1"), key("k_2")).revoke(KeyId("k_1"), NOW)
        again = once.revoke(KeyId("k_1"), UnixMs(NOW + 1))
        assert [k.state for k in once.keys] == ["revoked", "active"]
        assert (again.keys, again.revision) == (once.keys, once.revision + 1)
        with pytest.raises(KeyUnknown):
            once.revoke(KeyId("k_9"), NOW)
