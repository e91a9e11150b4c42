"""``chatgateway demo``: everything at once, to be looked at.

The host site is a process of its own and on another *site* than the gateway (``localhost`` against ``127.0.0.1``), so
that origins, CORS, storage and recovery are those of real life. It reads the project's secret from a file at each
signing, as a deployed server would after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shlex
import signal
import sys
from pathlib import Path

import click

from chatgateway import __version__, log
from chatgateway.admin.keys import fresh_key
from chatgateway.cli import CANNOT_START, answer
from chatgateway.cli.agent import login_url
from chatgateway.cli.opened import Opened, opened
from chatgateway.core.project import App, Project
from chatgateway.errors import NotFound
from chatgateway.settings import Settings, load
from chatgateway.types import AppId, Policy

PROJECT, APP, AGENT = "Demo", "Demo site", "Dana"


@dataclasses.dataclass(frozen=True)
class Stage:
    """What the demo needs before it can begin."""

    project: Project
    app: AppId
    secret_file: Path
    link: str
    policy: Policy


@click.command(name="demo")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path(".demo"), show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True, help="Of the gateway.")
@click.option("--site-port", type=click.IntRange(1, 65_535), default=8081, show_default=True, help="Of the host site.")
@click.option(
    "--policy", type=click.Choice(["anyone", "email"]), default="anyone", show_default=True,
    help="email: visitors prove an address before they chat; the mails are on a page.",
)  # fmt: skip
def command(data: Path, port: int, site_port: int, policy: Policy) -> int:
    """Show everything at once: a gateway, a site that embeds it, an agent, and a secret to regenerate.

    Nothing outside DATA is touched. A second run goes on with the same conversations; delete DATA to begin anew.
    """
    settings = load({"data": data, "port": port, "log_level": "warning"}, os.environ)
    log.configure(settings.log_level, settings.log_format)
    return asyncio.run(_show(settings, site_port, policy))


async def _show(settings: Settings, site_port: int, policy: Policy) -> int:
    from chatgateway.gateway.assembly import run
    from chatgateway.gateway.postbox import Postbox

    origin = f"http://localhost:{site_port}"
    async with opened(settings) as at:
        stage = await _set(at, origin, policy)
    site = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chatgateway.web.demo_site", "--port", str(site_port)),
        *("--secret-file", str(stage.secret_file), "--gateway", _gateway(settings), "--app", stage.app),
        stdout=asyncio.subprocess.DEVNULL,  # its one line is among our ten
        start_new_session=True,  # Ctrl-C is for us: a site that is gone first would look like one that failed
    )
    try:
        gateway = asyncio.create_task(run(settings, Postbox()))
        left = asyncio.create_task(site.wait())
        telling = asyncio.create_task(_tell(settings, stage, site_port))
        await asyncio.wait((gateway, left), return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        if not gateway.done():
            # Without its site there is nothing to see; the gateway leaves as it does on SIGTERM.
            os.kill(os.getpid(), signal.SIGTERM)
            await gateway
            return CANNOT_START
        return gateway.result()
    finally:
        with contextlib.suppress(ProcessLookupError):
            site.terminate()
        await site.wait()


async def _set(at: Opened, origin: str, policy: Policy) -> Stage:
    """Make what is missing of project, app, secret and agent, and a fresh login link."""
    known = {project.name: project for project in await at.projects.list_projects()}
    project = known.get(PROJECT)
    if project is None:
        async with at.recorded("project create", PROJECT) as recording:
            project = await at.projects.create_project(PROJECT, test=True, intent=recording)
    app = next((app for app in await at.projects.list_apps(project.id) if app.name == APP), None)
    if app is None:
        async with at.recorded("app create", APP, project.id) as recording:
            app = await at.projects.create_app(project.id, APP, (origin,), intent=recording)
    if origin not in app.origins or app.policy != policy:
        async with at.recorded("app set", app.id, project.id) as recording:
            await at.projects.update_app(app.id, lambda app: _embedded_by(app, origin, policy), intent=recording)
    secret_file = at.settings.data_directory / "demo-site.secret"
    await _secret(at, project, secret_file)
    try:
        agent = await at.agents.by_name(AGENT)
    except NotFound:
        async with at.recorded("agent add", AGENT) as recording:
            agent = await at.agents.create(AGENT, projects=(project.id,), role="admin", intent=recording)
    link = login_url(at.settings, await at.agents.create_link(agent.id))
    return Stage(project, app.id, secret_file, link, policy)


def _embedded_by(app: App, origin: str, policy: Policy) -> App:
    return dataclasses.replace(app, origins=tuple(dict.fromkeys((*app.origins, origin))), policy=policy)


async def _secret(at: Opened, project: Project, file: Path) -> None:
    """Leave a living secret of the project in ``file``."""
    living = {key.secret.reveal() for key in (await at.keyrings.load(project.id)).usable("HS256")}
    if _content(file) in living:
        return
    with answer.secret_place(file) as put:
        key, secret = await fresh_key(at, project, APP)
        async with at.recorded("key add", project.id, project.id) as recording:
            recording.fingerprint = key.fingerprint
            await at.keyrings.change(project.id, lambda ring: ring.add(key), intent=recording)
        put(secret)


def _content(file: Path) -> bytes:
    return file.read_bytes().strip() if file.exists() else b""


async def _tell(settings: Settings, stage: Stage, site_port: int) -> None:
    """Print the ten lines once somebody answers on both ports."""
    for port in (settings.port, site_port):
        while not await _answers(port):  # noqa: ASYNC110 (the site is another process: there is no event)
            await asyncio.sleep(0.05)
    data = settings.data_directory
    regenerate = [*_itself(), "key", "regenerate", stage.project.id, "--data", _short(data)]
    regenerate += ["--secret-file", _short(stage.secret_file)]
    mails = f"\n  mails      {_gateway(settings)}/demo/outbox" if stage.policy == "email" else ""
    click.echo(f"""\
chatgateway {__version__} is running. Ctrl-C stops everything.
Its data is in {data.absolute()}: a second run goes on with it; delete it to begin anew.

  visitor    http://localhost:{site_port}/{mails}
  agent      {stage.link}
             (this link signs {AGENT} in once, within 15 minutes)
  sign in    write as a visitor, then press "Log in as Ada" on that page: the agent sees the badge appear
  regenerate the secret, and watch the signed-in visitor's socket close and come back with a fresh token:

  {shlex.join(regenerate)}""")


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _gateway(settings: Settings) -> str:
    return settings.public_url or f"http://{settings.host}:{settings.port}"


def _itself() -> list[str]:
    """Return how to call this very command from the present directory."""
    called = Path(sys.argv[0])
    return [_short(called)] if called.name == "chatgateway" else [_short(Path(sys.executable)), "-m", "chatgateway"]


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.absolute().relative_to(Path.cwd()))
    return str(path.absolute())
