"""Projects and apps: made, changed, and refused where their settings contradict each other."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.admin.conftest import recorded

from chatgateway.admin import apps, projects, reports
from chatgateway.admin.apps import AppChange
from chatgateway.admin.office import Office
from chatgateway.core.keyring import is_secret
from chatgateway.core.project import Project
from chatgateway.errors import AppUnknown, NotFound, OriginForbidden, Unacceptable
from chatgateway.types import AppId, ProjectId


class TestProject:
    async def test_is_made_with_one_key_whose_secret_is_not_printed(self, office: Office) -> None:
        made = await projects.create(office, "Shop", test=True)
        assert is_secret(made.secret)
        assert made.secret.startswith("cgs_test_")
        assert made.secret not in repr(made)
        seen = await projects.overview(office, made.project.id)
        assert [key.kid for key in seen.keys] == [made.key.kid]
        assert (seen.apps, seen.agents, seen.sessions) == ((), (), 0)

    async def test_is_changed_a_thing_at_a_time(self, office: Office, shop: Project) -> None:
        renamed = await projects.change(office, shop.id, name="Store")
        assert (renamed.name, renamed.identify_by_email) == ("Store", False)
        by_email = await projects.change(office, shop.id, identify_by_email=True)
        assert (by_email.name, by_email.identify_by_email) == ("Store", True)
        assert await office.projects.get_project(shop.id) == by_email
        assert (await recorded(office, shop.id))[-1] == ("project set", "result", shop.id, "done")

    async def test_with_a_bad_name_or_unknown_stays_as_it_was(self, office: Office, shop: Project) -> None:
        with pytest.raises(Unacceptable, match="name"):
            await projects.change(office, shop.id, name="a\nb")
        with pytest.raises(Unacceptable, match="name"):
            await projects.create(office, "")
        with pytest.raises(NotFound):
            await projects.change(office, ProjectId("prj_none"), name="x")
        assert await office.projects.get_project(shop.id) == shop


class TestApp:
    async def test_is_made_as_it_is_wanted(self, office: Office, shop: Project) -> None:
        wanted = AppChange(
            name="Site", origins=("HTTPS://Shop.example:443",), policy="email", policy_reported="signed",
            require_expiry="report", adoption="never", one_time_tokens=True, developer_mode=True,
        )  # fmt: skip
        app = await apps.create(office, shop.id, wanted)
        assert (app.origins, app.policy, app.policy_reported) == (("https://shop.example",), "email", "signed")
        assert (app.require_expiry, app.adoption, app.one_time_tokens) == ("report", "never", True)
        assert await office.projects.get_app(app.id) == (shop, app)

    async def test_without_anything_said_is_like_all_others(self, office: Office, shop: Project) -> None:
        app = await apps.create(office, shop.id, AppChange(name="Site"))
        assert (app.policy, app.policy_reported, app.require_expiry) == ("anyone", None, "off")
        assert (app.adoption, app.one_time_tokens, app.profile) == ("ask", False, "canonical")

    @pytest.mark.parametrize(
        ("wanted", "error"),
        [
            ({}, Unacceptable),
            ({"name": ""}, Unacceptable),
            ({"name": "x", "profile": "nobody's"}, Unacceptable),
            ({"name": "x", "origins": ("shop.example",)}, OriginForbidden),
            ({"name": "x", "policy": "signed", "policy_reported": "email"}, Unacceptable),
            ({"name": "x", "policy_reported": "anyone"}, Unacceptable),
        ],
    )
    async def test_that_cannot_be_is_not_made(
        self, office: Office, shop: Project, wanted: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            await apps.create(office, shop.id, AppChange(**wanted))
        assert await office.projects.list_apps() == []

    async def test_is_changed_in_what_is_said_alone(self, office: Office, shop: Project) -> None:
        app = await apps.create(office, shop.id, AppChange(name="Site", origins=("https://a.example",)))
        after = await apps.change(
            office,
            app.id,
            AppChange(policy_reported="signed"),
            added=("https://b.example", "https://a.example"),
            removed=("https://none.example",),
        )
        assert after.origins == ("https://a.example", "https://b.example")
        assert (after.name, after.policy, after.policy_reported) == ("Site", "anyone", "signed")
        fewer = await apps.change(office, app.id, AppChange(), removed=("HTTPS://A.example",))
        assert fewer.origins == ("https://b.example",)
        replaced = await apps.change(office, app.id, AppChange(origins=("https://c.example",)))
        assert replaced.origins == ("https://c.example",)

    async def test_ends_its_report_when_the_policy_catches_up(self, office: Office, shop: Project) -> None:
        app = await apps.create(office, shop.id, AppChange(name="Site", policy_reported="signed"))
        stricter = await apps.change(office, app.id, AppChange(policy="email"))
        assert stricter.policy_reported == "signed"
        enforced = await apps.change(office, app.id, AppChange(policy="signed"))
        assert enforced.policy_reported is None

    async def test_ends_its_report_when_it_is_told_so(self, office: Office, shop: Project) -> None:
        app = await apps.create(office, shop.id, AppChange(name="Site", policy_reported="signed"))
        assert (await apps.change(office, app.id, AppChange(policy_reported=None))).policy_reported is None

    async def test_that_is_unknown_or_contradicts_itself_is_not_recorded(self, office: Office, shop: Project) -> None:
        app = await apps.create(office, shop.id, AppChange(name="Site", policy="signed"))
        before = await recorded(office, shop.id)
        with pytest.raises(AppUnknown):
            await apps.change(office, AppId("app_none"), AppChange(name="x"))
        with pytest.raises(Unacceptable):
            await apps.change(office, app.id, AppChange(policy_reported="email"))
        assert await recorded(office, shop.id) == before

    async def test_that_carries_over_comes_with_a_warning(self, office: Office, shop: Project) -> None:
        app = await apps.create(
            office, shop.id, AppChange(name="Site", origins=("https://a.example",), adoption="carry_over")
        )
        assert len(apps.warnings(app)) == 1
        assert apps.warnings(await apps.change(office, app.id, AppChange(adoption="ask"))) == ()

    def test_is_wanted_as_json_too(self) -> None:
        assert msgspec.json.decode(b'{"policy_reported": null}', type=AppChange).policy_reported is None
        assert msgspec.json.decode(b"{}", type=AppChange).policy_reported is msgspec.UNSET
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(b'{"polcy": "signed"}', type=AppChange)


class TestReport:
    async def test_lists_whom_rules_would_have_refused(self, office: Office, shop: Project) -> None:
        site = await apps.create(office, shop.id, AppChange(name="Site", policy_reported="signed"))
        other = await apps.create(office, shop.id, AppChange(name="Other"))
        for app, origin in ((site, "https://a.example"), (other, "https://b.example"), (site, "https://c.example")):
            office.reports.note(shop.id, app.id, "policy", origin=origin)
        await office.store.now()  # what was queued before has been written
        assert [line.origin for line in await reports.would_refuse(office, site.id)] == [
            "https://c.example",
            "https://a.example",
        ]
        assert len(await reports.would_refuse(office, shop.id)) == 3
        assert len(await reports.would_refuse(office, site.id, 1)) == 1

    async def test_of_an_unknown_place_is_refused(self, office: Office) -> None:
        with pytest.raises(NotFound):
            await reports.would_refuse(office, "prj_none")
        with pytest.raises(AppUnknown):
            await reports.would_refuse(office, "app_none")
