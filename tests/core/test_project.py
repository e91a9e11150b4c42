"""Names that people can read, and agents that serve exactly their projects."""

from __future__ import annotations

import pytest

from chatgateway.core.project import NAME_MAX, AgentRecord, checked_name, folded
from chatgateway.types import AgentId, ProjectId


class TestName:
    def test_keeps_what_was_typed_but_for_the_ends(self) -> None:
        assert checked_name("  Bella Vista, Zürich ") == "Bella Vista, Zürich"

    def test_is_one_however_its_accents_were_typed(self) -> None:
        assert checked_name("Zu\u0308rich") == "Z\u00fcrich"

    @pytest.mark.parametrize(
        "name", ["", "  ", "a" * (NAME_MAX + 1), "two\nlines", "nul\0", "lone \ud800", "\u202eevil"]
    )
    def test_that_no_line_can_show_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="a name"):
            checked_name(name)

    def test_of_the_greatest_length_is_accepted(self) -> None:
        assert len(checked_name("a" * NAME_MAX)) == NAME_MAX

    def test_is_the_same_in_capitals_and_in_wide_letters(self) -> None:
        assert folded("Maria Rossi") == folded("ＭＡＲＩＡ rossi")


class TestAgent:
    agent = AgentRecord(AgentId("agt_1"), "Maria", projects=(ProjectId("prj_1"),), password="$argon2id$…")

    def test_serves_her_projects_and_no_other(self) -> None:
        assert self.agent.serves(ProjectId("prj_1"))
        assert not self.agent.serves(ProjectId("prj_2"))

    def test_is_an_admin_only_by_role(self) -> None:
        assert not self.agent.admin
        assert AgentRecord(AgentId("agt_2"), "Anna", role="admin").admin

    def test_does_not_print_her_password(self) -> None:
        assert "argon2id" not in repr(self.agent)
