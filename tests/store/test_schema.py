"""Names: fixed for ever, balanced over slots, and safe whatever a customer calls somebody."""

from __future__ import annotations

import binascii
import hashlib
import re
from collections import Counter

import pytest
import redis

from chatgateway.store import schema
from chatgateway.types import ConversationId, NodeId, ProjectId, UserId

PROJECT, USER, CONVERSATION = ProjectId("prj_1"), UserId("usr_v"), ConversationId(f"cnv_d0{'1' * 20}")


class TestTags:
    def test_are_the_ones_that_every_stored_key_was_written_under(self) -> None:
        digest = hashlib.sha256(" ".join(schema.TAGS).encode()).hexdigest()
        assert digest == "274d1e2466de3d2ddb0e17ea9839c1e8879fd13b1761d9054db1247b92b98d54"

    def test_hash_into_the_slots_of_their_partition_as_the_server_sees_it(self, one_node_cluster: str) -> None:
        with redis.Redis.from_url(one_node_cluster) as client:
            slots = [client.execute_command("CLUSTER", "KEYSLOT", schema.fence(n)) for n in range(schema.PARTITIONS)]
        assert slots == [64 * partition + 32 for partition in range(256)]

    @pytest.mark.parametrize("primaries", [*range(1, 25), 37, 100, 256])
    def test_are_balanced_to_within_one_over_any_number_of_primaries(self, primaries: int) -> None:
        # A cluster gives each primary an equal range of slots; a partition goes where its tag's slot goes.
        owners = Counter(binascii.crc_hqx(tag.encode(), 0) % 16_384 * primaries // 16_384 for tag in schema.TAGS)
        assert len(owners) == primaries
        assert max(owners.values()) - min(owners.values()) <= 1


class TestPartition:
    def test_of_a_person_is_fixed(self) -> None:
        assert schema.partition_of_user(PROJECT, USER) == 208
        assert schema.partition_of_identifier(PROJECT, "abc") == 153

    def test_of_a_conversation_is_in_its_id(self) -> None:
        assert schema.partition_of_conversation(CONVERSATION) == 0xD0
        with pytest.raises(ValueError, match="not a conversation"):
            schema.partition_of_conversation(ConversationId("usr_d0"))

    def test_of_one_name_differs_between_projects_as_chance_has_it(self) -> None:
        used = {schema.partition_of_user(ProjectId(f"prj_{n}"), USER) for n in range(2_000)}
        assert len(used) > 250


class TestKeys:
    def test_that_one_script_touches_live_in_one_slot(self) -> None:
        tag = "{" + schema.TAGS[0xD0] + "}"
        for part in ("m", "s", "i:usr_v", "n", "o", "e", "a"):
            assert tag in schema.conversation(CONVERSATION, part)
        for name in (schema.fence(0xD0), schema.inbox(0xD0, PROJECT, "open"), schema.inbox_hints(0xD0, PROJECT)):
            assert tag in name
        assert tag in schema.withdrawn(0xD0, PROJECT, USER)
        assert tag in schema.people(0xD0, PROJECT)

    def test_of_security_live_in_the_one_slot_of_control(self) -> None:
        names = [
            *(schema.VERSION, schema.LOG, schema.PROJECTS, schema.APPS, schema.GATEWAY_RING, schema.AGENTS),
            *(schema.NODES, schema.CRON, schema.SCHEMA, schema.DOORBELL, schema.key_ring(PROJECT), schema.once("d")),
            *(schema.console_session("d"), schema.attempts("d"), schema.request("r"), schema.audit("prj_1")),
            *(schema.audit_head("prj_1"), schema.probe(NodeId("n"))),
        ]
        assert all(name.startswith("cg:{ctl}:") for name in names)
        assert len(set(names)) == len(names)

    def test_of_different_things_are_different(self) -> None:
        names = [
            schema.person(PROJECT, USER), schema.person(PROJECT, USER, "c"), schema.person(PROJECT, USER, "x"),
            schema.withdrawn(1, PROJECT, USER), schema.people(1, PROJECT), schema.fence(1),
            schema.inbox(1, PROJECT, "open"), schema.inbox_hints(1, PROJECT), schema.identifier(PROJECT, "d"),
            *(schema.conversation(CONVERSATION, part) for part in ("m", "s", "i:u", "n", "o", "e", "a")),
        ]  # fmt: skip
        assert len(set(names)) == len(names)

    def test_are_all_described_in_the_modules_own_list(self) -> None:
        """The docstring is the list of names: whoever adds one adds a line."""
        described = {re.sub(r"[A-Z]+", "X", name) for name in re.findall(r"cg:\{\w+\}:\S+", schema.__doc__ or "")}
        used = [
            schema.person(PROJECT, USER), schema.person(PROJECT, USER, "c"), schema.people(1, PROJECT),
            schema.withdrawn(1, PROJECT, USER), schema.inbox(1, PROJECT, "open"), schema.inbox_hints(1, PROJECT),
            schema.identifier(PROJECT, "d"), schema.key_ring(PROJECT), schema.audit_head("prj_1"),
            *(schema.conversation(CONVERSATION, part) for part in ("m", "s", "i:u", "n", "o", "e", "a")),
        ]  # fmt: skip
        shaped = {
            re.sub(r"prj_1|usr_v|cnv_\w+|(?<=:i:)u|(?<=:)d$|(?<=:)open", "X", re.sub(r"\{(?!ctl)\w+\}", "{X}", name))
            for name in used
        }
        assert shaped <= described


@pytest.mark.parametrize("identifier", ["a}:{b", "*", "a\0b", "\n", "ü" * 255, "", "{ctl}"])
def test_what_a_customer_chose_never_reaches_a_key(identifier: str) -> None:
    digest = schema.identifier_digest("external", identifier)
    assert re.fullmatch(r"[0-9a-f]{40}", digest)
    assert schema.identifier(PROJECT, digest).count("{") == 1


def test_identifiers_of_different_kinds_never_meet() -> None:
    pairs = [("external", "a"), ("email", "a"), ("externa", "la"), ("external", "b"), ("e", "mail\0a")]
    assert len({schema.identifier_digest(*pair) for pair in pairs}) == len(pairs)
