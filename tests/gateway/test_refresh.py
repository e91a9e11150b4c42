"""A refresh in band keeps the person, whichever claims profile reads the token; another person is refused."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jwt
import pytest
from tests.gateway.indoors import Indoors
from tests.gateway.page import Page, exchanged

from chatgateway.core.profiles import PROFILES
from chatgateway.core.sample import sample_claims
from chatgateway.types import KeyId


class Signer:
    """The project's server, in the shape of one vendor."""

    def __init__(self, indoors: Indoors, profile: str) -> None:
        self._indoors, self._profile = indoors, profile

    @classmethod
    async def of(cls, indoors: Indoors, profile: str) -> Signer:
        await indoors.parts.projects.update_app(indoors.app.id, lambda app: dataclasses.replace(app, profile=profile))
        return cls(indoors, profile)

    def token(self, person: str) -> str:
        claims = sample_claims(
            self._profile, self._indoors.project.id, person, int(time.time()), 300,
            name=person.title(), email=f"{person}@shop.example",
        )  # fmt: skip
        return self.sign(claims)

    def sign(self, claims: Any) -> str:
        return jwt.encode(dict(claims), self._indoors._secrets[KeyId("k1")], "HS256", headers={"kid": "k1"})


@pytest.mark.parametrize("profile", sorted(PROFILES))
async def test_keeps_the_person_and_refuses_another(indoors: Indoors, profile: str) -> None:
    signer = await Signer.of(indoors, profile)
    tab = await indoors.visitor(signer.token("ada"))
    conversation = await tab.start("Ada's")
    bob = await exchanged(indoors, signer.token("bob"))
    refreshed = await tab.do("authenticate", token=signer.token("ada"))
    assert (refreshed["user"], refreshed["session"]) == (tab.me["user"], tab.me["session"])
    for _ in range(2):
        assert (await tab.ask("authenticate", token=signer.token("bob")))["code"] == "identity_changed"
        assert tab.connection.user == tab.me["user"]
    await tab.do("send", conversation=conversation, text="still Ada")
    # Over HTTP a token makes a session of whom it names, and leaves the others alone.
    assert (await exchanged(indoors, signer.token("ada")))["user"] == tab.me["user"] != bob["user"]
    page = Page(indoors, refreshed["session_token"])
    assert await page.texts(conversation) == ["Ada's", "still Ada"]
    assert (await Page(indoors, bob["session_token"]).get("/conversations")).json() == {"conversations": []}
    assert (await indoors.rows(tab.me["user"])).keys() >= {tab.me["session"]}


class TestDeskproWithTwoNames:
    async def test_keeps_whoever_either_of_them_names(self, indoors: Indoors) -> None:
        signer = await Signer.of(indoors, "deskpro")
        by_email = {"email": "Ada@Shop.example", "name": "Ada"}
        tab = await indoors.visitor(signer.sign(by_email))
        for claims in (
            by_email | {"deskpro_id": "7"},  # learnt now
            {"deskpro_id": "7", "name": "Ada"},
            {"deskpro_id": "7", "email": "ada@shop.example", "name": "Ada L."},
        ):
            assert (await tab.do("authenticate", token=signer.sign(claims)))["user"] == tab.me["user"]

    async def test_refuses_names_of_two_people_and_changes_neither(self, indoors: Indoors) -> None:
        signer = await Signer.of(indoors, "deskpro")
        ada, bob = {"deskpro_id": "7", "email": "ada@shop.example"}, {"deskpro_id": "8", "email": "bob@shop.example"}
        tab = await indoors.visitor(signer.sign(ada | {"name": "Ada"}))
        other = await exchanged(indoors, signer.sign(bob | {"name": "Bob"}))
        mixed = signer.sign({"deskpro_id": "8", "email": "ada@shop.example", "name": "Mallory"})
        assert (await tab.ask("authenticate", token=mixed))["code"] == "identity_conflict"
        async with indoors.browser(headers={"Origin": "https://shop.example"}) as browser:
            answer = await browser.post("/v1/token", json={"app": indoors.app.id, "token": mixed})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "identity_conflict")
        people = indoors.parts.identities
        names = [(await people.get(indoors.project.id, user)) for user in (tab.me["user"], other["user"])]
        assert [person.name for person in names if person] == ["Ada", "Bob"]
        assert (await tab.ask("authenticate", token=signer.sign(bob)))["code"] == "identity_changed"
        await tab.start("still Ada")
