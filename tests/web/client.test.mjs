/** The thin files that touch the world, against a world made by hand. */

import assert from "node:assert/strict"
import { describe, it, mock } from "node:test"
import { openClient } from "../../src/chatgateway/web/client/client.js"
import { openStorage } from "../../src/chatgateway/web/client/storage.js"
import { WELCOME } from "./play.mjs"

class Area {
  map = new Map()
  getItem = (key) => this.map.get(key) ?? null
  setItem = (key, value) => void this.map.set(key, value)
  removeItem = (key) => void this.map.delete(key)
}

function browser() {
  const local = new Area()
  const tab = new Area()
  return { local, tab, storage: openStorage("app_1", { local: () => local, tab: () => tab }) }
}

/** A gateway's end of each socket that the client opened. */
class FakeSocket {
  static all = []
  readyState = 1
  sent = []
  constructor(url) {
    this.url = url
    FakeSocket.all.push(this)
  }
  send(text) {
    this.sent.push(JSON.parse(text))
  }
  close() {
    this.readyState = 3
  }
  say(...frames) {
    this.onmessage({ data: JSON.stringify(frames) })
  }
  welcome(more = {}) {
    this.onopen()
    const { ref } = this.sent.find(({ type }) => type === "hello")
    this.say({ ...WELCOME, ref, ...more })
  }
}

/** Let promises that are settled already run on. */
const settled = () => new Promise((done) => setImmediate(done))

function client(given = {}) {
  globalThis.WebSocket = FakeSocket
  FakeSocket.all = []
  const { storage } = browser()
  return openClient({ url: "ws://gateway/v1/ws", app: "app_1", storage, ...given })
}

describe("storage", () => {
  it("keeps the anonymous credential for all tabs and the session token for this one", () => {
    const { local, tab, storage } = browser()
    storage.keep("anonymous", "cgv_a")
    storage.keep("signed", "cgv_s")
    assert.deepEqual([...local.map], [["chatgateway:app_1", "cgv_a"]])
    assert.deepEqual([...tab.map], [["chatgateway:app_1", "cgv_s"]])
  })

  it("wipes both, and the draft", () => {
    const { local, tab, storage } = browser()
    storage.keep("anonymous", "cgv_a")
    storage.keep("signed", "cgv_s")
    storage.remember("draft", "half a")
    storage.wipe()
    assert.deepEqual([local.map.size, tab.map.size], [0, 0])
  })

  it("goes on in memory where even its name throws", () => {
    const blocked = () => {
      throw new Error("SecurityError")
    }
    const storage = openStorage("app_1", { local: blocked, tab: blocked })
    storage.keep("anonymous", "cgv_a")
    assert.equal(storage.anonymous(), "cgv_a")
    storage.wipe()
    assert.equal(storage.anonymous(), null)
  })

  it("hears what another tab kept", () => {
    const { local, storage } = browser()
    storage.keep("anonymous", "cgv_a")
    local.setItem("chatgateway:app_1", "cgv_other_tab")
    assert.equal(storage.anonymous(), "cgv_other_tab")
  })
})

describe("a client", () => {
  it("opens no socket before it is asked to", () => {
    client()
    assert.equal(FakeSocket.all.length, 0)
  })

  it("signs in with what a function fetches, and says who that is", async () => {
    const chat = client()
    const signing = chat.signIn(async () => "JWT a.b.c")
    await settled()
    FakeSocket.all[0].welcome({ identity: "signed", user: "usr_ada", name: "Ada" })
    assert.equal((await signing).name, "Ada")
    assert.equal(FakeSocket.all[0].sent[0].token, "JWT a.b.c")
    chat.destroy()
  })

  it("takes a promise of a token", async () => {
    const chat = client()
    chat.signIn(Promise.resolve("a.b.c")).catch(() => {})
    await settled()
    FakeSocket.all[0].onopen()
    assert.deepEqual([FakeSocket.all[0].sent[0].token, FakeSocket.all[0].sent[0].can_refresh], ["a.b.c", false])
    chat.destroy()
  })

  it("names a signing secret in the console and sends nothing", async () => {
    const complaint = mock.method(console, "error", () => {})
    const chat = client()
    await assert.rejects(chat.signIn("cgs_live_abc"), { code: "secret_in_the_browser" })
    assert.match(complaint.mock.calls[0].arguments[0], /signing secret/)
    assert.doesNotMatch(complaint.mock.calls[0].arguments[0], /abc/)
    assert.equal(FakeSocket.all.length, 0)
    complaint.mock.restore()
  })

  it("says why a token was refused", async () => {
    const chat = client()
    chat.connect()
    await settled()
    FakeSocket.all[0].welcome()
    const signing = chat.signIn(() => "a.b.c")
    await settled()
    const { ref } = FakeSocket.all[0].sent.find(({ type }) => type === "authenticate")
    FakeSocket.all[0].say({ type: "error", ref, code: "token_rejected", sentence: "The token was refused." })
    await assert.rejects(signing, { code: "token_rejected", message: "The token was refused." })
    chat.destroy()
  })

  it("rejects the sign-in that a later one replaced", async () => {
    const chat = client()
    const first = chat.signIn(() => new Promise(() => {}))
    const second = chat.signIn(() => "a.b.c")
    await assert.rejects(first, { code: "superseded" })
    await settled()
    FakeSocket.all[0].welcome({ identity: "signed", user: "usr_ada" })
    assert.equal((await second).user, "usr_ada")
    chat.destroy()
  })

  it("asks the page's function again after a key was revoked", async (test) => {
    test.mock.timers.enable({ apis: ["setTimeout", "setInterval"] })
    const chat = client()
    const tokens = ["a.b.1", "a.b.2"]
    const signing = chat.signIn(() => tokens.shift())
    await settled()
    FakeSocket.all[0].welcome({ identity: "signed", user: "usr_ada" })
    await signing
    FakeSocket.all[0].say({ type: "goodbye", code: 4301, reason: "key_revoked", retry: "fresh_token", after_ms: 700 })
    FakeSocket.all[0].onclose({ code: 4301 })
    await settled()
    assert.equal(tokens.length, 1)
    test.mock.timers.tick(700)
    await settled()
    FakeSocket.all[1].onopen()
    assert.equal(FakeSocket.all[1].sent[0].token, "a.b.2")
    chat.destroy()
  })

  it("waits no longer for its commands when the connection is lost", async () => {
    const chat = client({ role: "agent", storage: null, ticket: async () => "cgt_1" })
    chat.connect()
    await settled()
    FakeSocket.all[0].welcome({ identity: "agent", role: "agent" })
    const asked = chat.order({ type: "away", on: true })
    FakeSocket.all[0].onclose({ code: 1006 })
    await assert.rejects(asked, { code: "disconnected" })
    chat.destroy()
  })
})
