"""Every token is judged for its expected reason, and every check in the verifier is needed by at least one of them."""

from __future__ import annotations

import ast
import copy
import datetime
import inspect
import re
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, get_args

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.hostile_tokens import HONEST, HOSTILE, Case
from tests.core.jose import CLAIMS, NOW, NOW_S, PROJECT, REVOKED_ON_THIS_NODE, RING, SIGNERS, claiming, token, without

from chatgateway.core import compact as compact_module
from chatgateway.core import token as token_module
from chatgateway.core.compact import Reason
from chatgateway.core.keyring import Algorithm, KeyRing, Material
from chatgateway.core.profiles import CANONICAL, ClaimsProfile
from chatgateway.core.token import Verified, verify
from chatgateway.errors import KeyRevoked, PeerError, TokenExpired, TokenRejected
from chatgateway.types import KeyId, UnixMs

Verify = Callable[..., Verified]


def outcome(case: Case, judge: Verify = verify) -> str:
    """Return "" when the token passes, else the precise reason of the refusal."""
    try:
        judge(case.token, PROJECT, RING, CANONICAL, NOW, revoked=REVOKED_ON_THIS_NODE)
    except TokenRejected as error:
        return error.detail
    except (TokenExpired, KeyRevoked) as error:
        return error.code
    return ""


def accepted(made: str, profile: ClaimsProfile = CANONICAL, now: UnixMs = NOW) -> Verified:
    return verify(made, PROJECT, RING, profile, now)


def reason(made: str, profile: ClaimsProfile = CANONICAL, now: UnixMs = NOW) -> str:
    with pytest.raises(PeerError) as refusal:
        accepted(made, profile, now)
    return refusal.value.detail


class TestCorpus:
    @pytest.mark.parametrize("case", HONEST, ids=lambda case: case.name)
    def test_accepts_the_honest(self, case: Case) -> None:
        assert outcome(case) == ""

    @pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
    def test_refuses_the_hostile_for_the_expected_reason(self, case: Case) -> None:
        assert outcome(case) == case.expected

    def test_is_large_and_has_every_reason(self) -> None:
        assert len(HOSTILE) >= 120
        assert {case.expected for case in HOSTILE} == {*get_args(Reason), "token_expired", "key_revoked"}

    def test_is_accepted_in_large_part_by_the_library_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Configured as well as it can be: algorithms, audience, required claims, leeway, key length."""
        monkeypatch.setattr("jwt.api_jwt.datetime", FixedDatetime)
        passed = [case.name for case in HOSTILE if _library_alone(case.token)]
        print(f"PyJWT {jwt.__version__} alone accepts {len(passed)} of {len(HOSTILE)}: {'; '.join(passed)}")
        assert len(passed) > 60
        assert all(_library_alone(case.token) for case in HONEST if "the prefix" not in case.name)


class FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> FixedDatetime:
        return cls.fromtimestamp(NOW_S, tz)


def _library_alone(made: Any) -> bool:
    try:
        header = jwt.get_unverified_header(made)
        by_kind = {"HS256": "k_main", "RS256": "k_rsa", "ES256": "k_ec", "EdDSA": "k_ed"}
        guesses = [kid for kid, signer in SIGNERS.items() if signer.algorithm == header.get("alg")]
        for kid in [header["kid"]] if "kid" in header else guesses:
            signer = SIGNERS.get(kid) or SIGNERS[by_kind[header["alg"]]]
            try:
                jwt.decode(
                    made,
                    signer.public(),
                    algorithms=[signer.algorithm],
                    audience=PROJECT if "aud" in jwt.decode(made, options={"verify_signature": False}) else None,
                    leeway=60,
                    options={"require": ["exp", "iat"], "enforce_minimum_key_length": True},
                )
            except jwt.InvalidSignatureError:
                continue
            return True
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError):
        pass
    return False


# Deleting a check, for every check: the source is read, one refusal is taken out, and the corpus is judged again.


def _operands_of(condition: ast.expr) -> Iterator[ast.expr]:
    """Yield what is left of a condition when one of its grounds for refusal is taken out."""
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.Or):
        for dropped in condition.values:
            yield ast.BoolOp(ast.Or(), [value for value in condition.values if value is not dropped])
    else:
        yield ast.Constant(False)


def _mutants(module: types.ModuleType) -> Iterator[tuple[str, ast.Module]]:
    tree = ast.parse(inspect.getsource(module))
    for number, node in enumerate(ast.walk(tree)):
        if not (isinstance(node, ast.If) and len(node.body) == 1 and isinstance(node.body[0], ast.Raise)):
            continue
        for operand, condition in enumerate(_operands_of(node.test)):
            mutant = copy.deepcopy(tree)
            twin = next(twin for index, twin in enumerate(ast.walk(mutant)) if index == number)
            assert isinstance(twin, ast.If)
            twin.test = (
                condition if not isinstance(condition, ast.BoolOp) or len(condition.values) > 1 else condition.values[0]
            )
            yield f"{ast.unparse(node.test)} #{operand}", ast.fix_missing_locations(mutant)


def _run(module: types.ModuleType, code: ast.Module | str) -> types.ModuleType:
    twin = types.ModuleType(module.__name__)
    exec(compile(code, f"<mutant of {module.__name__}>", "exec"), twin.__dict__)
    return twin


DELETED = [
    pytest.param(module, mutant, id=name)
    for module in (compact_module, token_module)
    for name, mutant in _mutants(module)
]

CRASHES = ("isinstance", "is None", "not named")
"""Checks of a type: without them a hostile token is an exception that nobody expects, which is as bad."""

WEAKENED = {
    "any algorithm": (
        "algorithms=[key.algorithm]",
        'algorithms=["HS256", "HS384", "HS512", "RS256", "PS256", "ES256"]',
    ),
    "short keys": ('"enforce_minimum_key_length": True', '"enforce_minimum_key_length": False'),
    "any signature": ('return "bad_signature"', "return None"),
    "any number of keys": ("KEYS_TRIED_MAX: Final = 4", "KEYS_TRIED_MAX: Final = 99"),
    "any instant as constant": ("parse_constant=_constant, ", ""),
    "any two names": ("object_pairs_hook=_named, ", ""),
}


def _holes(
    module: types.ModuleType, mutant: ast.Module | str, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], list[str]]:
    """Return the hostile tokens that pass, and those that crash."""
    twin = _run(module, mutant)
    if module is compact_module:
        monkeypatch.setattr(token_module, "read", twin.read)
    judge = token_module.verify if module is compact_module else twin.verify
    return _passed_and_crashed(judge)


def _passed_and_crashed(judge: Verify) -> tuple[list[str], list[str]]:
    passed: list[str] = []
    crashed: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
        for case in HOSTILE:
            try:
                if outcome(case, judge) == "":
                    passed.append(case.name)
            except (TypeError, ValueError, AttributeError, IndexError, RecursionError):
                crashed.append(case.name)
    return passed, crashed


class TestDeletingACheck:
    def test_finds_the_checks(self) -> None:
        assert len(DELETED) > 35

    def test_is_no_change_when_nothing_is_deleted(self) -> None:
        assert _passed_and_crashed(_run(token_module, inspect.getsource(token_module)).verify) == ([], [])

    @pytest.mark.parametrize(("module", "mutant"), DELETED)
    def test_lets_a_hostile_token_through(
        self,
        module: types.ModuleType,
        mutant: ast.Module,
        request: pytest.FixtureRequest,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        passed, crashed = _holes(module, mutant, monkeypatch)
        assert passed or (crashed and any(guard in request.node.name for guard in CRASHES))

    @pytest.mark.parametrize(("strict", "lax"), WEAKENED.values(), ids=WEAKENED)
    def test_of_the_library_lets_a_hostile_token_through(
        self, strict: str, lax: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = next(module for module in (compact_module, token_module) if strict in inspect.getsource(module))
        passed, _ = _holes(module, inspect.getsource(module).replace(strict, lax), monkeypatch)
        assert passed

    @pytest.mark.parametrize(
        ("module", "table", "member"),
        [
            (module, table, member)
            for module, table in (
                (compact_module, "REFUSED_HEADERS"),
                (token_module, "ID_REFUSED"),
                (token_module, "TEXT_REFUSED"),
                (token_module, "_OVERRIDES"),
            )
            for member in sorted(getattr(module, table) - {"crit"})  # the library refuses "crit" a second time
        ],
    )
    def test_of_one_member_of_a_table_lets_a_hostile_token_through(
        self, module: types.ModuleType, table: str, member: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, table, getattr(module, table) - {member})
        passed, crashed = _passed_and_crashed(verify)
        assert passed or (member == "Cs" and crashed)


class TestVerified:
    def test_says_who_and_by_which_key(self) -> None:
        assert accepted(claiming(email_verified=True, iss="https://shop.example")) == Verified(
            kid=KeyId("k_main"),
            external_id=CLAIMS["external_id"],
            name="Ada",
            email="ada@example.com",
            email_verified=True,
            issued_at=NOW,
            expires_at=UnixMs(NOW + 600_000 + 60_000),
        )

    def test_reports_dropped_claims_and_those_that_ask_for_rights(self) -> None:
        verified = accepted(claiming(plan="gold", role="admin", isAdmin=True, **{"is-staff": 1}))
        assert verified.dropped == ("plan", "role", "isAdmin", "is-staff")
        assert verified.role_like == ("role", "isAdmin", "is-staff")

    def test_reports_names_that_a_log_can_write(self) -> None:
        assert accepted(claiming(**{"\ud800" + "x" * 100: 1})).dropped == ("\\ud800" + "x" * 63,)

    def test_without_an_email_proves_none(self) -> None:
        assert not accepted(token({**without("email"), "email_verified": True})).email_verified

    def test_ends_after_now_even_in_the_leeway(self) -> None:
        assert accepted(claiming(iat=NOW_S - 600, exp=NOW_S - 59)).expires_at == NOW + 1_000

    def test_trims_the_name(self) -> None:
        assert accepted(claiming(name="  Ada ")).name == "Ada"


class TestOutwardly:
    """Rule 9: one error, but for two, and those two only to the bearer of a good signature."""

    def test_everything_else_is_one_error(self) -> None:
        for case in HOSTILE:
            with pytest.raises(PeerError) as refusal:
                verify(case.token, PROJECT, RING, CANONICAL, NOW, revoked=REVOKED_ON_THIS_NODE)
            expected = case.expected if case.expected in ("token_expired", "key_revoked") else "token_rejected"
            assert refusal.value.code == expected
            assert str(refusal.value) == type(refusal.value).sentence

    def test_no_refusal_quotes_the_token(self) -> None:
        for case in HOSTILE:
            with pytest.raises(PeerError) as refusal:
                verify(case.token, PROJECT, RING, CANONICAL, NOW, revoked=REVOKED_ON_THIS_NODE)
            assert re.fullmatch(r"[a-z_0-9]+|\d+ ms ago", refusal.value.detail)
            assert refusal.value.__cause__ is None
            assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


class TestAtTheEdge:
    @pytest.mark.parametrize(("later_ms", "detail"), [(-1, ""), (0, "0 ms"), (1, "1 ms")])
    def test_a_token_lives_to_the_millisecond_before_its_leeway_ends(self, later_ms: int, detail: str) -> None:
        end = NOW + 600_000 + 60_000
        if not detail:
            assert accepted(token(), now=UnixMs(end + later_ms)).expires_at == end
            return
        with pytest.raises(TokenExpired):
            accepted(token(), now=UnixMs(end + later_ms))

    def test_a_revoked_key_is_named_for_a_day(self) -> None:
        with pytest.raises(KeyRevoked):
            accepted(token(kid="k_lately"))
        assert reason(token({**CLAIMS}, kid="k_lately"), now=UnixMs(NOW + 1)) == "key_revoked_long_ago"


class TestBrokenKeys:
    """A ring may hold what an import should have refused: it verifies nothing and spoils nothing for the others."""

    @pytest.mark.parametrize("algorithm", get_args(Algorithm))
    @pytest.mark.parametrize(
        "material",
        [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", b"\xff" * 40],
        ids=["empty", "broken PEM", "bytes"],
    )
    def test_verify_nothing(self, algorithm: Algorithm, material: bytes) -> None:
        signer = next(signer for signer in SIGNERS.values() if signer.algorithm == algorithm)
        good = next(key for key in RING.keys if key.kid == "k_main")
        broken = replace(good, kid=KeyId("k_broken"), algorithm=algorithm, material=Material(material))
        ring = KeyRing(1, (broken, *(key for key in RING.keys if key.algorithm == algorithm)))
        with pytest.raises(TokenRejected):
            verify(token(header={"alg": algorithm, "kid": "k_broken"}, signer=signer), PROJECT, ring, CANONICAL, NOW)
        assert verify(token(kid=None, signer=signer), PROJECT, ring, CANONICAL, NOW).kid in SIGNERS


@given(st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.text("JWTey.-_=AQ ", max_size=200)))
def test_nothing_but_a_refusal_comes_of_noise(noise: object) -> None:
    with pytest.raises(PeerError):
        verify(noise, PROJECT, RING, CANONICAL, NOW)


NAMES = st.sampled_from([*CLAIMS, "sub", "aud", "nbf", "email_verified"]) | st.text(max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_signed_nonsense_is_judged_and_never_crashes(claims: dict[str, Any]) -> None:
    try:
        verified = accepted(token({**CLAIMS, **claims}))
    except PeerError:
        return
    assert 1 <= len(verified.external_id) <= 255
    assert verified.expires_at > NOW
