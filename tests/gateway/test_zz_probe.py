from tests.gateway.indoors import *
from chatgateway.gateway import errands
async def test_ghost_two_tabs(indoors):
    v=await indoors.visitor(indoors.token("ada")); t2=await indoors.visitor(v.me["session_token"])
    assert t2.me["session"]==v.me["session"]
    t2.leave(); await indoors.rows(v.me["user"])
    v.leave(); r=await indoors.rows(v.me["user"]); r=await indoors.rows(v.me["user"])
    print("GHOST two tabs:", [(x.node,x.closed_at) for x in r.values()])
async def test_ghost_exchange(indoors):
    v=await indoors.visitor(indoors.token("ada"))
    async with indoors.browser() as b:
        r=await b.post("/v1/token",json={"app":indoors.app.id,"token":v.me["session_token"]},headers={"Origin":SHOP}); print(r.status_code)
    v.leave(); r=await indoors.rows(v.me["user"]); r=await indoors.rows(v.me["user"])
    print("GHOST exchange:", [(x.node,x.closed_at) for x in r.values()])
async def test_ghost_first_words(indoors):
    v=await indoors.visitor()
    v.say("start",ref=indoors.ref(),text="x"); 
    await asyncio.sleep(0); v.leave(); await asyncio.sleep(.3); r=await indoors.rows(v.me["user"]);r=await indoors.rows(v.me["user"])
    print("GHOST first words:", [(x.node,x.closed_at) for x in r.values()])
async def test_group_lost(indoors, monkeypatch):
    v=await indoors.visitor(indoors.token("ada")); c=await v.start("hi"); await v.open(c)
    w=await indoors.colleague(); await w.open(c)
    gate=asyncio.Event(); orig=indoors.parts.control.mark_person
    async def held(*a,**k):
        await gate.wait(); return await orig(*a,**k)
    monkeypatch.setattr(indoors.parts.control,"mark_person",held)
    v.say("sign_out",ref="so"); await asyncio.sleep(.1)
    print(await indoors.regenerate())
    await w.do("send",conversation=c,text="after revocation"); await asyncio.sleep(.2)
    print("GROUP lost: sees", v.texts); gate.set(); await asyncio.sleep(.2); print(v.unread, v.socket.closed)
async def test_holders(indoors):
    v=await indoors.visitor(); c=await v.start(); anon=v.me["session_token"]
    await v.open(c)
    await v.do("authenticate",token=indoors.token("ada"))
    for i in range(8):
        t=await indoors.visitor(indoors.token("ada"), earlier=anon); t.leave()
    a=await v.ask("send",conversation=c,text="still me"); print("HOLDERS", a)
    w=await indoors.colleague(); await w.open(c); await w.do("send",conversation=c,text="psst"); await asyncio.sleep(.2); print("reads", v.texts)
async def test_origin_gone(indoors):
    import dataclasses
    v=await indoors.visitor(indoors.token("ada"))
    await indoors.parts.projects.update_app(indoors.app.id, lambda a: dataclasses.replace(a, origins=("https://other.example",)))
    print("ORIGIN", await v.ask("sign_out"))
async def test_tabs_entries(indoors):
    v=await indoors.visitor(); await v.start(); anon=v.me["session_token"]; await v.do("authenticate",token=indoors.token("ada"))
    async with indoors.browser() as b:
        for i in range(30):
            r=await b.post("/v1/token",json={"app":indoors.app.id,"token":indoors.token("ada"),"earlier":anon},headers={"Origin":SHOP}); assert r.status_code==200
    n=(await indoors.parts.control.versions())
    await v.do("sign_out"); print("ENTRIES", n, await indoors.parts.control.versions())
async def test_notes_without_lease(indoors, monkeypatch):
    v=await indoors.visitor(); c=await v.start(); w=await indoors.colleague(); await w.open(c); await w.do("note",conversation=c,text="secret note"); w.unread.clear()
    conv=type(indoors.parts.conversations); orig=conv.notes
    def slow(self,conversation,done):
        def d(r):
            indoors.parts.node._valid_until=0
            done(r)
        orig(self,conversation,d)
    monkeypatch.setattr(conv,"notes",slow)
    w.say("open",ref="o",conversation=c); await asyncio.sleep(.2); print("NOTES no lease", [f["type"] for f in w.unread])
async def test_logout_retry(indoors, monkeypatch):
    cookie=(await indoors.parts.agents.open_session(indoors.agent))
    w=await indoors.colleague(cookie=cookie.cookie)
    from chatgateway.errors import StoreUnavailable
    orig=indoors.parts.control.write
    async def no(*a,**k): raise StoreUnavailable("x")
    monkeypatch.setattr(indoors.parts.control,"write",no)
    async with indoors.browser() as b:
        b.cookies.set("cg_console",cookie.cookie); h={"x-csrf-token":cookie.csrf}
        r=await b.post("/v1/agents/logout",headers=h); print("LOGOUT 1",r.status_code)
        monkeypatch.setattr(indoors.parts.control,"write",orig)
        r=await b.post("/v1/agents/logout",headers=h); print("LOGOUT 2",r.status_code, "socket", w.socket.closed)
async def test_inbox_lease(indoors):
    w=await indoors.colleague(); await w.do("inbox",project=indoors.project.id); w.unread.clear()
    indoors.parts.node.refuse("no"); 
    v=None
    p2=await indoors.node(); v=await indoors.visitor(parts=p2); await v.start(); await asyncio.sleep(.5)
    indoors.parts.node.refuse(""); await asyncio.sleep(1); print("INBOX after lease", [f for f in w.unread])
