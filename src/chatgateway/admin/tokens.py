"""Customer tokens, seen from the operator's side: one explained, and one made as a sample."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import jwt

from chatgateway.admin import people
from chatgateway.admin.office import Office, acceptable
from chatgateway.core.doctor import Diagnosis, Finding, diagnose, finding_of
from chatgateway.core.keyring import KeyRing, SigningKey
from chatgateway.core.person import OUR_ID, Identifier, folded_email
from chatgateway.core.profiles import DESKPRO, PROFILES
from chatgateway.core.project import App, Project
from chatgateway.core.sample import sample_claims
from chatgateway.core.token import Verified
from chatgateway.errors import NotFound, Unacceptable
from chatgateway.outside.jwks import KeySets, with_newest
from chatgateway.types import AppId, KeyId, ProjectId, UnixMs

_NEIGHBOURS_MAX: Final = 256
"""Projects whose keys are asked when none of this project's made a signature."""

_KEYLESS: Final = frozenset({"bad_signature", "kid_unknown", "no_key_of_this_kind", "alg_mismatch"})


@dataclass(frozen=True, slots=True)
class Minted:
    """A customer token as the project's own server would sign it. Whoever has it is that person until it expires."""

    token: str = dataclasses.field(repr=False)
    kid: KeyId
    profile: str
    expires_at: UnixMs


async def explain(
    office: Office, app: AppId, token: str, *, sets: KeySets | None = None, neighbours: bool = False
) -> Diagnosis:
    """Say what this gateway makes of a token for ``app``, and why. Changes nothing, and uses no token up.

    ``sets`` is what asks for followed key sets; without it their keys are unknown. ``neighbours``: the caller may know
    of all projects, so their keys are tried too when none of this project's fits. Raises AppUnknown.
    """
    project, found = await office.projects.get_app(app)
    ring = await office.keyrings.load(project.id)
    missing: Mapping[KeyId, Exception] = {}
    if sets is not None and ring.usable("JWKS"):
        ring, missing = await with_newest(sets, ring)
    now = await office.store.now()
    diagnosis = _judged(project, found, token, ring, now)
    if neighbours and diagnosis.reason in _KEYLESS and not diagnosis.facts.key:
        diagnosis = _judged(project, found, token, ring, now, await _elsewhere(office, project.id))
    if diagnosis.verified is not None:
        diagnosis = await _with_what_is_known(office, project, found, diagnosis, diagnosis.verified)
    elif missing and not diagnosis.facts.key:
        gone = Finding(
            "no_key_of_this_kind",
            f"the key set {', '.join(missing)} could not be fetched, so its keys are unknown here",
            "see chatgateway key show, and try again when its site answers",
        )
        diagnosis = dataclasses.replace(diagnosis, also=(gone, *diagnosis.also))
    return diagnosis


async def mint(
    office: Office,
    app: AppId,
    person: str,
    *,
    profile: str | None = None,
    name: str = "",
    email: str = "",
    minutes: int = 5,
    kid: KeyId | None = None,
) -> Minted:
    """Sign a token that says: the bearer is ``person``, in the shape of the app's profile, or of another.

    Where the profile names people by our own ids or by addresses (deskpro), ``person`` is an address or whoever is
    called so here. Raises AppUnknown, or Unacceptable: there is no secret to sign with, or it would not be taken.
    """
    project, found = await office.projects.get_app(app)
    profile = profile or found.profile
    if profile not in PROFILES:
        raise Unacceptable(f"There is no claims profile {profile!r}; there are {', '.join(sorted(PROFILES))}.")
    ring = await office.keyrings.load(project.id)
    key = _signing_key(ring, kid)
    issued_s = await office.store.now() // 1000
    if profile == DESKPRO.name:
        person, email = await _as_deskpro(office, project, person, email)
    with acceptable():
        claims = sample_claims(profile, project.id, person, issued_s, minutes * 60, name=name, email=email)
    if found.one_time_tokens:
        claims["jti"] = secrets.token_urlsafe(16)
    token = jwt.encode(claims, key.secret.reveal(), algorithm="HS256", headers={"kid": key.kid})
    diagnosis = diagnose(token, project.id, ring, PROFILES[profile], UnixMs(issued_s * 1000))
    if diagnosis.verdict == "bad":
        raise Unacceptable(diagnosis.sentence)
    async with office.recorded("token mint", person, project.id) as recording:
        recording.fingerprint = key.fingerprint
        await recording.begin()
    return Minted(token, key.kid, profile, UnixMs((issued_s + minutes * 60) * 1000))


def _judged(
    project: Project, app: App, token: str, ring: KeyRing, now: UnixMs, elsewhere: Mapping[str, KeyRing] | None = None
) -> Diagnosis:
    return diagnose(
        token,
        project.id,
        ring,
        PROFILES[app.profile],
        now,
        elsewhere=elsewhere,
        one_time=app.one_time_tokens,
        require_expiry=app.require_expiry,
    )


async def _elsewhere(office: Office, here: ProjectId) -> dict[str, KeyRing]:
    others = [other for other in await office.projects.list_projects() if other.id != here]
    return {f"{other.name} ({other.id})": await office.keyrings.load(other.id) for other in others[:_NEIGHBOURS_MAX]}


async def _with_what_is_known(
    office: Office, project: Project, app: App, diagnosis: Diagnosis, verified: Verified
) -> Diagnosis:
    """Add what only the store knows: whom the identifiers name, and whether the token was used up."""
    named: tuple[Identifier, ...] = verified.identifiers
    said = verified.description
    if project.identify_by_email and said.email and said.email_proved:
        named = (*named, Identifier("email", folded_email(said.email)))
    found = [(one, await office.identities.find(project.id, one)) for one in named]
    meant = {person.user: person for _, person in found if person is not None}
    if len(meant) > 1:
        told = finding_of("identity_conflict")
        who = " and ".join(sorted(meant))
        return diagnosis.worsened("identity_conflict", dataclasses.replace(told, cause=f"{told.cause} ({who})"))
    if blocked := [person.user for person in meant.values() if person.blocked]:
        fix = f"chatgateway user unblock {project.id} {blocked[0]} lets them in again"
        return diagnosis.worsened("forbidden", dataclasses.replace(finding_of("forbidden"), fix=fix))
    if app.one_time_tokens and await office.identities.spent(project.id, verified.kid, verified.token_id):
        return diagnosis.worsened("used_before", finding_of("used_before"))
    if any(person is None and one.kind == "deskpro_id" and OUR_ID.fullmatch(one.text) for one, person in found):
        cause = "deskpro_id has the form of a user id, and this project knows nobody of that id"
        fix = "send the user id that user list shows or an upsert answered, or leave deskpro_id out and send email"
        return diagnosis.doubted(Finding("id_of_nobody", cause, fix))
    return diagnosis


async def _as_deskpro(office: Office, project: Project, person: str, email: str) -> tuple[str, str]:
    """Return the deskpro_id and the address that name ``person``; one of them may be "". Raises Unacceptable."""
    if "@" in person:
        return "", email or person
    if await office.identities.find(project.id, Identifier("deskpro_id", person)) is not None:
        return person, email
    try:
        return (await people.find(office, project.id, person)).user, email
    except NotFound as error:
        if email:
            return "", email
        raise Unacceptable(
            f"Nobody in {project.id} is called {person}, and deskpro names people by an address or by their user id: "
            "give an address, or tell of the person first (chatgateway user import)."
        ) from error


def _signing_key(ring: KeyRing, kid: KeyId | None) -> SigningKey:
    """Return the secret that is meant, the newest when none is. Raises Unacceptable."""
    key = next((key for key in ring.usable("HS256") if kid in (None, key.kid)), None)
    if key is None:
        raise Unacceptable(
            "The project has no such secret, and of public keys only its own server has the private half: make a "
            "secret with chatgateway key add, or see key list."
        )
    return key
