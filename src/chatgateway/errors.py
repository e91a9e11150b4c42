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
    sentence = "The key that vouched for this was revoked; fetch a fresh token, signed with a key that is in force."


class KeysUnavailable(PeerError):
    """Nobody's mistake here: a key set that the project follows cannot be had, and its key may have signed."""

    code = "keys_unavailable"
    close = CloseCode.INTERNAL  # of the range that comes back with the same token
    status = 503
    sentence = "The key set that this token's key may be in cannot be fetched now; send the same token again later."

    def __init__(self, *, detail: str = "") -> None:
        super().__init__(detail=detail, retry=30_000)


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


class EmailRequired(Forbidden):
    """The app's policy is ``email``, and this visitor has proved none."""

    code = "email_required"
    sentence = "This app asks visitors to prove an address before chatting: send prove_email on a socket, or sign in."


class EmailMalformed(PeerError):
    code = "email_malformed"
    sentence = "This is not an address that mail can be sent to; write it like ada@shop.example."


class MailUnconfigured(PeerError):
    """Nobody's mistake but the operator's, who asks for proofs and gave no mail server."""

    code = "mail_unconfigured"
    status = 503
    sentence = "This gateway sends no mail; its operator sets smtp_url and mail_from."


class CodeRejected(PeerError):
    """One answer for wrong, used, expired and never sent: nobody learns which it was."""

    code = "code_rejected"
    close = CloseCode.FORBIDDEN
    status = 403
    sentence = "The code is wrong, used or too old; try again or ask for a new one."


class AdoptionRefused(PeerError):
    """The earlier chat cannot be kept (or given back). ``detail`` says which condition failed."""

    code = "adoption_refused"
    close = CloseCode.FORBIDDEN
    status = 409
    sentence = "The earlier chat cannot be kept: it is too old, was adopted before, or belongs to somebody else."


class Unacceptable(PeerError):
    """What an operator, or a project's server, asked for cannot be. The sentence says what is wrong with it."""

    code = "unacceptable"
    status = 422


class AdminRejected(PeerError):
    """No admin token, an unknown one, a revoked one, or one of another project."""

    code = "admin_rejected"
    close = CloseCode.FORBIDDEN
    status = 401
    sentence = "An admin token is needed (Authorization: Bearer cga_…); make one with: chatgateway admin create"


class IdentityErased(PeerError):
    """The person was erased; nothing may be written in their name."""

    code = "identity_erased"
    close = CloseCode.IDENTITY_ERASED
    status = 410
    sentence = "This person was erased."


class AppUnknown(PeerError):
    code = "app_unknown"
    close = CloseCode.APP_UNKNOWN
    status = 404
    sentence = "There is no such app; check the id in data-app."


class NoSuchSession(PeerError):
    """Somebody named a session that is none of theirs."""

    code = "no_such_session"
    close = CloseCode.FORBIDDEN
    status = 404
    sentence = "You have no such session; GET /v1/sessions lists them."


class NotJson(PeerError):
    """A body of another kind, which a page may send anywhere without being asked first."""

    code = "not_json"
    status = 415
    sentence = "The body is JSON; say so: Content-Type: application/json"


class MethodUnknown(PeerError):
    code = "method_unknown"
    status = 405
    sentence = "This address does not know that method; the Allow header lists those that it knows."


class AddressUnknown(PeerError):
    code = "address_unknown"
    status = 404
    sentence = "There is nothing at this address; GET /v1/openapi.json describes what there is."


class UserUnknown(PeerError):
    code = "user_unknown"
    close = CloseCode.FORBIDDEN
    status = 404
    sentence = "This project knows no such person."


class RecordUnknown(PeerError):
    """Somebody named a record that does not exist."""

    code = "not_found"
    status = 404
    sentence = "There is no such record."


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
    sentence = (
        "The ref's time is more than two minutes ahead of the store; mint refs from its clock: now of welcome, or of "
        "GET /v1/me."
    )


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
        self.partition: int | None = None
        """Which partition refused, where it is not the one of the person whom the script was about."""


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


class OutsideUnavailable(ChatGatewayError):
    """Somebody else's server (mail, a key set) did not do what it was asked. Says which, and what to do."""


class OutsideRefused(OutsideUnavailable):
    """It answered, and the answer was no: asking again is of no use."""


class MailboxRefused(OutsideRefused):
    """A mail server takes mails, but none for this address: whoever typed it was wrong."""


class KeyUnknown(ChatGatewayError):
    """An operator named a key that the ring does not hold."""

    def __init__(self, kid: str) -> None:
        super().__init__(f"there is no key {kid} in this project; see: chatgateway key list")


class SettingsError(ChatGatewayError):
    """A setting is wrong. Raised only before serving; names the variable, never its value."""
