"""The command ``chatgateway``: one file per noun, loaded when it is asked for.

Says which words exist and what an exit status means; each noun says in its help what will happen to whom.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from chatgateway import __version__
from chatgateway.errors import (
    ChatGatewayError,
    DataDirectoryInUse,
    NameTaken,
    NotFound,
    PeerError,
    SettingsError,
    StoreRefused,
    StoreUnavailable,
)

DONE, FAILED, USAGE, CANNOT_START, STORE_UNREACHABLE, DATA_IN_USE = range(6)
"""Exit statuses. FAILED: it was tried and did not succeed, or not everywhere."""

_STATUS: tuple[tuple[type[ChatGatewayError], int], ...] = (
    (SettingsError, USAGE),
    (DataDirectoryInUse, DATA_IN_USE),
    (StoreUnavailable, STORE_UNREACHABLE),
    (StoreRefused, CANNOT_START),
)

NOUNS = {
    "demo": "Show everything at once: a site, an agent, a secret to regenerate.",
    "serve": "Run the gateway.",
    "check": "Print the effective settings; secrets are hidden.",
    "project": "Tenants: their people, conversations, agents and keys.",
    "app": "Places where a project meets visitors: who may embed them.",
    "key": "Signing keys: add, follow, regenerate, revoke.",
    "token": "Explain why a customer token is refused; sign one for experiments.",
    "agent": "Those who answer: add, remove, let in.",
    "admin": "Tokens for servers that operate the gateway over HTTP.",
    "user": "The people that a project knows: find, import, block, export, erase.",
    "session": "Who is connected now; end a session.",
    "history": "Read a conversation, or all of one person's.",
    "audit": "What operators did; check that nothing was altered.",
}
"""Every word, in the order of the help. Kept here, so that the help loads none of their modules."""


class Nouns(click.Group):
    """A group whose commands are modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in NOUNS:
            return None
        command: click.Command = importlib.import_module(f"chatgateway.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="chatgateway")
def root() -> None:
    """Chat over WebSockets for sites that sign their own users in.

    Every command works directly on the store: the embedded one of --data (joined when a gateway runs on it), or the
    one at --store-url. Settings come from flags, CHATGATEWAY_* variables and one TOML file, in that order.

    \b
    Exit status: 0 done                 3 cannot start
                 1 failed               4 store unreachable
                 2 usage or settings    5 data directory in use
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status. A failure is one sentence on standard error."""
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        status = root.main(args=arguments, prog_name="chatgateway", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _failed("aborted; nothing was changed", FAILED)
    except ChatGatewayError as error:
        return _failed(_sentence(error), _status(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return status if isinstance(status, int) else DONE


def _status(error: ChatGatewayError) -> int:
    """Return the error's own status, where a floor that is not loaded yet gave it one; else that of its kind."""
    own: int | None = getattr(error, "exit_code", None)
    return own if own is not None else next((code for kind, code in _STATUS if isinstance(error, kind)), FAILED)


def _sentence(error: ChatGatewayError) -> str:
    if isinstance(error, StoreUnavailable):
        return f"the store cannot be reached: {error}"
    place = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, NotFound):
        return f"There is no {error}{place}."
    if isinstance(error, NameTaken):
        return f"Somebody is called {error} already; choose another name."
    # A class's own sentence is the same for all; one that was written for the occasion says everything.
    if isinstance(error, PeerError) and error.detail and str(error) == error.sentence:
        place = f", {error.detail}{place}"
    return f"{error} ({place[2:]})" if place else str(error)


def _failed(sentence: str, status: int) -> int:
    click.echo(f"chatgateway: {sentence}", err=True)
    return status
