"""Who broke what: one root, and whose fault it is in the type.

A ``PeerError`` knows its answer: a stable ``code`` for wire and log, a close code for when the connection cannot go on,
and what the client should do about it. ``detail`` goes into the log only: it may name a claim, never hold a token,
a secret or a message.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from chatgateway.close_codes import CloseCode

Retry = Literal["no", "same"] | int
"""May the client try again: never, at once with the same frame, or after so many milliseconds."""


class ChatGatewayError(Exception):
    """Root of everything that chatgateway raises on purpose."""


class PeerError(ChatGatewayError):
    """The peer broke a rule. ``str(error)`` is the sentence for the developer; the class says the rest."""

    code: ClassVar[str] = "rejected"
    close: ClassVar[CloseCode] = CloseCode.MALFORMED
    status: ClassVar[int] = 400
    """The HTTP status of the same refusal."""
    sentence: ClassVar[str] = "The request was refused."

    def __init__(self, sentence: str | None = None, *, detail: str = "", retry: Retry = "no") -> None:
        super().__init__(sentence or self.sentence)
        self.detail = detail
        self.retry: Retry = retry


class Malformed(PeerError):
    code = "malformed"
    close = CloseCode.MALFORMED
    sentence = "This is not a frame of the protocol."


class TooBig(PeerError):
    code = "too_big"
    close = CloseCode.TOO_BIG
    status = 413
    sentence = "The message is larger than this gateway accepts."


class FrameRejected(PeerError):
    """A well-formed frame that is not allowed now."""

    code = "frame_rejected"
    close = CloseCode.MALFORMED


class TokenRejected(PeerError):
    code = "token_rejected"
    close = CloseCode.TOKEN_REJECTED
    status = 401
    sentence = "The token was rejected; see the gateway's log for the reason."


class TokenExpired(PeerError):
    code = "token_expired"
    close = CloseCode.TOKEN_EXPIRED
    status = 401
    sentence = "The token has expired; sign a fresh one."


class KeyRevoked(PeerError):
    """Signed with a key that the project has since regenerated or revoked."""

    code = "key_revoked"
    close = CloseCode.KEY_REVOKED
    status = 401
    sentence = "The key that signed this token was revoked; sign with the new secret."


class LoginRejected(PeerError):
    """An agent's name, password or link. One answer for all, so that nobody learns which names exist."""

    code = "login_rejected"
    close = CloseCode.TOKEN_REJECTED
    status = 401
    sentence = "The name or the password is wrong, or the link was used before."


class SessionUnknown(PeerError):
    code = "session_unknown"
    close = CloseCode.SESSION_UNKNOWN
    status = 401
    sentence = "This session has ended; start a new one."


class SignedOut(PeerError):
    code = "signed_out"
    close = CloseCode.SIGNED_OUT
    status = 401
    sentence = "This identity was signed out."


class UserRevoked(PeerError):
    """The person was signed out everywhere."""

    code = "user_revoked"
    close = CloseCode.USER_REVOKED
    status = 401
    sentence = "This person was signed out everywhere; sign in again."


class Forbidden(PeerError):
    code = "forbidden"
    close = CloseCode.FORBIDDEN
    status = 403
    sentence = "This is not allowed."


class OriginForbidden(Forbidden):
    code = "origin_forbidden"
    sentence = "This page's origin is not on the app's list; add it with: chatgateway app set APP --origin ORIGIN"


class AppUnknown(PeerError):
    code = "app_unknown"
    close = CloseCode.APP_UNKNOWN
    status = 404
    sentence = "There is no such app; check the id in data-app."


class ConversationUnknown(PeerError):
    code = "conversation_unknown"
    close = CloseCode.FORBIDDEN
    status = 404
    sentence = "There is no such conversation, or it is not yours."


class IdentityConflict(PeerError):
    """Two identifiers of one token point at two people."""

    code = "identity_conflict"
    close = CloseCode.TOKEN_REJECTED
    status = 409
    sentence = "The token's identifiers belong to two different people."


class IdentityChanged(PeerError):
    """Another person's token on an authenticated socket: sign out first."""

    code = "identity_changed"
    close = CloseCode.IDENTITY_CHANGED
    status = 409
    sentence = "This session belongs to another person; send sign_out before signing somebody else in."


class OutcomeUnknown(PeerError):
    """The ref is older than what is remembered; the message may or may not have been stored."""

    code = "outcome_unknown"
    sentence = "This ref is older than those remembered; read the history to see whether it was stored."


class RefAhead(PeerError):
    code = "ref_ahead"
    sentence = "The ref's time is more than two minutes ahead of the store; mint refs from welcome.now."


class RateLimited(PeerError):
    code = "rate_limited"
    close = CloseCode.ABUSIVE
    status = 429
    sentence = "Too many commands; slow down."


class TooManyConnections(PeerError):
    code = "too_many_connections"
    close = CloseCode.TOO_MANY_CONNECTIONS
    status = 429
    sentence = "Too many connections from this address or of this person."


class StoreError(ChatGatewayError):
    """The store did not do what it was asked."""


class StoreUnavailable(StoreError):
    """Nobody knows whether the command took effect; scripts are idempotent, so it may be asked again after judging."""


class Stale(StoreError):
    """A script refused a judgement older than the partition's fence. ``fence`` is None when the fence is missing."""

    def __init__(self, fence: int | None) -> None:
        super().__init__(f"judged before fence {fence}")
        self.fence = fence


class Withdrawn(StoreError):
    """A script found that trust in this person or session was withdrawn. ``mark`` says how."""

    def __init__(self, mark: str) -> None:
        super().__init__(f"trust withdrawn: {mark}")
        self.mark = mark


class Conflict(StoreError):
    """A compare-and-set lost: what was read has changed since. Read again and repeat."""


class NameTaken(StoreError):
    """Another record carries this name. ``str(error)`` is the name."""


class NotFound(StoreError):
    """The record does not exist. ``str(error)`` names it."""


class StoreRefused(StoreError):
    """The store cannot be used as it is (eviction on, newer schema, wrong master key, rewound). Says what to do."""


class DataDirectoryInUse(StoreError):
    """Another process holds the data directory and does not answer. Says what to do."""


class DurabilityTimeout(StoreError):
    """Stored, but not confirmed in the promised grade in time: do not acknowledge; the same ref may be sent again."""


class KeyUnknown(ChatGatewayError):
    """An operator named a key that the ring does not hold."""

    def __init__(self, kid: str) -> None:
        super().__init__(f"there is no key {kid} in this project; see: chatgateway key list")


class SettingsError(ChatGatewayError):
    """A setting is wrong. Raised only before serving; names the variable, never its value."""
