"""Keeping the chat from before signing in: who may, what everybody sees of it, and every way to cheat."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

from tests.gateway.indoors import Indoors, Tab, settled

from chatgateway.core import adoption as rules
from chatgateway.core import credential as credentials
from chatgateway.errors import StoreUnavailable
from chatgateway.gateway.parts import Parts
from chatgateway.store import schema
from chatgateway.store.conversations import Conversations
from chatgateway.types import ConversationId, UnixMs, UserId


async def log(indoors: Indoors, conversation: str) -> list[dict[str, Any]]:
    """Every entry of a conversation: what it is, whose, and how sure we were."""
    entries = await Conversations(indoors.store).entries(ConversationId(conversation))
    return [json.loads(event) for event, _ in entries]


def marks(entries: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(entry.get("kind", "text"), entry["from"]["user"], entry["from"]["assurance"]) for entry in entries]


async def listed(tab: Tab) -> list[str]:
    """The person's own conversations, as they are listed."""
    ref = tab._indoors.ref()
    tab.say("conversations", ref=ref)
    names: list[str] = []
    while True:
        async with asyncio.timeout(5):
            frame = None
            while frame is None:
                found = [one for one in tab.unread if one.get("ref") == ref]
                frame = found[0] if found else None
                await asyncio.sleep(0)
        tab.unread.remove(frame)
        if frame["type"] == "ack":
            return names
        names.append(frame["conversation"])
        if not frame.get("more"):
            return names


async def signed_in(indoors: Indoors, person: str = "ada", text: str = "hello") -> tuple[Tab, str]:
    """A stranger who began a chat and signed in during it, on the same socket."""
    tab = await indoors.visitor()
    conversation = await tab.start(text)
    await tab.open(conversation)
    tab.me |= {"earlier": tab.me["user"], "earlier_token": tab.me["session_token"]}
    identity = await tab.do("authenticate", token=indoors.token(person))
    tab.me |= {name: identity[name] for name in ("user", "session", "session_token")}
    tab.me["adoptable"] = identity.get("adoptable", [])
    return tab, conversation


async def policy(indoors: Indoors, adoption: Any) -> None:
    await indoors.parts.projects.update_app(indoors.app.id, lambda app: dataclasses.replace(app, adoption=adoption))


class TestKeeping:
    async def test_makes_the_chat_the_accounts_everywhere_and_changes_no_message(self, indoors: Indoors) -> None:
        other = await indoors.node()
        tab, conversation = await signed_in(indoors)
        assert tab.me["adoptable"] == [conversation]
        elsewhere = await indoors.visitor(indoors.token("ada"), parts=other)
        assert await listed(elsewhere) == []
        kept = await tab.do("adopt")
        assert kept["type"] == "adoption"
        assert (kept["conversations"], kept["user"]) == ([conversation], tab.me["user"])
        # The person's other socket hears of it, finds it, and may write.
        told = await elsewhere.hears("adoption")
        assert (told["receipt"], told.get("ref", "")) == (kept["receipt"], "")
        # Who asked was answered, and is not told a second time.
        await settled()
        assert not [frame for frame in tab.unread if frame["type"] == "adoption"]
        assert await listed(elsewhere) == [conversation]
        await elsewhere.do("send", conversation=conversation, text="from the other browser")
        await tab.hears("message", lambda one: one.get("text") == "from the other browser")
        ada, stranger = tab.me["user"], tab.me["earlier"]
        entries = await log(indoors, conversation)
        assert marks(entries) == [
            ("text", stranger, "anonymous"),
            ("signed_in", ada, "signed"),
            ("adopted", ada, "signed"),
            ("text", ada, "signed"),
        ]
        assert entries[2]["subject"] == stranger
        assert await listed(tab) == [conversation]

    async def test_shows_agents_that_it_is_confirmed(self, indoors: Indoors) -> None:
        agent = await indoors.colleague()
        await agent.do("inbox", project=indoors.project.id)
        tab, conversation = await signed_in(indoors)
        await agent.open(conversation)
        await tab.do("adopt")
        badge = await agent.hears("identity", lambda one: one.get("confirmed", True))
        assert (badge["conversation"], badge["user"], badge["identity"]) == (conversation, tab.me["user"], "signed")
        assert (await agent.hears("message", lambda one: one.get("kind") == "adopted"))["subject"]
        row = await agent.hears("inbox", lambda one: one["rows"] and not one["rows"][0].get("pending"))
        assert row["rows"][0]["visitor"]["user"] == tab.me["user"]

    async def test_is_audited_with_its_receipt(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        kept = await tab.do("adopt")
        await tab.do("unadopt", receipt=kept["receipt"])
        entries = await indoors.parts.audit.entries(indoors.project.id)
        found = [(one.step, one.actor, one.verb, one.target) for one in entries if one.verb.endswith("adopt")]
        who = (f"person {tab.me['user']}",)
        assert found == [
            (step, *who, verb, tab.me["earlier"]) for verb in ("adopt", "unadopt") for step in ("intent", "result")
        ]
        result = next(one.result for one in entries if one.verb == "adopt" and one.step == "result")
        assert all(part in result for part in (kept["receipt"], tab.me["session"], conversation))

    async def test_takes_nothing_along_that_was_begun_after_signing_in(self, indoors: Indoors) -> None:
        """Whoever planted the credential holds it too: these would be words that nobody saw before keeping them."""
        tab, first = await signed_in(indoors)
        other = await indoors.visitor(tab.me["earlier_token"])
        second = await other.start("planted")
        await other.open(second)
        kept = await tab.do("adopt")
        assert kept["conversations"] == [first]
        assert await other.ended() == 4101
        assert await listed(tab) == [first]

    async def test_asked_again_or_by_the_other_tab_gives_the_same_receipt(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        other = await indoors.visitor(indoors.token("ada"), earlier=tab.me["earlier_token"])
        assert other.me["adoptable"] == [conversation]
        receipts = await asyncio.gather(tab.do("adopt"), other.do("adopt"), tab.do("adopt"))
        assert len({one["receipt"] for one in receipts}) == 1
        assert [mark[0] for mark in marks(await log(indoors, conversation))].count("adopted") == 1
        intents = [one for one in await indoors.parts.audit.entries(indoors.project.id) if one.verb == "adopt"]
        assert {one.target for one in intents} == {tab.me["earlier"]}

    async def test_is_not_possible_for_a_stranger(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        await tab.start()
        assert (await tab.ask("adopt"))["code"] == "forbidden"
        assert (await tab.ask("unadopt", receipt="adp_1"))["code"] == "forbidden"

    async def test_is_refused_without_anything_to_keep(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        identity = await tab.do("authenticate", token=indoors.token("ada"))
        assert "adoptable" not in identity
        assert (await tab.ask("adopt"))["code"] == "adoption_refused"
        # Nobody makes the audit grow by asking in vain.
        assert [one for one in await indoors.parts.audit.entries(indoors.project.id) if one.verb == "adopt"] == []


class TestTheAppsPolicy:
    async def test_never_links_nothing(self, indoors: Indoors) -> None:
        await policy(indoors, "never")
        agent = await indoors.colleague()
        tab, conversation = await signed_in(indoors)
        await agent.open(conversation)
        assert tab.me["adoptable"] == []
        assert (await tab.ask("adopt"))["code"] == "adoption_refused"
        assert (await tab.ask("send", conversation=conversation, text="x"))["code"] == "conversation_unknown"
        # Nor does the socket go on hearing what it heard as a stranger.
        await tab.hears("error", lambda one: one["ref"] == conversation)
        await agent.do("send", conversation=conversation, text="are you there?")
        await settled()
        assert "are you there?" not in tab.texts
        assert marks(await log(indoors, conversation)) == [
            ("text", tab.me["earlier"], "anonymous"),
            ("text", indoors.agent.id, "agent"),
        ]

    async def test_carry_over_adopts_unasked_and_says_so(self, indoors: Indoors) -> None:
        await policy(indoors, "carry_over")
        tab, conversation = await signed_in(indoors)
        kept = await tab.hears("adoption")
        assert (kept["conversations"], kept.get("ref", "")) == ([conversation], "")
        assert await listed(tab) == [conversation]
        assert marks(await log(indoors, conversation))[-1] == ("adopted", tab.me["user"], "signed")
        given = await tab.do("unadopt", receipt=kept["receipt"])
        assert given["undone"]

    async def test_ask_adopts_nothing_unasked(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        await indoors.idle()
        assert marks(await log(indoors, conversation))[-1][0] == "signed_in"
        assert not [frame for frame in tab.unread if frame["type"] == "adoption"]

    async def test_that_became_never_meanwhile_refuses(self, indoors: Indoors) -> None:
        tab, _ = await signed_in(indoors)
        await policy(indoors, "never")
        assert (await tab.ask("adopt"))["code"] == "adoption_refused"


class TestPlanted:
    """The attacker began a chat, put its credential into the victim's browser, and waits for the victim to sign in."""

    async def test_identity_reads_nothing_once_the_account_sees_it(self, indoors: Indoors) -> None:
        other = await indoors.node()
        attacker = await indoors.visitor()
        conversation = await attacker.start("planted")
        planted = attacker.me["session_token"]
        lurker = await indoors.visitor(planted, parts=other)
        await lurker.open(conversation)
        # Her tab shows the credential together with her token: she is asked, and sees what was said last.
        victim = await indoors.visitor(indoors.token("victim"), earlier=planted)
        assert victim.me["adoptable"] == [conversation]
        await victim.open(conversation)
        assert (await victim.hears("reset"))["messages"][0]["text"] == "planted"
        # From the moment she signed in, the attacker's sockets do not read it any more.
        await lurker.hears("error", lambda one: one["code"] == "conversation_unknown")
        await victim.do("adopt")
        assert await attacker.ended() == 4101
        assert await lurker.ended() == 4101
        await victim.do("send", conversation=conversation, text="my card number")
        for tab in (attacker, lurker):
            assert "my card number" not in str(tab.unread)
        assert await indoors.refused(planted) == 4440
        # Nor does the credential lead anywhere beside somebody else's token.
        thief = await indoors.visitor(indoors.token("mallory"), earlier=planted)
        assert "adoptable" not in thief.me
        assert await listed(thief) == []
        assert (await thief.ask("adopt"))["code"] == "adoption_refused"

    async def test_words_stay_the_strangers_for_ever(self, indoors: Indoors) -> None:
        attacker = await indoors.visitor()
        conversation = await attacker.start("I, the victim, confess")
        victim = await indoors.visitor(indoors.token("victim"), earlier=attacker.me["session_token"])
        await victim.do("adopt")
        entries = await log(indoors, conversation)
        assert marks(entries)[0] == ("text", attacker.me["user"], "anonymous")
        assert marks(entries)[-1] == ("adopted", victim.me["user"], "signed")

    async def test_account_of_the_attacker_keeps_the_victim_out(self, indoors: Indoors) -> None:
        """Signed in during it as somebody else: it is not offered, and cannot be kept."""
        attacker = await indoors.visitor()
        conversation = await attacker.start("planted")
        planted = attacker.me["session_token"]
        await indoors.visitor(indoors.token("mallory"), earlier=planted)
        victim = await indoors.visitor(indoors.token("victim"), earlier=planted)
        assert "adoptable" not in victim.me
        refused = await victim.ask("adopt")
        assert (refused["code"], await listed(victim)) == ("adoption_refused", [])
        assert [mark[0] for mark in marks(await log(indoors, conversation))] == ["text", "signed_in"]

    async def test_account_counts_even_before_the_first_chat(self, indoors: Indoors) -> None:
        attacker = await indoors.visitor()
        planted = attacker.me["session_token"]
        await indoors.visitor(indoors.token("mallory"), earlier=planted)
        conversation = await attacker.start("planted afterwards")
        victim = await indoors.visitor(indoors.token("victim"), earlier=planted)
        assert "adoptable" not in victim.me
        assert (await victim.ask("adopt"))["code"] == "adoption_refused"
        assert [mark[0] for mark in marks(await log(indoors, conversation))] == ["text"]


class TestCheating:
    async def test_by_adopting_twice_has_one_winner(self, indoors: Indoors) -> None:
        """Two people, one credential, two nodes, at once."""
        other = await indoors.node()
        stranger = await indoors.visitor()
        conversation = await stranger.start()
        planted = stranger.me["session_token"]
        ada, bob = await asyncio.gather(
            indoors.visitor(indoors.token("ada"), earlier=planted),
            indoors.visitor(indoors.token("bob"), earlier=planted, parts=other),
        )
        answers = await asyncio.gather(ada.ask("adopt"), bob.ask("adopt"))
        assert sorted(answer["type"] for answer in answers) == ["adoption", "error"]
        winner, loser = (ada, bob) if answers[0]["type"] == "adoption" else (bob, ada)
        assert await listed(winner) == [conversation]
        assert await listed(loser) == []
        assert await stranger.ended() == 4101

    async def test_by_signing_out_and_coming_back_with_the_old_credential(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        old = tab.me["earlier_token"]
        await tab.do("sign_out")
        again = await indoors.visitor(indoors.token("ada"), earlier=old)
        assert "adoptable" not in again.me
        assert (await again.ask("adopt"))["code"] == "adoption_refused"
        assert (await tab.ask("adopt"))["code"] == "forbidden"
        assert [mark[0] for mark in marks(await log(indoors, conversation))] == ["text", "signed_in"]

    async def test_by_a_sign_out_in_another_tab_just_before(self, indoors: Indoors) -> None:
        """The credential was shown while it lived; the stranger signs out before it is adopted."""
        stranger = await indoors.visitor()
        await stranger.start()
        ada = await indoors.visitor(indoors.token("ada"), earlier=stranger.me["session_token"])
        await stranger.do("sign_out")
        assert (await ada.ask("adopt"))["code"] == "adoption_refused"

    async def test_by_adopting_what_was_given_back(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        kept = await tab.do("adopt")
        await tab.do("unadopt", receipt=kept["receipt"])
        refused = await tab.ask("adopt")
        assert (refused["code"], "given back" in refused["sentence"]) == ("adoption_refused", True)
        assert (await tab.do("unadopt", receipt=kept["receipt"]))["undone"]
        kinds = [mark[0] for mark in marks(await log(indoors, conversation))]
        assert kinds == ["text", "signed_in", "adopted", "unadopted"]

    async def test_by_resuming_without_showing_the_credential(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        resumed = await indoors.visitor(tab.me["session_token"])
        assert await listed(resumed) == [conversation]
        refused = await resumed.ask("adopt")
        assert (refused["code"], "live" in refused["sentence"]) == ("adoption_refused", True)

    async def test_by_showing_it_over_http_only(self, indoors: Indoors) -> None:
        stranger = await indoors.visitor()
        await stranger.start()
        wanted = {"app": indoors.app.id, "token": indoors.token("ada"), "earlier": stranger.me["session_token"]}
        async with indoors.browser(headers={"Origin": "https://shop.example"}) as browser:
            granted = (await browser.post("/v1/token", json=wanted)).json()
        tab = await indoors.visitor(granted["session_token"])
        assert (await tab.ask("adopt"))["code"] == "adoption_refused"

    async def test_with_another_projects_credential(self, indoors: Indoors) -> None:
        parts = indoors.parts
        elsewhere = await parts.projects.create_project("Elsewhere")
        app = await parts.projects.create_app(elsewhere.id, "Web", ("https://shop.example",))
        stranger = await indoors.visitor(app=app.id)
        await stranger.start()
        ada = await indoors.visitor(indoors.token("ada"), earlier=stranger.me["session_token"])
        assert "adoptable" not in ada.me
        assert (await ada.ask("adopt"))["code"] == "adoption_refused"
        # Even if the connection were made to believe that it was shown.
        ada.connection.presented = credentials.read(
            stranger.me["session_token"], parts.credential_ring, parts.node.now()
        )
        assert "another project" in (await ada.ask("adopt"))["sentence"]

    async def test_with_one_that_is_too_old_or_was_renewed(self, indoors: Indoors) -> None:
        parts = indoors.parts
        stranger = await indoors.visitor()
        conversation = await stranger.start()
        shown = credentials.read(stranger.me["session_token"], parts.credential_ring, parts.node.now())
        now = parts.node.now()
        born = UnixMs(now - rules.AGE_MAX_MS - 1_000)
        old = dataclasses.replace(shown, issued_at=born)
        for aged in (old, old.renewed(now)):
            tab = await indoors.visitor(indoors.token("ada"), earlier=credentials.mint(aged, parts.credential_ring))
            # It stays on screen, but is not offered.
            assert "adoptable" not in tab.me
            assert await listed(tab) == [conversation]
            assert "24 hours" in (await tab.ask("adopt"))["sentence"]

    async def test_when_nobody_said_anything_lately(self, indoors: Indoors) -> None:
        stranger = await indoors.visitor()
        conversation = await stranger.start()
        key = indoors.parts.store.redis
        long_ago = await indoors.store.now() - rules.ACTIVE_MS - 1_000
        await key.hset(schema.conversation(ConversationId(conversation), "m"), "said_at", str(long_ago))
        tab = await indoors.visitor(indoors.token("ada"), earlier=stranger.me["session_token"])
        # That somebody signed in is not somebody saying something.
        assert "adoptable" not in tab.me
        assert "30 minutes" in (await tab.ask("adopt"))["sentence"]
        await tab.do("send", conversation=conversation, text="still me")
        assert (await tab.do("adopt"))["conversations"] == [conversation]

    async def test_by_what_waited_when_the_identity_changed(self, indoors: Indoors) -> None:
        """What a stranger said before signing in is the stranger's, however late it is written."""
        tab = await indoors.visitor()
        conversation = await tab.start("first")
        stranger = tab.me["user"]
        refs = [indoors.ref() for _ in range(6)]
        for number, ref in enumerate(refs):
            tab.say("send", ref=ref, conversation=conversation, text=f"queued {number}")
        tab.say("authenticate", ref="in", token=indoors.token("ada"))
        tab.say("adopt", ref="keep")
        assert (await tab.answers("keep"))["type"] == "adoption"
        entries = await log(indoors, conversation)
        assert {mark for mark in marks(entries) if mark[0] == "text"} == {("text", stranger, "anonymous")}
        assert [entry.get("text") for entry in entries][:7] == ["first", *(f"queued {n}" for n in range(6))]
        assert [mark[0] for mark in marks(entries)][7:] == ["signed_in", "adopted"]


class TestWithdrawnTrust:
    async def test_in_the_key_before_the_commit_refuses_it(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        adoptions: Any = indoors.parts.adoptions
        hint, regenerated = adoptions._hint, False

        async def slow(*arguments: Any) -> None:
            nonlocal regenerated
            await hint(*arguments)
            regenerated = (await indoors.regenerate("k1")).complete

        adoptions._hint = slow
        tab.say("adopt", ref="keep")
        assert await tab.ended() == 4301
        await indoors.idle()
        assert regenerated
        assert [mark[0] for mark in marks(await log(indoors, conversation))] == ["text", "signed_in"]
        assert await indoors.parts.adoptions.get(indoors.project.id, tab.me["earlier"]) is None

    async def test_in_the_key_after_the_commit_changes_nothing_of_it(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        adoptions: Any = indoors.parts.adoptions
        end_earlier = adoptions._end_earlier

        async def slow(*arguments: Any) -> None:
            assert (await indoors.regenerate("k1")).complete
            await end_earlier(*arguments)

        adoptions._end_earlier = slow
        tab.say("adopt", ref="keep")
        assert await tab.ended() == 4301
        await indoors.idle()
        ada = await indoors.visitor(indoors.token("ada", "k2"))
        assert await listed(ada) == [conversation]


class TestGivingBack:
    async def test_loses_no_message_and_takes_it_from_the_other_sessions(self, indoors: Indoors) -> None:
        other = await indoors.node()
        tab, conversation = await signed_in(indoors)
        kept = await tab.do("adopt")
        elsewhere = await indoors.visitor(indoors.token("ada"), parts=other)
        neighbour = await indoors.visitor(indoors.token("ada"))
        for one in (elsewhere, neighbour):
            await one.open(conversation)
        await elsewhere.do("send", conversation=conversation, text="written meanwhile")
        given = await tab.do("unadopt", receipt=kept["receipt"])
        assert (given["undone"], given["receipt"]) == (True, kept["receipt"])
        for one in (elsewhere, neighbour):
            await one.hears("error", lambda frame: frame["code"] == "conversation_unknown")
            assert (await one.hears("adoption", lambda frame: frame.get("undone", False)))["user"] == tab.me["user"]
            assert await listed(one) == []
            assert (await one.ask("send", conversation=conversation, text="x"))["code"] == "conversation_unknown"
        # The session that held it goes on reading and writing, and is shown the divider.
        await tab.hears("message", lambda one: one.get("kind") == "unadopted")
        await tab.do("send", conversation=conversation, text="still mine to read")
        await settled()
        assert "still mine to read" not in str(elsewhere.unread + neighbour.unread)
        ada, stranger = tab.me["user"], tab.me["earlier"]
        assert marks(await log(indoors, conversation)) == [
            ("text", stranger, "anonymous"),
            ("signed_in", ada, "signed"),
            ("adopted", ada, "signed"),
            ("text", ada, "signed"),
            ("unadopted", ada, "signed"),
            ("text", ada, "signed"),
        ]
        assert await indoors.refused(tab.me["earlier_token"]) == 4440

    async def test_is_possible_from_any_session_of_the_person_and_of_nobody_else(self, indoors: Indoors) -> None:
        tab, _ = await signed_in(indoors)
        receipt = (await tab.do("adopt"))["receipt"]
        bob = await indoors.visitor(indoors.token("bob"))
        assert (await bob.ask("unadopt", receipt=receipt))["code"] == "adoption_refused"
        assert (await bob.ask("unadopt", receipt="adp_unknown"))["code"] == "adoption_refused"
        phone = await indoors.visitor(indoors.token("ada"))
        assert (await phone.do("unadopt", receipt=receipt))["undone"]
        assert (await tab.hears("adoption", lambda one: one.get("undone", False)))["receipt"] == receipt

    async def test_is_possible_for_a_day(self, indoors: Indoors) -> None:
        tab, _ = await signed_in(indoors)
        receipt = (await tab.do("adopt"))["receipt"]
        earlier = UserId(tab.me["earlier"])
        partition = schema.partition_of_user(indoors.project.id, earlier)
        yesterday = await indoors.store.now() - rules.UNDO_MS - 1_000
        await indoors.store.redis.hset(schema.adoption(partition, indoors.project.id, earlier), "at", str(yesterday))
        assert "24 hours" in (await tab.ask("unadopt", receipt=receipt))["sentence"]

    async def test_by_an_operator_shows_agents_that_it_is_unconfirmed_again(self, indoors: Indoors) -> None:
        agent = await indoors.colleague()
        tab, conversation = await signed_in(indoors)
        await agent.open(conversation)
        receipt = (await tab.do("adopt"))["receipt"]
        undone = await indoors.parts.adoptions.undo(indoors.project.id, UserId(tab.me["earlier"]), "root@host")
        assert (undone.id, undone.state, undone.undone_by) == (receipt, "undone", "root@host")
        divider = await agent.hears("message", lambda one: one.get("kind") == "unadopted")
        assert (divider["from"]["role"], divider["from"]["assurance"]) == ("admin", "agent")
        await agent.hears("identity", lambda one: one.get("confirmed", True))
        badge = await agent.hears("identity", lambda one: not one.get("confirmed", True))
        assert badge["conversation"] == conversation
        assert (await tab.hears("adoption", lambda one: one.get("undone", False)))["receipt"] == receipt


class TestWhatANodeLeftBehind:
    async def test_is_finished_by_another_nodes_sweep(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        adoptions: Any = indoors.parts.adoptions

        async def dies(*_: Any) -> None:
            raise StoreUnavailable("stopped here")

        adoptions._end_earlier = dies
        lurker = await indoors.visitor(tab.me["earlier_token"])
        assert (await tab.ask("adopt"))["code"] == "store_unavailable"
        # Decided: the stranger is dead in the store, and the account does not see it yet.
        assert (await lurker.ask("start", text="me again"))["type"] == "error"
        assert await listed(await indoors.visitor(indoors.token("ada"))) == []
        other = await indoors.node()
        async with asyncio.timeout(10):
            while await other.adoptions.under_way(UnixMs(2**52)):
                await asyncio.sleep(0.01)
        assert await lurker.ended() == 4101
        await tab.hears("message", lambda one: one.get("kind") == "adopted")
        ada = await indoors.visitor(indoors.token("ada"))
        assert await listed(ada) == [conversation]

    async def test_is_not_touched_while_it_is_fresh(self, indoors: Indoors) -> None:
        tab, conversation = await signed_in(indoors)
        parts: Parts = indoors.parts
        acting = parts.errands.acting(tab.connection, indoors.project.id)
        assert acting is not None
        await parts.adoptions.commit(acting, UserId(tab.me["earlier"]))
        await parts.adoption.sweep(UnixMs(parts.node.now() - 5_000))
        assert marks(await log(indoors, conversation))[-1][0] == "signed_in"
        await parts.adoption.sweep(UnixMs(parts.node.now() + 5_000))
        assert marks(await log(indoors, conversation))[-1][0] == "adopted"
        results = [one for one in await parts.audit.entries(indoors.project.id) if one.verb == "adopt"]
        assert results[-1].actor == f"node {parts.node.id}"
