/** The chat begun before signing in: offered once, kept or given back, and forgotten with the person. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { Play, WELCOME } from "./play.mjs"

const SIGNED = { type: "identity", session: "ses_2", user: "usr_p", identity: "signed", name: "Ada", session_token: "cgv_signed", expires_at: WELCOME.expires_at, adoptable: ["cnv_1"] }
const KEPT = { type: "adoption", receipt: "adp_1", conversations: ["cnv_1"], at: 1, user: "usr_p" }

function signedIn(frame = SIGNED) {
  const play = new Play()
  play.event({ type: "connect" })
  play.event({ type: "opened" })
  const hello = play.done.find((effect) => effect.do === "transmit").frames[0]
  play.event({ type: "received", frames: [{ ...WELCOME, ref: hello.ref }] })
  play.event({ type: "received", frames: [frame] })
  play.done.length = 0
  return play
}

const said = (play) => play.done.filter((effect) => effect.do === "transmit").flatMap((effect) => effect.frames)

test("what may be kept is offered with the identity, and nothing is kept unasked", () => {
  const play = signedIn()
  assert.deepEqual(play.state.adoptable, ["cnv_1"])
  assert.equal(play.state.receipt, null)
  assert.deepEqual(said(play), [])
})

test("the answer settles, takes the offer away, keeps the receipt and asks for the list anew", () => {
  const play = signedIn()
  play.event({ type: "order", frame: { type: "adopt" }, settle: 3 })
  const [{ ref }] = said(play)
  play.event({ type: "received", frames: [{ ...KEPT, ref }] })
  assert.deepEqual([play.state.adoptable, play.state.receipt], [[], "adp_1"])
  assert.deepEqual(play.done.filter((effect) => effect.do === "settle"), [{ do: "settle", id: 3, error: null }])
  assert.deepEqual(said(play).map((frame) => frame.type), ["adopt", "conversations"])
})

test("an app that carries over tells of it unasked", () => {
  const play = signedIn()
  play.event({ type: "received", frames: [KEPT] })
  assert.equal(play.state.receipt, "adp_1")
  assert.deepEqual(said(play).map((frame) => frame.type), ["conversations"])
})

test("given back, the receipt is gone", () => {
  const play = signedIn()
  play.event({ type: "received", frames: [KEPT] })
  play.event({ type: "received", frames: [{ ...KEPT, undone: true }] })
  assert.equal(play.state.receipt, null)
})

for (const [what, frames] of [["offer", []], ["receipt", [KEPT]]]) {
  test(`whoever signs out leaves no ${what} to the next`, () => {
    const play = signedIn()
    for (const frame of frames) play.event({ type: "received", frames: [frame] })
    play.event({ type: "sign_out", everywhere: false, settle: 4 })
    const frame = said(play).find((one) => one.type === "sign_out")
    play.event({ type: "received", frames: [{ type: "identity", ref: frame.ref, session: "ses_3", user: "usr_q", identity: "anonymous", session_token: "cgv_b", expires_at: WELCOME.expires_at }] })
    assert.deepEqual([play.state.adoptable, play.state.receipt], [[], null])
  })
}

test("a chat that was given back elsewhere leaves the screen, and is followed no more", () => {
  const play = signedIn()
  const row = { type: "conversation", conversation: "cnv_1", project: "prj_1", state: "open", top: [1, 1, "aaaaaaaa"], unread: 0, reads: {}, last_at: 1 }
  play.event({ type: "show", conversation: "cnv_1" })
  play.event({ type: "received", frames: [row, { type: "reset", conversation: "cnv_1", why: "opened", messages: [] }] })
  assert.equal(play.state.current, "cnv_1")
  play.event({ type: "received", frames: [{ type: "error", ref: "cnv_1", code: "conversation_unknown", sentence: "gone" }] })
  assert.deepEqual([play.state.current, play.state.conversations.cnv_1, play.state.heads.cnv_1], [null, undefined, undefined])
})

test("a chat that was erased leaves the list, though nobody has it open", () => {
  const play = signedIn()
  const row = { type: "conversation", conversation: "cnv_1", project: "prj_1", state: "open", top: [1, 1, "aaaaaaaa"], unread: 0, reads: {}, last_at: 1 }
  play.event({ type: "received", frames: [{ type: "inbox", project: "prj_1", rows: [row], more: false }] })
  assert.ok(play.state.heads.cnv_1)
  play.event({ type: "received", frames: [{ type: "error", ref: "cnv_1", code: "conversation_unknown", sentence: "gone" }] })
  assert.equal(play.state.heads.cnv_1, undefined)
})
