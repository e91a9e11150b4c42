"""Change who speaks on a live connection: hello, authenticate, sign out (whose rules are in departure.py).

What ends as a refusal leaves the connection as it was. A sign-out that could not be written is an error too: a person
who was told "signed out" must be signed out.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from chatgateway.close_codes import CloseCode
from chatgateway.core import credential as credentials
from chatgateway.core import effects as fx
from chatgateway.core.identity import Agent, Anonymous
from chatgateway.core.rotation import RETRY_AFTER_REVOKED_MS, Grounds
from chatgateway.errors import KeyRevoked, PeerError, StoreError, TokenRejected
from chatgateway.gateway.admission import Admitted, Held, Join
from chatgateway.gateway.connection import Connection
from chatgateway.gateway.signin import TICKET_PREFIX
from chatgateway.log import log
from chatgateway.store import schema
from chatgateway.types import AppId, Policy, UserId

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts


OWN_PREFIXES = (TICKET_PREFIX, credentials.PREFIX)
"""What the gateway itself mints. None of it says who somebody is to a session that is live already."""

NOBODY_LEFT = 1006
"""RFC 6455 section 7.4.1: how it ended is not known."""


class Speaker:
    """Binds identities to live connections."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def carry_out(self, connection: Connection, order: fx.Identify | fx.SignIn | fx.SignOff) -> None:
        """Do what the session ordered and tell it how it went. Never raises."""
        ref = (
            order.hello.ref
            if isinstance(order, fx.Identify)
            else order.authenticate.ref
            if isinstance(order, fx.SignIn)
            else order.ref
        )
        held = connection.grounds
        try:
            match order:
                case fx.Identify(hello):
                    caller = connection.caller
                    caller.app, caller.page, caller.client = hello.app or caller.app, hello.page, hello.client
                    caller.can_refresh = hello.can_refresh
                    admitted = await self._parts.sign_in.admit(
                        caller, hello.token or caller.bearer, hello.earlier, None, self._join(connection)
                    )
                case fx.SignIn(authenticate, must_be):
                    connection.caller.can_refresh = connection.caller.can_refresh or authenticate.can_refresh
                    admitted = await self._sign_in(connection, authenticate.token, must_be)
                case fx.SignOff(_, everywhere):
                    admitted = await self._sign_off(connection, everywhere)
                    if admitted.policy == "signed":
                        # This app has no anonymous visitors to become.
                        connection.hear(fx.Ended(CloseCode.SIGNED_OUT))
                        return
        except Exception as error:  # noqa: BLE001  the outermost frame of a command
            if not isinstance(error, (PeerError, StoreError)):
                log.error("signin.failed", app=connection.caller.app, exc_info=error)
            self._restore(connection, held)
            after_ms = random.randrange(*RETRY_AFTER_REVOKED_MS) if isinstance(error, KeyRevoked) else 0  # noqa: S311
            connection.hear(fx.BindRefused(ref, error, after_ms))
            code = connection.rests_on_withdrawn(self._parts.node.trust)
            if code is not None:
                # What it rests on again was withdrawn while it rested elsewhere: nobody else will end it.
                self._parts.errands.withdraw(connection, code)
            return
        self._bound(connection, ref, admitted)

    def _join(self, connection: Connection) -> Join:
        def join(grounds: Grounds) -> None:
            if not connection.closed:
                connection.rest_on(grounds)

        return join

    async def _sign_in(self, connection: Connection, token: str, must_be: UserId | None) -> Admitted:
        """Upgrade a stranger in place, or refresh the same person without a new session.

        Only a customer token does either: a session token or a ticket would make a live session somebody else.
        """
        if token.startswith(OWN_PREFIXES):
            raise TokenRejected("authenticate takes a token that your server signed.")
        earlier, held = None, None
        if isinstance(connection.session.identity, Anonymous):
            earlier = connection.credential
        elif connection.row is not None:
            held = Held(connection.session_id, connection.row)
        return await self._parts.sign_in.admit(connection.caller, token, earlier, must_be, self._join(connection), held)

    async def _sign_off(self, connection: Connection, everywhere: bool) -> Admitted:
        """Revoke on the server first; only then is somebody new here."""
        parts, identity = self._parts, connection.session.identity
        assert identity is not None
        if isinstance(identity, Agent):
            raise PeerError("Agents sign out through the console.")
        if isinstance(identity, Anonymous):
            parts.pace.require_departure(connection.caller.address)
        project, user, session = connection.session.project, identity.user, connection.session_id
        now, group = await parts.store.now(), connection.group
        try:
            policy: Policy = await parts.sign_in.policy_of(connection.caller)
        except PeerError:
            # The app or its list of origins changed: nobody comes in here any more, but everybody may go.
            policy = "signed"
        # We leave first: the entry that we are about to write ends every socket that rests on this session. Until that
        # is done, nothing is handed out that the key which vouched so far would not allow.
        fresh = parts.sign_in.stranger_after(connection.caller, project, now, policy, self._join(connection))
        connection.group = group
        if isinstance(identity, Anonymous):
            await parts.departure.of_stranger(project, user, now, identity.expires_at)
        elif everywhere:
            await parts.departure.everywhere(project, user, now)
        else:
            await parts.departure.of_browser(project, user, session, now)
        connection.caller.facts = {}
        return fresh

    def _restore(self, connection: Connection, held: Grounds | None) -> None:
        if held is not None and connection.grounds != held and not connection.closed:
            connection.rest_on(held)

    def _bound(self, connection: Connection, ref: str, admitted: Admitted) -> None:
        parts, node = self._parts, self._parts.node
        if connection.closed:
            # The peer left while we were asking: nobody must stay in the roster.
            parts.roster.leave(connection, admitted.grounds)
            if admitted.row is not None:
                parts.errands.row_closed(admitted.grounds.session, admitted.row, NOBODY_LEFT)
            return
        if connection.row is not None and connection.session_id != admitted.grounds.session:
            # What it was until now is nobody's session any more, and its agents see it leave.
            parts.desk.visitor_left(connection)
            parts.errands.row_closed(connection.session_id, connection.row, CloseCode.IDENTITY_CHANGED)
        before = connection.user
        connection.rest_on(admitted.grounds)
        connection.row = admitted.row
        connection.credential = admitted.token
        if admitted.presented is not None or admitted.identity.user != before:
            connection.presented = admitted.presented
        present = node.presence.get(admitted.project, ()) if admitted.project else ()
        connection.hear(
            fx.Bound(
                ref=ref,
                identity=admitted.identity,
                session=admitted.grounds.session,
                project=admitted.project,
                partition=schema.partition_of_user(admitted.project, admitted.identity.user),
                session_token=admitted.token,
                now=node.now(),
                name=admitted.identity.name,
                email=admitted.email,
                policy=admitted.policy,
                agents_present=bool(present),
                adoptable=admitted.adoptable,
                email_proved=admitted.email_proved,
            )
        )
        parts.doors.identified(connection)
        if admitted.identity.user != before and connection.followed:
            parts.errands.spawn(parts.fanout.look_again(connection))
        if admitted.adoptable:
            parts.adoption.signed_in(connection)
        if isinstance(admitted.identity, Agent):
            node.ring_doorbell()

    async def record(self, connection: Connection) -> None:
        """Write the row of an anonymous session before its first words. Raises PeerError, StoreError."""
        assert connection.grounds is not None
        identity = connection.session.identity
        assert identity is not None
        connection.row = await self._parts.admission.bind_row(
            connection.grounds, connection.caller, AppId(connection.caller.app), identity.expires_at, identity.assurance
        )
        if connection.closed:
            # It left while we were writing, and had no row then that could have been closed.
            self._parts.errands.row_closed(connection.session_id, connection.row, NOBODY_LEFT)
