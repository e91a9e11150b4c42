"""A small world of people of whom everything that can be said is said, each word of it a canary.

Ada has a chat of her own and signed in during a stranger's; of Bob and the stranger as much is known.
"""

from __future__ import annotations

from typing import Any

from tests.store.talking import KID, PROJECT, Talk

from chatgateway.core.conversation import new_conversation_id
from chatgateway.core.person import Description, Identifier
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.conversations import Acting
from chatgateway.store.identities import Identities
from chatgateway.store.privacy import Privacy
from chatgateway.store.reports import Reports
from chatgateway.store.script import Script
from chatgateway.store.sessions import SessionRow, Sessions
from chatgateway.types import AppId, ConversationId, SessionId, UnixMs, UserId, Version

ADA, BOB, STRANGER = UserId("usr_ada"), UserId("usr_bob"), UserId("usr_stranger")
NOBODY = UserId("usr_nobody")


class World:
    """The people, what was said of them, and the store's nouns."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.canaries: dict[str, list[str]] = {}
        self.identities = Identities(store)
        self.sessions = Sessions(store)
        self.privacy = Privacy(store)
        self.chats: dict[str, Talk] = {}

    def canary(self, owner: str, where: str) -> str:
        made = f"canary{owner}{where}"
        self.canaries.setdefault(owner, []).append(made)
        return made

    def conversation_of(self, user: UserId) -> ConversationId:
        return new_conversation_id(schema.partition_of_user(PROJECT, user), PROJECT, user, "first")

    def acting(self, user: UserId) -> Acting:
        return Acting(user, "visitor", SessionId(f"ses_{user}"), UnixMs(9_000_000_000_000), PROJECT, KID, Version(0))

    def ids(self, user: UserId) -> list[Identifier]:
        text = f"canary{user}identifier"
        return [
            Identifier("external_id", text),
            Identifier("email", f"{text}@x.example"),
            Identifier("deskpro_id", text),
        ]

    async def build(self) -> World:
        for user in (ADA, BOB, STRANGER):
            await self.known(user)
            await self.chat(user)
        stranger = self.chats[STRANGER]
        await stranger.act("signed_in", self.acting(ADA), STRANGER)
        await stranger.say(self.canary(ADA, "held"), self.acting(ADA))
        await stranger.read(2, self.acting(ADA))
        return self

    async def known(self, user: UserId) -> None:
        def canary(where: str) -> str:
            return self.canary(user, where)

        self.canaries.setdefault(user, []).append(f"canary{user}identifier")
        await self.identities.upsert(
            PROJECT, self.ids(user),
            Description(
                name=canary("name"), short_name=canary("short"), email=f"{canary('email')}@x.example",
                email_proved=True, emails=(canary("emails"),), organization=canary("organization"),
                groups=(canary("groups"),), fields={canary("field"): canary("value"), "list": (canary("item"),)},
                labels=(canary("labels"),), timezone=canary("timezone"), language=canary("language"),
            ),
            user,
        )  # fmt: skip
        row = SessionRow(
            project=PROJECT, user=user, app=canary("app"), kid="key_1", origin=canary("origin"),
            address_block=canary("address"), page=canary("page"), facts={canary("fact"): canary("told")},
            client=canary("client"),
        )  # fmt: skip
        await self.sessions.bind(SessionId(f"ses_{user}"), row, Version(0), await self.store.now())
        reports = Reports(self.store)
        reports.note(PROJECT, AppId("app_1"), "policy", user=user, detail=canary("detail"), origin=canary("from"))
        reports.conflict(PROJECT, AppId("app_1"), [self.ids(user)[0], self.ids(NOBODY)[0]])
        hashes = {"a": canary("adoption"), "proof": canary("proof")}
        await self.store.redis.hset(schema.person(PROJECT, user, "a"), mapping={"kid": hashes["a"]})
        await self.store.redis.hset(schema.proof(PROJECT, user), mapping={"email": hashes["proof"], "tries": 0})
        partition = schema.partition_of_user(PROJECT, user)
        await self.store.hot.ask(
            Script("withdraw"), [schema.withdrawn(partition, PROJECT, user)], ["ses_old", canary("why"), 60_000]
        )

    async def chat(self, user: UserId) -> None:
        talk = self.chats[user] = Talk(self.store, self.conversation_of(user))
        agent = Acting(UserId("agt_a"), "agent", SessionId("ses_a"), UnixMs(1_000), PROJECT, None, Version(0))
        await talk.begin(self.canary(user, "first"), self.acting(user))
        await talk.say(self.canary(user, "answer"), agent)
        await talk.act("assigned", agent, "agt_a")
        await talk.note(self.canary(user, "note"), agent)
        await talk.read(2, self.acting(user))
        await self.store.redis.hset(talk.key("o"), mapping={"1": self.canary(user, "overlay")})

    async def everything(self) -> str:
        """All keys and all that they hold."""
        lines: list[str] = []
        async for key in self.store.redis.scan_iter(match="*", count=1000):
            kind = (await self.store.redis.type(key)).decode()
            redis: Any = self.store.redis
            match kind:
                case "string":
                    held = await redis.get(key)
                case "hash":
                    held = await redis.hgetall(key)
                case "zset":
                    held = await redis.zrange(key, 0, -1, withscores=True)
                case "stream":
                    held = await redis.xrange(key)
                case _:
                    held = await redis.dump(key)
            lines.append(f"{key!r} {held!r}")
        return "\n".join(lines)
