"""Passwords are kept as Argon2id, compared a few at a time, and nobody's takes as long as anybody's."""

from __future__ import annotations

import asyncio

import pytest

from chatgateway.store import passwords as module
from chatgateway.store.passwords import PASSWORD_MAX, PASSWORD_MIN, Cost, Passwords

CHEAP = Cost(memory_kib=64, iterations=1)


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(CHEAP)


async def test_one_matches_itself_and_nothing_else(passwords: Passwords) -> None:
    phc = await passwords.hash("correct horse")
    assert await passwords.matches("correct horse", phc)
    assert not await passwords.matches("correct horses", phc)
    assert not await passwords.matches("", phc)


async def test_the_same_twice_is_stored_differently(passwords: Passwords) -> None:
    assert await passwords.hash("correct horse") != await passwords.hash("correct horse")


async def test_the_default_costs_64_mib_and_three_passes() -> None:
    phc = await Passwords().hash("correct horse")
    assert phc.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert "horse" not in phc


@pytest.mark.parametrize("length", [0, PASSWORD_MIN - 1, PASSWORD_MAX + 1])
async def test_one_of_bad_length_is_refused(passwords: Passwords, length: int) -> None:
    with pytest.raises(ValueError, match="a password has"):
        await passwords.hash("x" * length)


async def test_the_longest_is_compared_to_its_end(passwords: Passwords) -> None:
    phc = await passwords.hash("x" * PASSWORD_MAX)
    assert await passwords.matches("x" * PASSWORD_MAX, phc)
    assert not await passwords.matches("x" * (PASSWORD_MAX + 1), phc)


async def test_one_that_no_keyboard_types_is_just_wrong(passwords: Passwords) -> None:
    assert not await passwords.matches("\ud800", await passwords.hash("correct horse"))


async def test_nobodys_takes_the_same_work_and_never_matches(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    verified = module._verified

    def noting(password: str, phc: str) -> bool:
        compared.append(phc)
        return verified(password, phc)

    monkeypatch.setattr(module, "_verified", noting)
    assert not await passwords.matches("correct horse", "")
    assert not await passwords.matches("correct horse", await passwords.hash("wrong horse"))
    assert [phc.split("$")[:4] for phc in compared] == [["", "argon2id", "v=19", "m=64,t=1,p=1"]] * 2


async def test_only_two_are_compared_at_once(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = 0, 0

    async def in_a_thread(*_: object) -> bool:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _turn in range(10):  # everybody who may come in does so meanwhile
            await asyncio.sleep(0)
        at_once -= 1
        return False

    monkeypatch.setattr(asyncio, "to_thread", in_a_thread)
    await asyncio.gather(*(passwords.matches("x", "$phc") for _ in range(8)))
    assert most == 2
