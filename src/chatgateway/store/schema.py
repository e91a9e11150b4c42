"""Every store name that chatgateway uses: what it is, its type, and when it goes away.

    cg:{T}:v                    string  the partition's fence: a control-log version           never
    cg:{T}:c:CONV:m             hash    project, visitor, top position, state, counters,
                                        read marks, said_at; pending, holders of who signed in
                                        during it; adopted (from whom), kept (holders then)     with the conversation
    cg:{T}:c:CONV:s             stream  entry AT-SEQ: e = encoded event, k = kid that vouched   moved by retention
    cg:{T}:c:CONV:i:AUTHOR      zset    that author's 128 greatest refs: score = the ref's ms,
                                        member = ref/at/seq/link                                with the conversation
    cg:{T}:c:CONV:n             stream  agents-only notes, entry SEQ-0: e = encoded note        with the conversation
    cg:{T}:c:CONV:o             hash    overlay by seq (redacted, erased, doubtful), at read    with the conversation
    cg:{T}:u:PROJECT:USER       hash    the person: revision, value (JSON), index (what us
                                        lists); of nobody: moved; erased: an instant            never, then erased
    cg:{T}:u:PROJECT:USER:c     zset    conversations joined: score = when                      with the person
    cg:{T}:u:PROJECT:USER:x     hash    session rows: SESSION -> JSON                           90 days, by bind
    cg:{T}:u:PROJECT:USER:xs    zset    the same sessions by when they were bound               90 days, by bind
    cg:{T}:u:PROJECT:USER:a     hash    what became of an anonymous visitor: signed (who signed
                                        in first); of the adoption: account, session, kid, at,
                                        state, conversations, undone_at, undone_by              1 day; adopted: 400 days
    cg:{T}:ad                   zset    adoptions under way: PROJECT/USER -> since when         when finished
    cg:{T}:ub:PROJECT           zset    people of this partition: score = updated_at            with the person
    cg:{T}:us:PROJECT           zset    what they are found by: w:WORD USER, e:ADDRESS USER      with the person
    cg:{T}:w:PROJECT:USER       hash    withdrawn trust: * -> instant before which the person's
                                        sessions are dead, blocked or erased -> instant,
                                        SESSION -> why                   180 days; blocked, erased: never
    cg:{T}:id:PROJECT:DIGEST    string  identifier (external id, address) -> user id            with the person
    cg:{T}:jti:PROJECT:DIGEST   string  a one-time token that was taken                         as long as the token
    cg:{T}:kc:PROJECT:KID       zset    conversations that a key vouched in -> last time        with the project
    cg:{T}:ib:PROJECT:VIEW      zset    inbox part: conversation -> last activity               with the conversation
    cg:{ctl}:v                  hash    reserved, committed: control-log versions               never
    cg:{ctl}:log                stream  control log: entry VERSION-0                            never
    cg:{ctl}:p                  hash    PROJECT:revision, PROJECT:value (JSON)                  with the project
    cg:{ctl}:app                hash    APP:revision, APP:value (JSON)                          with the app
    cg:{ctl}:k:PROJECT          hash    key ring: revision, value (sealed secrets inside),
                                        used:KID -> instant                                     with the project
    cg:{ctl}:g                  hash    the gateway's own ring: revision, value (sealed)        never
    cg:{ctl}:a                  hash    AGENT:revision, AGENT:value (JSON), name:NAME -> AGENT  when removed
    cg:{ctl}:adm                hash    ADMIN:revision, ADMIN:value (JSON), name:DIGEST -> ADMIN,
                                        used:ADMIN -> instant                                   never
    cg:{ctl}:once:DIGEST        string  console ticket, login link: used once                   30 s, 15 min
    cg:{ctl}:con:DIGEST         string  console session (cookie)                                12 h, sliding
    cg:{ctl}:try:DIGEST         string  counter of login attempts by name and address           15 min
    cg:{ctl}:prf:DIGEST         hash    code sent to a visitor: email, digest (keyed), tries        10 min
    cg:{ctl}:sent:DIGEST        list    when codes were sent to an address, from a network, by
                                        everybody: the last instants that a limit asks for          15 min to 24 h
    cg:{ctl}:req:REQUEST        string  answer of a transition, for its repeats                 1 h
    cg:{ctl}:aud:PROJECT        stream  audit entries, hash-chained                             never
    cg:{ctl}:aud:PROJECT:h      hash    head of the chain: seq, hash                            never
    cg:{ctl}:rep:PROJECT        stream  whom a rule would have refused, had it been on          last 1,000
    cg:{ctl}:cf:PROJECT         stream  tokens whose identifiers named two people               last 1,000
    cg:{ctl}:nodes              hash    NODE -> lease (JSON)                                    by the reaper
    cg:{ctl}:cron               hash    schedules (reserved)                                    when done
    cg:{ctl}:schema             hash    version, store, created_at, canary                      never

Channels (publications are hints; the streams are the truth):

    cg:{T}:c:CONV:e             the encoded event, typing, read marks; "rewritten": what was read holds no more
    cg:{T}:c:CONV:a             for agents only: notes, identity, presence of the visitor
    cg:{T}:h:PROJECT            the inbox part changed: the conversation's id
    cg:{ctl}:bell               doorbell: the control log's committed version grew
    cg:{ctl}:probe:NODE         a node's loopback probe
    cg:{ctl}:told               a frame for one person's sockets, on whichever node they are

The braces are a cluster hash tag: what one script touches lives in one slot. T is one of 256 tags, chosen once so
that tag number p hashes into slot 64*p + 32: evenly spread, so that any number of primaries carry equal shares.
"""

from __future__ import annotations

import hashlib

from chatgateway.types import ConversationId, KeyId, NodeId, ProjectId, UserId

SCHEMA_VERSION = 1
PARTITIONS = 256
CTL = "cg:{ctl}:"

VERSION = CTL + "v"
LOG = CTL + "log"
PROJECTS = CTL + "p"
APPS = CTL + "app"
GATEWAY_RING = CTL + "g"
AGENTS = CTL + "a"
ADMINS = CTL + "adm"
NODES = CTL + "nodes"
CRON = CTL + "cron"
SCHEMA = CTL + "schema"
DOORBELL = CTL + "bell"
TOLD = CTL + "told"

INBOX_VIEWS = ("open", "unassigned", "resolved")
"""Views with a part of their own; an agent's own part is ``agent:AGENT``."""


TAGS = tuple(
    """
021 4zp aio 0ov 21g csv cj9 z1 1d8 5hq 556 90g 3gn baw 7rh f0y 06q a0h id7 0k6 o6o 69n cny gb0 lc0 5l1 51v 1y7 wkn
7og b8p 3za 4z4 02u 0o2 00bb 6yb o2k zu kce 5h5 9md d3k 55r 7kc fmz ft5 j5l i94 065 0kr amk c3z gz gbt 6dm 5lu djl
1ys 512 bes 3cj fpu 72d emk 4kr 465 83d 6t cbt 65c k3 112 5ys hct 1lu 32d bpu 7cj fes 8jc 4o2 42u 0z4 24 6ld k2k os
15r qus hg4 1h5 n5l bt5 bmz 3kc 4k6 8ng e0h 46q cb0 60 kw k6o 5y7 11v 1l1 hc0 7za f8p 3og skn 4ov eio 0zp 421 cfp 2p
o7 61g qu7 156 1hq 5d8 b0y 3rh faw 7gn bn 6x6 6ay 2m0 e9q a58 iag 0nf ne6 7j7 77p f1i 9l0 5ia h7n 18o 247 rt6 6e9
2ip 07a a1x 4fo min fhn 7nw 730 nx9 1ah hni 50f 957 6xr 203 2mt ckm aqt 03e edr 4bk 7js flj n85 774 hjm 1el 913 54b
c2j fj 2i4 kf5 au4 8z5 0jb iec 7n3 3bz f5m 73t 5me 9h4 1xc h3j 7d 6i4 64s g2j 8o3 4jb i4m 82t 33t b5m 7bz 3n3 l3j
5xc hbd 1me gkm 6mt 603 nc 0bk adr 43e 864 374 j85 blj 3js 14b q0k 5el dcu 6ip 2e9 jg 647 iin 0fo 820 47a jx9 330
3nw bhn q4o 10f 9d9 5ah 6m0 wh 2x6 60w 4nf 8k7 86p a9q b1i 37p 3j7 je6 58o 9y6 1ia qmh
""".split()
)
"""Tag of each partition, fixed for ever: the first text in counting order (base 36) that hashes into slot 64*p + 32.

CRC-16/XMODEM modulo 16,384 is the slot of a key (Redis Cluster specification, "Key distribution model").
"""


def partition_of_user(project: ProjectId, user: UserId) -> int:
    """Return the partition in which a person, and the conversations they begin, live."""
    return hashlib.blake2b(f"{project}/{user}".encode(), digest_size=1).digest()[0]


def partition_of_conversation(conversation: ConversationId) -> int:
    """Return the partition that the id names (``cnv_PP…``). Raises ValueError for what is no conversation id."""
    if not conversation.startswith("cnv_"):
        raise ValueError("not a conversation id")
    return int(conversation[4:6], 16)


def partition_of_identifier(project: ProjectId, digest: str) -> int:
    return hashlib.blake2b(f"{project}/{digest}".encode(), digest_size=1).digest()[0]


def identifier_digest(kind: str, identifier: str) -> str:
    """Return a key-safe name for what a customer chose freely: no brace, star or NUL of theirs reaches a key."""
    return hashlib.sha256(f"{kind}\0{identifier}".encode()).hexdigest()[:40]


def fence(partition: int) -> str:
    return f"cg:{{{TAGS[partition]}}}:v"


def conversation(conversation: ConversationId, part: str) -> str:
    """A conversation's key or channel: part ``m``, ``s``, ``i:AUTHOR``, ``n``, ``o``, ``e`` or ``a``."""
    return f"cg:{{{TAGS[partition_of_conversation(conversation)]}}}:c:{conversation}:{part}"


def closed(project: ProjectId) -> str:
    """What stands in a conversation's head instead of its project while it is being deleted: nobody's project."""
    return f"erased/{project}"


def conversations(partition: int) -> str:
    """What the keys of every conversation of a partition begin with."""
    return f"cg:{{{TAGS[partition]}}}:c:"


def person(project: ProjectId, user: UserId, part: str = "") -> str:
    """A person's key: part "" (the record), ``c`` (conversations), ``x`` (session rows) or ``xs`` (their order)."""
    tag = TAGS[partition_of_user(project, user)]
    return f"cg:{{{tag}}}:u:{project}:{user}" + (f":{part}" if part else "")


def adoption(partition: int, project: ProjectId, user: UserId) -> str:
    """What became of an anonymous visitor of this partition."""
    return f"cg:{{{TAGS[partition]}}}:u:{project}:{user}:a"


def adoptions(partition: int) -> str:
    """One partition's adoptions that are not finished."""
    return f"cg:{{{TAGS[partition]}}}:ad"


def people(partition: int, project: ProjectId) -> str:
    """One partition's part of the list of people."""
    return f"cg:{{{TAGS[partition]}}}:ub:{project}"


def people_index(partition: int, project: ProjectId) -> str:
    """What the people of one partition are found by, in lexicographic order."""
    return f"cg:{{{TAGS[partition]}}}:us:{project}"


def withdrawn(partition: int, project: ProjectId, user: UserId) -> str:
    """The marks of one person in one partition that holds conversations of theirs."""
    return f"cg:{{{TAGS[partition]}}}:w:{project}:{user}"


def identifier(project: ProjectId, digest: str) -> str:
    return f"cg:{{{TAGS[partition_of_identifier(project, digest)]}}}:id:{project}:{digest}"


def spent(project: ProjectId, digest: str) -> str:
    return f"cg:{{{TAGS[partition_of_identifier(project, digest)]}}}:jti:{project}:{digest}"


def inbox(partition: int, project: ProjectId, view: str) -> str:
    return f"cg:{{{TAGS[partition]}}}:ib:{project}:{view}"


def vouched(partition: int, project: ProjectId, kid: KeyId) -> str:
    """The conversations of one partition in which a key vouched for a message: what a compromise may have touched."""
    return f"cg:{{{TAGS[partition]}}}:kc:{project}:{kid}"


def inbox_hints(partition: int, project: ProjectId) -> str:
    return f"cg:{{{TAGS[partition]}}}:h:{project}"


def key_ring(project: ProjectId) -> str:
    return f"{CTL}k:{project}"


def once(digest: str) -> str:
    return f"{CTL}once:{digest}"


def console_session(digest: str) -> str:
    return f"{CTL}con:{digest}"


def attempts(digest: str) -> str:
    return f"{CTL}try:{digest}"


def proof(project: ProjectId, user: UserId) -> str:
    """The code that one visitor was sent: in one slot with the counters of what was sent, for one script."""
    return f"{CTL}prf:{identifier_digest('proof', f'{project}/{user}')}"


def sends(to_whom: str, name: str) -> str:
    """When codes were sent, by ``address``, ``network`` or ``everybody``."""
    return f"{CTL}sent:{identifier_digest(to_whom, name)}"


def request(request: str) -> str:
    return f"{CTL}req:{request}"


def audit(project: str) -> str:
    return f"{CTL}aud:{project or '-'}"


def audit_head(project: str) -> str:
    return f"{CTL}aud:{project or '-'}:h"


def reports(project: ProjectId) -> str:
    return f"{CTL}rep:{project}"


def conflicts(project: ProjectId) -> str:
    return f"{CTL}cf:{project}"


def probe(node: NodeId) -> str:
    return f"{CTL}probe:{node}"
