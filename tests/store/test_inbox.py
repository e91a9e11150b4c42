"""The agents' inbox: every conversation in the parts where it belongs, merged into pages without a gap."""

from __future__ import annotations

import pytest
from tests.store.talking import AGENT, CONVERSATION, OTHER_PROJECT, PARTITION, PROJECT, VISITOR, Talk

from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.inbox import Inbox
from chatgateway.types import AgentId, ConversationId, ProjectId, UnixMs

ME = AgentId("agt_a")


@pytest.fixture
def talk(store: Store) -> Talk:
    return Talk(store)


@pytest.fixture
def inbox(store: Store) -> Inbox:
    return Inbox(store)


async def views(inbox: Inbox, project: ProjectId = PROJECT) -> set[str]:
    """The views in which the conversation is listed."""
    found = set()
    for view in ("all", "unassigned", "resolved", "mine"):
        names, _ = await inbox.page(project, view, None, 10, ME)
        if CONVERSATION in names:
            found.add(view)
    return found


class TestConversation:
    async def test_that_begins_is_open_and_unassigned(self, talk: Talk, inbox: Inbox) -> None:
        await talk.begin()
        assert await views(inbox) == {"all", "unassigned"}
        assert await views(inbox, OTHER_PROJECT) == set()

    async def test_that_is_assigned_is_somebodys(self, talk: Talk, inbox: Inbox) -> None:
        await talk.begin()
        await talk.act("assigned", subject=ME)
        assert await views(inbox) == {"all", "mine"}
        assert (await talk.head()).assigned == ME

    async def test_that_is_assigned_to_another_changes_hands(self, talk: Talk, inbox: Inbox) -> None:
        await talk.begin()
        await talk.act("assigned", subject=ME)
        await talk.act("assigned", subject="agt_b")
        assert await views(inbox) == {"all"}
        assert await inbox.size(PROJECT, "agent:agt_b") == 1

    async def test_that_is_assigned_to_nobody_is_unassigned_again(self, talk: Talk, inbox: Inbox) -> None:
        await talk.begin()
        await talk.act("assigned", subject=ME)
        await talk.act("assigned", subject="")
        assert await views(inbox) == {"all", "unassigned"}

    @pytest.mark.parametrize("assigned", [True, False])
    async def test_that_is_resolved_leaves_the_open_views(self, talk: Talk, inbox: Inbox, assigned: bool) -> None:
        await talk.begin()
        if assigned:
            await talk.act("assigned", subject=ME)
        await talk.act("resolved")
        assert await views(inbox) == {"resolved", *(["mine"] if assigned else [])}
        assert (await talk.head()).state == "resolved"

    @pytest.mark.parametrize("assigned", [True, False])
    async def test_that_is_reopened_is_where_it_was(self, talk: Talk, inbox: Inbox, assigned: bool) -> None:
        await talk.begin()
        if assigned:
            await talk.act("assigned", subject=ME)
        before = await views(inbox)
        await talk.act("resolved")
        await talk.act("reopened")
        assert await views(inbox) == before
        assert (await talk.head()).state == "open"

    @pytest.mark.parametrize("assigned", [True, False])
    async def test_that_was_resolved_is_reopened_by_the_visitors_words(
        self, talk: Talk, inbox: Inbox, assigned: bool
    ) -> None:
        await talk.begin()
        if assigned:
            await talk.act("assigned", subject=ME)
        await talk.act("resolved")
        await talk.say("one more thing")
        assert await views(inbox) == {"all", "mine" if assigned else "unassigned"}

    async def test_that_is_assigned_while_resolved_stays_resolved(self, talk: Talk, inbox: Inbox) -> None:
        await talk.begin()
        await talk.act("resolved")
        await talk.act("assigned", subject=ME)
        assert await views(inbox) == {"resolved", "mine"}

    async def test_is_listed_by_its_last_activity(self, talk: Talk, inbox: Inbox) -> None:
        await talk.begin()
        await talk.act("assigned", subject=ME)
        parts = [schema.inbox(PARTITION, PROJECT, view) for view in ("open", f"agent:{ME}")]
        for part in parts:
            await talk.store.redis.zadd(part, {CONVERSATION: 1})
        said = await talk.say()
        assert [await talk.store.redis.zscore(part, CONVERSATION) for part in parts] == [said.position.at] * 2

    async def test_that_a_stranger_tried_to_change_stays_where_it_is(self, talk: Talk, inbox: Inbox) -> None:
        await talk.begin()
        await talk.act("resolved", VISITOR._replace(project=OTHER_PROJECT))
        await talk.act("assigned", AGENT._replace(project=OTHER_PROJECT), subject=ME)
        assert await views(inbox) == {"all", "unassigned"}


def name(number: int) -> ConversationId:
    return ConversationId(f"cnv_{number % 256:02x}{number:020x}")


async def listed(store: Store, scores: list[int]) -> list[ConversationId]:
    """List conversation n with score n in the part of its partition; return them, the latest first."""
    async with store.redis.pipeline(transaction=False) as pipeline:
        for number, score in enumerate(scores):
            pipeline.zadd(schema.inbox(number % 256, PROJECT, "open"), {name(number): score})
        await pipeline.execute()
    order = sorted(((score, name(number)) for number, score in enumerate(scores)), reverse=True)
    return [each for _, each in order]


async def leafed(inbox: Inbox, scores: dict[ConversationId, int], limit: int) -> list[ConversationId]:
    """Everything that is seen by whoever goes from page to page."""
    seen: list[ConversationId] = []
    before = None
    while True:
        names, more = await inbox.page(PROJECT, "all", before, limit, ME)
        seen += names
        if not more:
            return seen
        before = UnixMs(scores[names[-1]])


class TestPages:
    async def test_merge_the_parts_by_last_activity(self, store: Store, inbox: Inbox) -> None:
        order = await listed(store, [1_000 + n * 7919 % 600 for n in range(600)])
        names, more = await inbox.page(PROJECT, "all", None, 50, ME)
        assert (names, more) == (order[:50], True)

    async def test_lead_on_without_a_gap_or_a_repeat(self, store: Store, inbox: Inbox) -> None:
        scores = [1_000 + n * 7919 % 600 for n in range(600)]
        order = await listed(store, scores)
        assert await leafed(inbox, {name(n): score for n, score in enumerate(scores)}, 70) == order

    async def test_lose_nobody_who_was_active_in_the_same_millisecond(self, store: Store, inbox: Inbox) -> None:
        scores = [1_000 + n // 4 for n in range(40)]
        order = await listed(store, scores)
        seen = await leafed(inbox, {name(n): score for n, score in enumerate(scores)}, 3)
        assert seen == order

    async def test_end(self, store: Store, inbox: Inbox) -> None:
        await listed(store, [5, 6, 7])
        assert (await inbox.page(PROJECT, "all", None, 3, ME))[1] is False
        assert (await inbox.page(PROJECT, "all", None, 2, ME))[1] is True
        assert await inbox.page(PROJECT, "all", UnixMs(5), 3, ME) == ([], False)

    async def test_know_the_size_of_a_view(self, store: Store, inbox: Inbox) -> None:
        await listed(store, list(range(300)))
        assert await inbox.size(PROJECT, "open") == 300
        assert await inbox.size(OTHER_PROJECT, "open") == 0
