import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { link, message, Play, T0, WELCOME } from "./play.mjs"
import { entriesOf, statusOf } from "../../src/chatgateway/web/client/view.js"

const seqs = (play) => play.state.conversations.cnv_1.messages.map(({ seq }) => seq)

/** Signed in by a function, live. */
function signed(given = {}) {
  const play = new Play(given)
  play.event({ type: "sign_in", source: "function" })
  play.tokenFunction("jwt_1")
  return play.live({ identity: "signed", user: "usr_ada", name: "Ada", session_token: "cgv_signed" })
}

describe("hello", () => {
  it("of a new visitor carries no token and is minted alone", () => {
    const play = new Play()
    play.event({ type: "connect" })
    assert.equal(play.effect("open_socket")[0].first_visit, true)
    play.event({ type: "opened" })
    assert.equal("token" in play.said("hello")[0], false)
  })

  it("of a known visitor carries the kept credential", () => {
    const play = new Play({ anonymous: "cgv_old" })
    play.event({ type: "connect" })
    play.event({ type: "opened" })
    assert.equal(play.said("hello")[0].token, "cgv_old")
  })

  it("takes the credential that another tab minted meanwhile", () => {
    const play = new Play()
    play.event({ type: "connect" })
    play.event({ type: "opened", anonymous: "cgv_other_tab" })
    assert.equal(play.said("hello")[0].token, "cgv_other_tab")
  })

  it("says whether the page can fetch fresh tokens", () => {
    for (const [source, able] of [["function", true], ["string", false]]) {
      const play = new Play()
      play.event({ type: "sign_in", source })
      play.tokenFunction("jwt_1")
      play.event({ type: "opened" })
      assert.equal(play.said("hello")[0].can_refresh, able)
    }
  })

  it("with a customer token shows the earlier credential of this browser", () => {
    const play = new Play({ anonymous: "cgv_old" })
    play.event({ type: "sign_in", source: "function" })
    play.tokenFunction("jwt_1")
    play.event({ type: "opened" })
    assert.deepEqual([play.said("hello")[0].token, play.said("hello")[0].earlier], ["jwt_1", "cgv_old"])
  })

  it("never carries a signing secret, with or without the prefix JWT", () => {
    for (const secret of ["cgs_live_abc", "JWT cgs_live_abc"]) {
      const play = new Play()
      play.event({ type: "sign_in", source: "string" })
      play.tokenFunction(secret)
      assert.equal(play.effect("open_socket").length, 0)
      assert.equal(play.effect("settle_sign_in")[0].error.reason, "secret_in_the_browser")
    }
  })

  it("of an agent always asks for a fresh ticket", () => {
    const play = new Play({ role: "agent" })
    play.event({ type: "connect" })
    play.tokenFunction("cgt_1")
    play.event({ type: "opened" })
    assert.equal(play.said("hello")[0].token, "cgt_1")
    play.hear({ ...WELCOME, ref: play.said("hello")[0].ref, identity: "agent" })
    play.event({ type: "closed", code: 1006 })
    play.clear().after(1_000, { type: "due" })
    assert.equal(play.effect("fetch_token").length, 1)
  })
})

describe("welcome", () => {
  it("keeps the credential and asks for the conversations", () => {
    const play = new Play().live()
    assert.deepEqual(play.effect("keep"), [{ do: "keep", which: "anonymous", token: "cgv_anonymous" }])
    assert.equal(play.said("conversations").length, 1)
  })

  it("that calls a signed person anonymous is not believed", () => {
    const play = new Play({ signed: "cgv_signed" }).live()
    assert.equal(play.state.phase === "live", false)
    assert.equal(play.effect("close_socket").length, 1)
    assert.equal(play.state.identity_expired, true)
  })

  it("of another person drops what the one before wrote", () => {
    const play = signed()
    play.event({ type: "say", text: "secret of Ada" })
    play.event({ type: "closed", code: 1006 })
    play.after(1_000, { type: "due" })
    play.clear().live({ identity: "signed", user: "usr_grace" })
    assert.equal(play.state.outbox.entries.length, 0)
    assert.equal(play.said("start").length, 0)
  })
})

describe("the position rule", () => {
  it("accepts what follows", () => {
    const play = new Play().chatting(2)
    play.hear(message(3))
    assert.deepEqual(seqs(play), [1, 2, 3])
    assert.equal(play.told("message").length, 1)
  })

  it("drops a known duplicate", () => {
    const play = new Play().chatting(2)
    play.hear(message(2))
    assert.deepEqual(seqs(play), [1, 2])
    assert.equal(play.said("open").length, 0)
  })

  it("shows nothing beyond a gap and asks with its position, once", () => {
    const play = new Play().chatting(2)
    play.hear(message(4), message(5))
    assert.deepEqual(seqs(play), [1, 2])
    assert.deepEqual(play.said("open").map(({ cursor }) => cursor), [[T0 + 2, 2, link(2)]])
    play.hear({ type: "replay", conversation: "cnv_1", messages: [message(3), message(4), message(5)] })
    assert.deepEqual(seqs(play), [1, 2, 3, 4, 5])
  })

  it("takes the next number with another predecessor for a gap", () => {
    const play = new Play().chatting(2)
    play.hear(message(3, { prev: "deadbeef" }))
    assert.deepEqual(seqs(play), [1, 2])
    assert.equal(play.said("open").length, 1)
  })

  it("takes an old number with another link for a gap", () => {
    const play = new Play().chatting(2)
    play.hear(message(2, { link: "deadbeef" }))
    assert.equal(play.said("open").length, 1)
  })

  it("replaces everything after a reset", () => {
    const play = new Play().chatting(2)
    play.hear({ type: "reset", conversation: "cnv_1", why: "diverged", more: true, messages: [message(2, { link: "deadbeef", ref: "other" })] })
    assert.deepEqual(play.state.conversations.cnv_1.messages.map((one) => one.link), ["deadbeef"])
    assert.equal(play.state.conversations.cnv_1.more, true)
  })

  it("stops resuming after three resets in a minute", () => {
    const play = new Play().chatting(2)
    for (let count = 0; count < 3; count += 1) play.hear({ type: "reset", conversation: "cnv_1", why: "diverged", messages: [message(1)] })
    assert.equal(play.told("halted").length, 1)
    assert.equal(statusOf(play.state), "halted")
    play.event({ type: "closed", code: 1006 })
    play.after(1_000, { type: "due" })
    play.event({ type: "opened" })
    assert.deepEqual(play.said("hello")[0].resume, {})
  })

  it("goes on resuming after three resets in more than a minute", () => {
    const play = new Play().chatting(2)
    for (let count = 0; count < 3; count += 1) {
      play.now += 31_000
      play.hear({ type: "reset", conversation: "cnv_1", why: "diverged", messages: [message(1)] })
    }
    assert.equal(play.told("halted").length, 0)
  })

  it("prepends an older page only where it joins", () => {
    const play = new Play().live()
    play.event({ type: "show", conversation: "cnv_1" })
    play.hear({ type: "reset", conversation: "cnv_1", why: "opened", more: true, messages: [message(3)] })
    play.event({ type: "older" })
    play.hear({ type: "replay", ref: play.said("history")[0].ref, conversation: "cnv_1", messages: [message(1), message(2, { link: "deadbeef" })] })
    assert.deepEqual(seqs(play), [3])
    play.event({ type: "older" })
    play.hear({ type: "replay", ref: play.said("history")[1].ref, conversation: "cnv_1", messages: [message(1), message(2)] })
    assert.deepEqual(seqs(play), [1, 2, 3])
  })
})

describe("the outbox", () => {
  it("begins a conversation with the first text and sends the rest into it", () => {
    const play = new Play().live()
    play.event({ type: "say", text: "one" })
    play.event({ type: "say", text: "two" })
    assert.deepEqual(play.frames().slice(-1).map(({ type }) => type), ["start"])
    play.hear({ type: "ack", ref: play.said("start")[0].ref, conversation: "cnv_9", at: T0, seq: 1, link: link(1) })
    assert.equal(play.said("open")[0].conversation, "cnv_9")
    assert.deepEqual([play.said("send")[0].conversation, play.said("send")[0].text], ["cnv_9", "two"])
  })

  it("mints refs by the store's clock, in order", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "one" })
    play.event({ type: "say", text: "two" })
    const [one, two] = play.said("send").map(({ ref }) => ref)
    assert.match(one, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.equal(parseInt(one.replaceAll("-", "").slice(0, 12), 16), T0 + 5_000)
    assert.ok(one < two)
  })

  it("has 16 in flight and 64 waiting, and then refuses", () => {
    const play = new Play().chatting()
    for (let count = 0; count < 65; count += 1) play.event({ type: "say", text: `text ${count}` })
    assert.equal(play.said("send").length, 16)
    assert.equal(play.told("refused").length, 1)
    play.hear({ type: "ack", ref: play.said("send")[0].ref, at: T0, seq: 3, link: link(3) })
    assert.equal(play.said("send").length, 17)
  })

  it("refuses a text that is too long in bytes, and none that just fits", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "é".repeat(32) })
    play.event({ type: "say", text: "é".repeat(32) + "x" })
    assert.equal(play.said("send").length, 1)
    assert.equal(play.told("refused")[0].detail.reason, "too_long")
  })

  it("sends again with the same ref after a reconnect, but only after the replay", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "one" })
    const { ref } = play.said("send")[0]
    play.event({ type: "closed", code: 1006 })
    play.after(1_000, { type: "due" })
    play.clear().live()
    assert.deepEqual(play.said("hello")[0].resume, { cnv_1: [T0 + 2, 2, link(2)] })
    assert.equal(play.said("send").length, 0)
    play.hear({ type: "replay", conversation: "cnv_1", messages: [] })
    assert.deepEqual(play.said("send").map((frame) => frame.ref), [ref])
  })

  it("shows an own message once: as an echo, then from the log", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "hi" })
    const { ref } = play.said("send")[0]
    assert.deepEqual(entriesOf(play.state, "cnv_1").map(({ kind }) => kind), ["text", "text", "echo"])
    const own = message(3, { ref, user: "usr_a", role: "visitor" })
    play.hear({ type: "ack", ref, at: own.at, seq: 3, link: own.link })
    assert.equal(entriesOf(play.state, "cnv_1").length, 3)
    play.hear(own)
    assert.deepEqual(entriesOf(play.state, "cnv_1").map(({ kind }) => kind), ["text", "text", "text"])
  })

  it("sends what a reset shows to have vanished, with its old ref", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "hi" })
    const { ref } = play.said("send")[0]
    play.hear({ type: "ack", ref, at: T0 + 3, seq: 3, link: link(3) }, message(3, { ref, user: "usr_a", role: "visitor" }))
    play.clear().hear({ type: "reset", conversation: "cnv_1", why: "diverged", messages: [message(1), message(2)] })
    assert.deepEqual(play.said("send").map((frame) => frame.ref), [ref])
  })

  it("sends again when its position went to another message", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "hi" })
    const { ref } = play.said("send")[0]
    play.hear({ type: "ack", ref, at: T0 + 3, seq: 3, link: "deadbeef" })
    play.clear().hear(message(3))
    assert.deepEqual(play.said("send").map((frame) => frame.ref), [ref])
  })

  it("asks when the message of an ack does not come within 10 s", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "hi" })
    play.hear({ type: "ack", ref: play.said("send")[0].ref, at: T0 + 3, seq: 3, link: link(3) })
    play.after(9_000)
    assert.equal(play.said("open").length, 0)
    play.after(1_001)
    assert.equal(play.said("open").length, 1)
  })

  it("forgets an acked text after two minutes", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "hi" })
    const { ref } = play.said("send")[0]
    play.hear({ type: "ack", ref, at: T0 + 3, seq: 3, link: link(3) }, message(3, { ref }))
    play.after(119_000)
    assert.equal(play.state.outbox.entries.length, 1)
    play.after(2_000)
    assert.equal(play.state.outbox.entries.length, 0)
  })

  it("fails a refused text with the sentence, and sends it again on demand", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "hi" })
    const { ref } = play.said("send")[0]
    play.hear({ type: "error", ref, code: "forbidden", sentence: "No." })
    const [entry] = play.state.outbox.entries
    assert.deepEqual([entry.state, entry.sentence], ["failed", "No."])
    play.event({ type: "retry", local: entry.local })
    assert.deepEqual(play.said("send").map((frame) => frame.ref), [ref, ref])
  })

  it("takes a new ref where nobody knows the outcome of the old one", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "hi" })
    const { ref } = play.said("send")[0]
    play.hear({ type: "error", ref, code: "outcome_unknown", sentence: "?" })
    play.event({ type: "retry", local: play.state.outbox.entries[0].local })
    assert.notEqual(play.said("send")[1].ref, ref)
  })

  it("waits as long as the gateway says, and nothing overtakes", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "hi" })
    play.hear({ type: "error", ref: play.said("send")[0].ref, code: "too_fast", sentence: "", retry: 2_000 })
    play.event({ type: "say", text: "second" })
    assert.equal(play.said("send").length, 1)
    play.after(2_001)
    assert.deepEqual(play.said("send").map(({ text }) => text), ["hi", "hi", "second"])
  })
})

describe("a close", () => {
  const closedWith = (play, code, about) => {
    play.clear().goodbye(code, about)
    return play.effect("wake").at(-1)?.in_ms
  }

  it("in the range 40 backs off with full jitter", () => {
    const play = new Play().live()
    assert.equal(closedWith(play, 4000), 250)
    play.after(250, { type: "due" })
    play.live()
    assert.equal(closedWith(play, 4003), 500)
  })

  it("outside 4xxx is a fault like any other, and 1012 is draining", () => {
    const play = new Play().live()
    play.dice = 0.999
    play.clear().event({ type: "closed", code: 1012 })
    assert.equal(play.effect("wake")[0].in_ms, 4_995)
    assert.equal(play.state.trouble.code, 4200)
  })

  it("in the range 42 comes back at the drawn moment", () => {
    assert.equal(closedWith(new Play().live(), 4200, { after_ms: 1_234 }), 1_234)
  })

  it("in the range 41 starts anew with another identity and keeps unsent texts for the visitor to decide", () => {
    const play = new Play().chatting()
    play.event({ type: "say", text: "hi" })
    closedWith(play, 4100)
    assert.deepEqual(play.effect("keep"), [{ do: "keep", which: "anonymous", token: null }])
    play.after(1_000, { type: "due" })
    play.clear().live({ user: "usr_b" })
    assert.equal("token" in play.said("hello")[0], false)
    assert.equal(play.said("start").length, 0)
    assert.equal(play.state.outbox.entries[0].state, "failed")
  })

  it("in the range 44 stops", () => {
    const play = new Play().live()
    assert.equal(closedWith(play, 4404), undefined)
    assert.equal(statusOf(play.state), "stopped")
  })

  it("4401 of a credential that the gateway minted itself starts anew", () => {
    const play = new Play({ anonymous: "cgv_of_lost_data" })
    play.event({ type: "connect" })
    play.event({ type: "opened" })
    assert.ok(closedWith(play, 4401) !== undefined)
    play.after(1_000, { type: "due" })
    assert.equal(play.effect("open_socket").at(-1).first_visit, true)
  })

  it("4440 forgets everything and stops", () => {
    const play = signed()
    closedWith(play, 4440)
    assert.equal(play.effect("wipe").length, 1)
    assert.equal(play.state.me.user, "")
    assert.equal(play.state.phase, "stopped")
  })
})

describe("a fresh token", () => {
  it("is fetched after the drawn delay, and the session resumes with it", () => {
    const play = signed()
    play.clear().goodbye(4301, { after_ms: 800 })
    assert.deepEqual(play.effect("wake").map(({ in_ms }) => in_ms), [800])
    assert.equal(play.effect("fetch_token").length, 0)
    assert.equal(statusOf(play.state), "confirming")
    play.after(800, { type: "due" })
    play.tokenFunction("jwt_2")
    play.event({ type: "opened" })
    assert.equal(play.said("hello")[0].token, "jwt_2")
  })

  it("that is the same token, refused three times, stops the client", () => {
    const play = signed()
    play.clear().goodbye(4300)
    for (let count = 0; count < 3; count += 1) {
      assert.equal(play.state.phase, "waiting")
      play.after(20_000, { type: "due" })
      play.tokenFunction("jwt_same")
      play.event({ type: "opened" })
      play.goodbye(4300)
    }
    assert.equal(play.state.phase, "stopped")
    assert.equal(statusOf(play.state), "identity_expired")
  })

  it("is asked for without end while a revoked key waits for its redeploy", () => {
    const play = signed()
    play.clear().goodbye(4301)
    for (let count = 0; count < 10; count += 1) {
      play.after(300_000, { type: "due" })
      play.tokenFunction("jwt_old_secret")
      play.event({ type: "opened" })
      play.goodbye(4301, { after_ms: 30_000 })
      assert.equal(play.state.phase, "waiting")
      assert.equal(statusOf(play.state), "confirming")
    }
    play.after(30_000, { type: "due" })
    play.tokenFunction("jwt_new_secret")
    play.live({ identity: "signed", user: "usr_ada", session_token: "cgv_2" })
    assert.equal(statusOf(play.state), "live")
  })

  it("stops asking when a key is revoked with a short delay and the page has no other token", () => {
    const play = signed()
    play.clear().goodbye(4301)
    for (let count = 0; count < 3; count += 1) {
      play.after(20_000, { type: "due" })
      play.tokenFunction("jwt_same")
      play.event({ type: "opened" })
      play.goodbye(4301, { after_ms: 29_999 })
    }
    assert.equal(play.state.phase, "stopped")
  })

  it("cannot be had from a string: the identity expires, and nobody is anonymous", () => {
    const play = new Play({ anonymous: "cgv_old" })
    play.event({ type: "sign_in", source: "string" })
    play.tokenFunction("jwt_1")
    play.live({ identity: "signed", user: "usr_ada", session_token: "cgv_signed" })
    play.event({ type: "closed", code: 4300 })
    play.after(1_000, { type: "due" })
    play.tokenFunction("jwt_1")
    play.event({ type: "opened" })
    play.clear().event({ type: "closed", code: 4300 })
    assert.equal(statusOf(play.state), "identity_expired")
    assert.equal(play.told("identity_expired").length, 1)
    play.event({ type: "connect" })
    assert.equal(play.effect("open_socket").length, 0)
  })

  it("that the page no longer has expires the identity, and a later sign-in mends it with the same chat", () => {
    const play = signed()
    play.hear({ type: "reset", conversation: "cnv_1", why: "opened", messages: [message(1)] })
    play.goodbye(4300)
    play.after(1_000, { type: "due" })
    play.tokenFunction(null)
    assert.equal(statusOf(play.state), "identity_expired")
    play.event({ type: "sign_in", source: "function" })
    play.tokenFunction("jwt_9")
    play.live({ identity: "signed", user: "usr_ada", session_token: "cgv_9" })
    assert.deepEqual(seqs(play), [1])
    assert.equal(statusOf(play.state), "live")
  })

  it("is fetched again later when the page's function fails", () => {
    const play = signed()
    play.goodbye(4300)
    play.after(1_000, { type: "due" })
    play.clear().event({ type: "token_failed", id: play.state.fetch_id, reason: "token_function_failed" })
    assert.ok(play.effect("wake")[0].in_ms >= 2_000)
    assert.equal(statusOf(play.state), "confirming")
  })

  it("is fetched before the old one ends, in place", () => {
    const play = signed()
    play.clear().hear({ type: "identity", want: "fresh_token" })
    play.tokenFunction("jwt_2")
    assert.equal(play.said("authenticate")[0].token, "jwt_2")
    play.hear({ type: "identity", ref: play.said("authenticate")[0].ref, user: "usr_ada", identity: "signed", session_token: "cgv_2", session: "ses_2" })
    assert.deepEqual(play.effect("keep"), [{ do: "keep", which: "signed", token: "cgv_2" }])
  })
})

describe("signing in", () => {
  it("on a live socket changes the identity in place and keeps the anonymous credential", () => {
    const play = new Play().chatting()
    play.event({ type: "sign_in", source: "function" })
    play.tokenFunction("jwt_1")
    play.hear({ type: "identity", ref: play.said("authenticate")[0].ref, user: "usr_ada", identity: "signed", session_token: "cgv_signed", name: "Ada", session: "ses_2" })
    assert.deepEqual(play.effect("settle_sign_in"), [{ do: "settle_sign_in", error: null }])
    assert.deepEqual(play.state.credential, { anonymous: "cgv_anonymous", signed: "cgv_signed" })
    assert.deepEqual(seqs(play), [1, 2])
  })

  it("that is refused on a live socket changes nothing", () => {
    const play = new Play().chatting()
    play.event({ type: "sign_in", source: "function" })
    play.tokenFunction("jwt_1")
    play.hear({ type: "error", ref: play.said("authenticate")[0].ref, code: "token_rejected", sentence: "Refused." })
    assert.equal(play.effect("settle_sign_in")[0].error.code, "token_rejected")
    assert.deepEqual([play.state.phase, play.state.me.assurance], ["live", "anonymous"])
  })

  it("that is refused at hello stops: nobody is anonymous instead", () => {
    const play = new Play({ anonymous: "cgv_old" })
    play.event({ type: "sign_in", source: "function" })
    play.tokenFunction("jwt_bad")
    play.event({ type: "opened" })
    play.goodbye(4401)
    assert.equal(play.state.phase, "stopped")
    assert.equal(statusOf(play.state), "identity_expired")
    assert.equal(play.effect("settle_sign_in")[0].error.code, 4401)
  })

  it("goes by the latest token when two are asked for", () => {
    const play = new Play().live()
    play.event({ type: "sign_in", source: "function" })
    const first = play.effect("fetch_token")[0].id
    play.event({ type: "sign_in", source: "function" })
    play.event({ type: "token", id: first, token: "jwt_old" })
    assert.equal(play.said("authenticate").length, 0)
    play.tokenFunction("jwt_new")
    assert.equal(play.said("authenticate")[0].token, "jwt_new")
  })

  it("between hello and welcome is said right after the welcome", () => {
    const play = new Play({ anonymous: "cgv_old" })
    play.event({ type: "connect" })
    play.event({ type: "opened" })
    play.event({ type: "sign_in", source: "function" })
    play.tokenFunction("jwt_1")
    play.hear({ ...WELCOME, ref: play.said("hello")[0].ref })
    assert.equal(play.said("authenticate")[0].token, "jwt_1")
  })
})

describe("signing out", () => {
  it("wipes at once, and shows nothing of the one before", () => {
    const play = signed()
    play.hear({ type: "reset", conversation: "cnv_1", why: "opened", messages: [message(1)] })
    play.clear().event({ type: "sign_out", everywhere: true })
    assert.equal(play.effect("wipe").length, 1)
    assert.deepEqual(play.state.conversations, {})
    const { ref, everywhere } = play.said("sign_out")[0]
    assert.equal(everywhere, true)
    play.hear({ type: "reset", conversation: "cnv_1", why: "opened", messages: [message(1)] })
    assert.deepEqual(play.state.conversations, {})
    play.hear({ type: "identity", ref, user: "usr_new", identity: "anonymous", session_token: "cgv_new", session: "ses_3" })
    assert.deepEqual(play.state.credential, { anonymous: "cgv_new", signed: null })
    assert.equal(play.state.me.user, "usr_new")
  })

  it("sends nothing that was written before under the next identity", () => {
    const play = new Play().live()
    play.event({ type: "closed", code: 1006 })
    play.event({ type: "say", text: "hi" })
    play.event({ type: "sign_out" })
    play.clear().live({ user: "usr_b" })
    assert.equal(play.said("start").length, 0)
  })

  it("while not connected ends the session on the server first", () => {
    const play = new Play({ anonymous: "cgv_a", signed: "cgv_signed" })
    play.event({ type: "sign_out" })
    play.live({ identity: "signed", user: "usr_ada" })
    assert.equal(play.said("hello")[0].token, "cgv_signed")
    assert.equal(play.said("sign_out").length, 1)
    assert.equal(play.said("conversations").length, 0)
  })
})

describe("the rest", () => {
  it("looks for a chat of another browser while it has none", () => {
    const play = new Play().live()
    play.hear({ type: "ack", ref: play.said("conversations")[0].ref })
    play.event({ type: "look" })
    assert.equal(play.said("conversations").length, 2)
    const chatting = new Play().chatting()
    chatting.event({ type: "look" })
    assert.equal(chatting.said("conversations").length, 0)
  })

  it("answers a heartbeat at once and takes its clock", () => {
    const play = new Play().live()
    play.clear().hear({ type: "heartbeat", now: T0 + 60_000 })
    assert.deepEqual(play.frames(), [{ type: "heartbeat" }])
    assert.equal(play.state.clock_offset_ms, 60_000)
  })

  it("ignores frames that it does not know", () => {
    const play = new Play().live()
    const before = play.state
    play.hear({ type: "horoscope" }, { type: "constructor" }, null)
    assert.equal(play.state, before)
  })

  it("shows who types until they speak or fall silent", () => {
    const play = new Play().chatting()
    play.hear({ type: "typing", conversation: "cnv_1", user: "usr_agent", role: "agent" })
    assert.deepEqual(Object.keys(play.state.conversations.cnv_1.typing), ["usr_agent"])
    play.hear(message(3))
    assert.deepEqual(play.state.conversations.cnv_1.typing, {})
    play.hear({ type: "typing", conversation: "cnv_1", user: "usr_agent", role: "agent" })
    play.after(6_001)
    assert.deepEqual(play.state.conversations.cnv_1.typing, {})
  })

  it("says that it types at most once per 2 s", () => {
    const play = new Play().chatting()
    for (let count = 0; count < 5; count += 1) {
      play.now += 400
      play.event({ type: "typed", on: true })
    }
    assert.equal(play.said("typing").length, 1)
  })

  it("says once what was seen, forwards only", () => {
    const play = new Play().chatting()
    for (const seq of [2, 1, 2]) play.event({ type: "seen", conversation: "cnv_1", seq })
    assert.deepEqual(play.said("read").map(({ seq }) => seq), [2])
  })

  it("puts a row back to its defaults, which the wire leaves out", () => {
    const play = new Play({ role: "agent" })
    play.event({ type: "connect" })
    play.tokenFunction("cgt_1")
    play.live({ identity: "agent", role: "agent" })
    const row = { conversation: "cnv_1", project: "prj_1", state: "open", top: [0, 0, ""], unread: 0, reads: {} }
    play.hear({ type: "inbox", project: "prj_1", rows: [{ ...row, assigned: "agt_1", pending: true }] })
    play.hear({ type: "inbox", project: "prj_1", rows: [row] })
    assert.deepEqual([play.state.heads.cnv_1.assigned, play.state.heads.cnv_1.pending], ["", false])
  })

  it("names what an agent stores like a message", () => {
    const play = new Play({ role: "agent" })
    play.event({ type: "connect" })
    play.tokenFunction("cgt_1")
    play.live({ identity: "agent", role: "agent" })
    for (const type of ["note", "assign", "resolve", "reopen"]) play.event({ type: "order", frame: { type, conversation: "cnv_1" } })
    const refs = play.frames().slice(-4).map(({ ref }) => ref)
    for (const ref of refs) assert.match(ref, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/)
    assert.equal(new Set(refs).size, 4)
  })

  it("reads the inbox again when changes may have been missed", () => {
    const play = new Play({ role: "agent" })
    play.event({ type: "connect" })
    play.tokenFunction("cgt_1")
    play.live({ identity: "agent", role: "agent" })
    play.event({ type: "order", frame: { type: "inbox", project: "prj_1", view: "mine" } })
    play.clear().hear({ type: "inbox", project: "prj_1", rows: [], more: true })
    assert.deepEqual(play.said("inbox").map(({ view }) => view), ["mine"])
  })

  it("keeps the last words of a row that comes without them", () => {
    const play = new Play().chatting()
    const head = { type: "conversation", conversation: "cnv_1", project: "prj_1", state: "open", top: [0, 0, ""], unread: 0, reads: {} }
    play.hear({ ...head, preview: "last words" }, head)
    assert.equal(play.state.heads.cnv_1.preview, "last words")
  })

  it("shows an agent that the visitor has signed in", () => {
    const play = new Play({ role: "agent" })
    play.event({ type: "connect" })
    play.tokenFunction("cgt_1")
    play.live({ identity: "agent", role: "agent" })
    play.hear({ type: "inbox", project: "prj_1", rows: [{ conversation: "cnv_1", project: "prj_1", state: "open", top: [0, 0, ""], unread: 0, reads: {}, visitor: { user: "usr_a", assurance: "anonymous" } }] })
    play.hear({ type: "identity", conversation: "cnv_1", user: "usr_ada", identity: "signed", name: "Ada", confirmed: false })
    const { visitor, pending } = play.state.heads.cnv_1
    assert.deepEqual([visitor.name, visitor.assurance, pending], ["Ada", "signed", true])
  })
})
