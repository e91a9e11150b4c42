"""What an admin token looks like, and for which projects it is good."""

from __future__ import annotations

import hashlib

import pytest

from chatgateway.core.admin import AdminRecord, admin_digest, admin_token, is_admin_token
from chatgateway.core.keyring import is_secret
from chatgateway.types import AdminId, ProjectId, UnixMs

SHOP, OTHER = ProjectId("prj_shop"), ProjectId("prj_other")


def admin(*projects: ProjectId) -> AdminRecord:
    return AdminRecord(AdminId("adm_1"), "server", projects)


class TestToken:
    def test_has_the_published_form(self) -> None:
        token = admin_token(bytes(range(32)))
        assert token.startswith("cga_")
        assert len(token) == 4 + 43 + 1 + 6
        assert is_admin_token(token)

    def test_is_no_signing_secret(self) -> None:
        assert not is_secret(admin_token(bytes(32)))

    @pytest.mark.parametrize("size", [0, 31, 33])
    def test_is_made_of_exactly_32_bytes(self, size: int) -> None:
        with pytest.raises(ValueError, match="32 random bytes"):
            admin_token(bytes(size))

    def test_with_a_typing_error_is_none(self) -> None:
        token = admin_token(bytes(range(32)))
        other = "1" if token[10] == "0" else "0"
        assert not is_admin_token(token[:10] + other + token[11:])

    @pytest.mark.parametrize("text", ["", "cga_", "\ud800", "Bearer cga_x"])
    def test_is_told_from_anything_else(self, text: str) -> None:
        assert not is_admin_token(text)

    def test_is_remembered_by_its_digest(self) -> None:
        token = admin_token(bytes(32))
        assert admin_digest(token) == hashlib.sha256(token.encode()).hexdigest()
        assert admin_digest("\ud800"), "whatever came over the wire has one"


class TestScope:
    def test_of_a_token_without_projects_is_every_project(self) -> None:
        assert admin().everywhere
        assert admin().serves(SHOP)

    def test_of_a_token_with_projects_is_those(self) -> None:
        assert admin(SHOP).serves(SHOP)
        assert not admin(SHOP).serves(OTHER)
        assert not admin(SHOP).everywhere

    def test_lets_only_a_token_of_one_project_grant_sessions(self) -> None:
        assert admin(SHOP).grants(SHOP)
        assert not admin(SHOP).grants(OTHER)
        assert not admin(SHOP, OTHER).grants(SHOP)
        assert not admin().grants(SHOP)


def test_an_end_is_an_instant() -> None:
    assert not admin().revoked
    assert AdminRecord(AdminId("adm_1"), "server", revoked_at=UnixMs(1)).revoked


def test_the_audit_names_it_by_id_and_name() -> None:
    assert admin().actor == "adm_1 (server)"


def test_what_a_granted_session_rests_on_is_the_tokens_id() -> None:
    assert admin(SHOP).kid == "adm_1"
