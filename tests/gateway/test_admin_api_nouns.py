"""Projects, apps, keys, agents, admin tokens and samples over HTTP: each verb's effect as the store has it."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.gateway.indoors import PASSWORD, SHOP, Indoors
from tests.gateway.operating import Operator
from tests.gateway.page import code, exchanged

from chatgateway.core.admin import is_admin_token
from chatgateway.core.keyring import is_secret
from chatgateway.types import AdminId, KeyId, ProjectId


@pytest.fixture
async def root(indoors: Indoors) -> Operator:
    return await Operator.of(indoors)


@pytest.fixture
async def own(indoors: Indoors) -> Operator:
    """The project's own server."""
    return await Operator.of(indoors, indoors.project.id)


class TestProjects:
    async def test_are_made_with_a_key_whose_secret_is_shown_once(self, indoors: Indoors, root: Operator) -> None:
        answer = await root.post("/admin/projects", {"name": "Second", "test": True})
        made = answer.json()
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        assert is_secret(made["secret"])
        assert made["secret"].startswith("cgs_test_")
        project = ProjectId(made["project"]["project"])
        assert (await indoors.parts.keyrings.load(project)).keys[0].secret.reveal().decode() == made["secret"]
        shown = await root.get(f"/admin/projects/{project}")
        assert shown.json()["keys"] == [made["kid"]]
        assert made["secret"] not in shown.text + (await root.get(f"/admin/projects/{project}/keys")).text
        assert [entry.actor for entry in await root.audited(project)] == [root.admin.actor] * 2

    async def test_are_renamed_and_told_how_to_know_their_people(self, indoors: Indoors, own: Operator) -> None:
        shown = await own.got("PATCH", "", {"name": " New ", "identify_by_email": True})
        assert (shown["name"], shown["identify_by_email"]) == ("New", True)
        found = await indoors.parts.projects.get_project(indoors.project.id)
        assert (found.name, found.identify_by_email) == ("New", True)
        assert (await own.got("PATCH", "", {"identify_by_email": None}))["identify_by_email"] is True

    async def test_of_no_good_name_are_not_made(self, indoors: Indoors, root: Operator) -> None:
        for name in (" ", "a\u0007b", "x" * 101):
            answer = await root.post("/admin/projects", {"name": name})
            assert code(answer) == (422, "unacceptable"), name
        assert len(await indoors.parts.projects.list_projects()) == 1

    async def test_that_do_not_exist_are_not_there_for_a_token_of_all(self, root: Operator) -> None:
        for path in ("", "/apps", "/keys", "/users", "/sessions", "/conflicts", "/reports", "/audit", "/agents"):
            assert code(await root.get(f"/admin/projects/prj_no{path}")) == (404, "not_found"), path


class TestApps:
    async def test_are_made_changed_and_listed(self, indoors: Indoors, own: Operator) -> None:
        made = await own.got("POST", "/apps", {"name": "Mobile", "absent_origin_ok": True}, status=201)
        answer = await own.ask(
            "PATCH", f"/admin/apps/{made['app']}",
            {"add_origins": ["https://B.example:443"], "adoption": "carry_over", "policy_reported": "signed"},
        )  # fmt: skip
        changed = answer.json()
        assert (changed["origins"], changed["policy_reported"]) == (["https://b.example"], "signed")
        assert len(changed["warnings"]) == 1
        _, app = await indoors.parts.projects.get_app(made["app"])
        assert (app.origins, app.adoption, app.absent_origin_ok) == (("https://b.example",), "carry_over", True)
        answer = await own.ask(
            "PATCH", f"/admin/apps/{made['app']}", {"remove_origins": ["https://b.example"], "policy_reported": None}
        )
        assert (answer.json()["origins"], answer.json()["policy_reported"]) == ([], None)
        listed = (await own.got("GET", "/apps"))["apps"]
        assert [one["app"] for one in listed] == [indoors.app.id, made["app"]]
        assert (await own.get(f"/admin/apps/{made['app']}")).json() == listed[1]

    @pytest.mark.parametrize(
        ("change", "refusal"),
        [
            ({"profile": "nobodys"}, (422, "unacceptable")),
            ({"policy_reported": "anyone"}, (422, "unacceptable")),
            ({"origins": ["shop"]}, (403, "origin_forbidden")),
            ({"policy": "none"}, (400, "malformed")),
            ({"polcy": "signed"}, (400, "malformed")),
            ({"name": None}, (400, "malformed")),
        ],
    )
    async def test_stay_as_they_are_when_what_is_asked_cannot_be(
        self, indoors: Indoors, own: Operator, change: dict[str, Any], refusal: tuple[int, str]
    ) -> None:
        assert code(await own.ask("PATCH", f"/admin/apps/{indoors.app.id}", change)) == refusal
        assert (await indoors.parts.projects.get_app(indoors.app.id))[1] == indoors.app

    async def test_list_whom_their_rules_would_refuse(self, indoors: Indoors, own: Operator) -> None:
        await own.ask("PATCH", f"/admin/apps/{indoors.app.id}", {"policy_reported": "signed"})
        await indoors.visitor()
        await indoors.store.now()
        (line,) = (await own.get(f"/admin/apps/{indoors.app.id}/reports?limit=5")).json()["reports"]
        assert (line["app"], line["origin"]) == (indoors.app.id, SHOP)
        assert (await own.got("GET", "/reports"))["reports"] == [line]
        assert code(await own.there("GET", "/reports?limit=0")) == (400, "malformed")


class TestKeys:
    async def test_of_every_kind_are_added(self, indoors: Indoors, own: Operator) -> None:
        pair = ec.generate_private_key(ec.SECP256R1())
        public = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        made = await own.got("POST", "/keys", {"kind": "secret", "name": "till"}, status=201)
        assert is_secret(made["secret"])
        added = await own.got("POST", "/keys", {"kind": "public", "key": public, "kid": "pair.1"}, status=201)
        assert (added["secret"], added["key"]["algorithm"], added["key"]["public_key"]) == (None, "ES256", public)
        brought = "a secret that their server has used for years"
        answer = await own.there("POST", "/keys", {"kind": "import", "secret": brought})
        assert (answer.status_code, brought in answer.text) == (201, False)
        ring = await indoors.parts.keyrings.load(indoors.project.id)
        assert [key.algorithm for key in ring.keys[:3]] == ["HS256", "ES256", "HS256"]
        assert (await own.got("GET", "/keys/pair.1"))["public_key"] == public
        assert (await own.got("PATCH", "/keys/pair.1", {"name": "new"}))["name"] == "new"

    async def test_that_leaked_by_being_pasted_are_refused_and_repeated_nowhere(
        self, indoors: Indoors, own: Operator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pair = ec.generate_private_key(ec.SECP256R1())
        private = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        before = await indoors.parts.keyrings.load(indoors.project.id)
        for body in ({"kind": "public", "key": private}, {"kind": "import", "secret": private}):
            answer = await own.there("POST", "/keys", body)
            assert code(answer) == (422, "unacceptable")
            assert private.splitlines()[1] not in answer.text + "".join(capsys.readouterr())
            assert private.splitlines()[1] not in str(await own.audited())
        assert await indoors.parts.keyrings.load(indoors.project.id) == before

    async def test_of_a_set_that_nobody_publishes_are_not_followed(self, indoors: Indoors, own: Operator) -> None:
        for url, refusal in (
            ("http://shop.example/jwks", (422, "unacceptable")),
            ("https://127.0.0.1:1/jwks.json", (502, "outside_unavailable")),
        ):
            assert code(await own.there("POST", "/keys", {"kind": "jwks", "url": url})) == refusal
        assert len((await indoors.parts.keyrings.load(indoors.project.id)).keys) == 2

    async def test_that_nobody_has_are_not_there(self, own: Operator) -> None:
        for method, path, body in (
            ("GET", "", None), ("PATCH", "", {"name": "x"}), ("POST", "/revoke", None),
        ):  # fmt: skip
            assert code(await own.there(method, f"/keys/k9{path}", body)) == (404, "not_found")
        for path in ("/regenerate", "/regenerate?dry_run=true"):
            assert code(await own.there("POST", f"/keys/k9{path}")) == (422, "unacceptable")


class TestAgents:
    async def test_are_let_in_and_shown_without_their_password(self, indoors: Indoors, root: Operator) -> None:
        body = {"name": "Eve", "password": "another horse", "projects": [indoors.project.id]}
        answer = await root.post("/admin/agents", body)
        made = answer.json()
        assert (answer.status_code, made["has_password"], made["role"]) == (201, True, "agent")
        listed = await root.get("/admin/agents")
        assert [agent["name"] for agent in listed.json()["agents"]] == ["Dana", "Eve"]
        assert (await root.get(f"/admin/agents/{made['agent']}")).json() == made
        for said in (answer.text, listed.text):
            assert "argon2" not in said
            assert "another horse" not in said
        assert (await indoors.parts.agents.login("eve", "another horse", "192.0.2.9")).id == made["agent"]

    async def test_have_one_name_each(self, indoors: Indoors, root: Operator) -> None:
        answer = await root.post("/admin/agents", {"name": "DANA", "projects": [indoors.project.id]})
        assert code(answer) == (409, "name_taken")

    async def test_are_given_a_link_once(self, indoors: Indoors, root: Operator) -> None:
        answer = await root.post(f"/admin/agents/{indoors.agent.id}/link")
        made = answer.json()
        assert (answer.status_code, made["url"].endswith(f"/agent#login={made['link']}")) == (201, True)
        assert (await indoors.parts.agents.redeem_link(made["link"])).id == indoors.agent.id
        assert made["link"] not in str(await root.audited(""))

    async def test_are_given_another_password_which_ends_their_sessions(self, indoors: Indoors, root: Operator) -> None:
        dana, path = await indoors.colleague(), f"/admin/agents/{indoors.agent.id}/password"
        body = {"password": "a better horse"}
        foretold = (await root.ask("PUT", f"{path}?dry_run=true", body)).json()
        assert (foretold["dry_run"], foretold["active_on_nodes"]) == (True, 1)
        assert dana.socket.closed is None
        ended = (await root.ask("PUT", path, body)).json()
        assert (ended["complete"], ended["nodes_confirmed"]) == (True, 1)
        assert await dana.ended() > 4000
        assert await indoors.parts.agents.login("Dana", "a better horse", "192.0.2.9")

    async def test_are_forgotten(self, indoors: Indoors, root: Operator) -> None:
        path = f"/admin/agents/{indoors.agent.id}"
        assert (await root.ask("DELETE", f"{path}?dry_run=true")).json()["name"] == "Dana"
        assert (await root.get(path)).status_code == 200
        assert (await root.ask("DELETE", path)).json()["complete"] is True
        assert code(await root.ask("DELETE", path)) == (404, "not_found")
        async with indoors.browser() as browser:
            login = await browser.post("/v1/agents/login", json={"name": "Dana", "password": PASSWORD})
        assert login.status_code == 401


class TestAdminTokens:
    async def test_are_shown_once(self, indoors: Indoors, root: Operator, capsys: pytest.CaptureFixture[str]) -> None:
        answer = await root.post("/admin/admins", {"name": "Shop", "projects": [indoors.project.id]})
        token = answer.json()["token"]
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        assert is_admin_token(token)
        assert (await indoors.parts.admins.find(token)).projects == (indoors.project.id,)
        listed = await root.get(f"/admin/admins?project={indoors.project.id}")
        assert [admin["name"] for admin in listed.json()["admins"]] == ["Server", "Shop"]
        chains = [await root.audited(""), await root.audited()]
        assert token not in listed.text + str(chains) + "".join(capsys.readouterr())

    async def test_end_with_the_sessions_that_they_granted(self, indoors: Indoors, root: Operator) -> None:
        shop = await Operator.of(indoors, indoors.project.id)
        granted = await shop.got("POST", "/users/ada/sessions", {"app": indoors.app.id}, status=201)
        tab, spared = await indoors.visitor(granted["session_token"]), await indoors.visitor(indoors.token("ada"))
        path = f"/admin/admins/{shop.admin.id}"
        foretold = (await root.ask("DELETE", f"{path}?dry_run=true")).json()
        assert [one["session"] for one in foretold["sessions"]] == [granted["session"]]
        assert not (await indoors.parts.admins.get(shop.admin.id)).revoked
        ended = (await root.ask("DELETE", path)).json()
        assert (ended["complete"], ended["sessions_ended"]) == (True, 1)
        assert await tab.ended() == 4301
        await spared.start("not affected")
        assert (await indoors.parts.admins.get(AdminId(shop.admin.id))).revoked
        assert (await root.ask("DELETE", path)).status_code == 200

    async def test_of_all_projects_may_end_themselves(self, root: Operator) -> None:
        ended = (await root.ask("DELETE", f"/admin/admins/{root.admin.id}")).json()
        assert (ended["complete"], ended["nodes_confirmed"]) == (True, 0)
        assert code(await root.get("/admin/projects")) == (401, "admin_rejected")


class TestSamples:
    async def test_are_explained_without_being_repeated_or_logged(
        self, indoors: Indoors, own: Operator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for token, verdict in ((indoors.token("ada"), "ok"), (indoors.token("ada", exp=1), "bad"), ("x" * 300, "bad")):
            answer = await own.post(f"/admin/apps/{indoors.app.id}/tokens/explain", {"token": token})
            told = answer.json()
            assert (answer.status_code, told["verdict"]) == (200, verdict), told
            assert token not in answer.text + "".join(capsys.readouterr()) + str(await own.audited())

    async def test_are_compared_with_other_projects_keys_for_those_who_may_know_of_them(
        self, indoors: Indoors, own: Operator, root: Operator
    ) -> None:
        theirs = (await root.post("/admin/projects", {"name": "Elsewhere"})).json()
        there = await root.post(f"/admin/projects/{theirs['project']['project']}/apps", {"name": "App"})
        minted = await root.post(f"/admin/apps/{there.json()['app']}/tokens/mint", {"external_id": "ada"})
        path, body = f"/admin/apps/{indoors.app.id}/tokens/explain", {"token": minted.json()["token"]}
        assert "Elsewhere" in (await root.post(path, body)).text
        assert "Elsewhere" not in (await own.post(path, body)).text

    async def test_are_minted(self, indoors: Indoors, own: Operator) -> None:
        path = f"/admin/apps/{indoors.app.id}/tokens/mint"
        made = (await own.post(path, {"external_id": "ada", "name": "Ada", "kid": "k2"})).json()
        assert (made["kid"], made["profile"]) == ("k2", "canonical")
        assert (await exchanged(indoors, made["token"]))["identity"] == "signed"
        assert made["token"] not in str(await own.audited())
        assert code(await own.post(path, {"external_id": "ada", "profile": "no"})) == (422, "unacceptable")
        assert code(await own.post(path, {"external_id": "ada", "kid": "k9"})) == (422, "unacceptable")


async def test_a_body_is_json_of_that_shape_and_size(indoors: Indoors, own: Operator) -> None:
    path = f"/admin/apps/{indoors.app.id}"
    headers = {**own.headers, "Content-Type": "text/plain"}
    assert code(await own.ask("PATCH", path, content=b"{}", headers=headers)) == (415, "not_json")
    assert code(await own.ask("PATCH", path, {"name": "x" * 70_000})) == (413, "too_big")
    assert code(await own.ask("PATCH", path, ["name"])) == (400, "malformed")
    assert (await indoors.parts.keyrings.load(indoors.project.id)).get(KeyId("k1")) is not None


class TestAudit:
    async def test_is_listed_and_verified(self, indoors: Indoors, own: Operator, root: Operator) -> None:
        await own.got("POST", "/keys", {"kind": "secret"}, status=201)
        listed = (await own.got("GET", "/audit?limit=2"))["entries"]
        assert [(one["step"], one["verb"], one["actor"]) for one in listed] == [
            ("intent", "key add", own.admin.actor), ("result", "key add", own.admin.actor),
        ]  # fmt: skip
        verdict = await own.got("GET", "/audit/verify")
        head = verdict["chains"][0]["head"]
        assert (verdict["whole"], head) == (True, f"2:{listed[1]['hash']}")
        assert (await own.got("GET", f"/audit/verify?head={head}"))["whole"] is True
        assert (await own.got("GET", f"/audit/verify?head=9:{'0' * 64}"))["whole"] is False
        assert (await root.get("/admin/audit")).json()["entries"] == []
        everything = (await root.get("/admin/audit/verify")).json()
        assert (everything["whole"], [one["chain"] for one in everything["chains"]]) == (True, ["", indoors.project.id])

    async def test_that_holds_no_entry_is_called_broken(self, indoors: Indoors, own: Operator) -> None:
        await indoors.store.hot.ask(("XADD", f"cg:{{ctl}}:aud:{indoors.project.id}", "*", "e", "nonsense"))
        assert code(await own.there("GET", "/audit")) == (409, "audit_broken")
        assert (await own.got("GET", "/audit/verify"))["whole"] is False
