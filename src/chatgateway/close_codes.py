"""Close codes of the socket: the range is the instruction, so an old client does the right thing with a new code.

RFC 6455 section 7.4.2 leaves 4000-4999 to applications.
"""

from __future__ import annotations

import enum


class ClientAction(enum.IntEnum):
    """What the client must do, by the hundred of the code."""

    BACK_OFF_AND_RESUME = 40
    BACK_OFF_AND_START_ANEW = 41
    RETURN_INSIDE_THE_WINDOW = 42
    FETCH_A_FRESH_TOKEN = 43
    STOP = 44


class CloseCode(enum.IntEnum):
    """Why the gateway ends a connection. The reason on the wire is the name in lower case."""

    INTERNAL = 4000
    STORE_UNAVAILABLE = 4001
    HEARTBEAT_LOST = 4002
    SLOW_CONSUMER = 4003
    HELLO_TIMEOUT = 4005
    LEASE_LOST = 4006
    SESSION_UNKNOWN = 4100
    IDENTITY_CHANGED = 4101
    DRAINING = 4200
    REBALANCE = 4201
    TOKEN_EXPIRED = 4300
    KEY_REVOKED = 4301
    USER_REVOKED = 4302
    CLAIMS_CHANGED = 4303
    MALFORMED = 4400
    TOKEN_REJECTED = 4401
    FORBIDDEN = 4403
    APP_UNKNOWN = 4404
    TOO_MANY_CONNECTIONS = 4409
    IDENTITY_ERASED = 4410
    TOO_BIG = 4413
    VERSION = 4415
    ABUSIVE = 4429
    SIGNED_OUT = 4440
    SUPERSEDED = 4441

    @property
    def reason(self) -> str:
        """The code's name as it travels in the close frame: at most 123 bytes (RFC 6455 section 5.5)."""
        return self.name.lower()

    @property
    def client_action(self) -> ClientAction:
        """What a client that does not know the code must still do."""
        return ClientAction(self // 100)
