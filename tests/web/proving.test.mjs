/** A visitor who proves an address is a stranger still, who may chat where the app asks for that. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { Play, WELCOME } from "./play.mjs"

const ASKED = { ...WELCOME, policy: "email" }
const PROVED = { type: "identity", session: "ses_1", user: "usr_a", identity: "email", email: "ada@shop.example", email_proved: true, expires_at: WELCOME.expires_at }

function greeted(welcome) {
  const play = new Play()
  play.event({ type: "connect" })
  play.event({ type: "opened" })
  const hello = play.done.find((effect) => effect.do === "transmit").frames[0]
  play.done.length = 0
  play.event({ type: "received", frames: [{ ...welcome, ref: hello.ref }] })
  return play
}

const said = (play) => play.done.filter((effect) => effect.do === "transmit").flatMap((effect) => effect.frames)

test("where the app asks for an address, nothing is asked or said before it is proved", () => {
  const play = greeted(ASKED)
  play.event({ type: "look" })
  play.event({ type: "say", text: "hello" })
  assert.deepEqual(said(play), [])
})

test("once it is proved, the answer settles, the list is asked for, and what was written goes out", () => {
  const play = greeted(ASKED)
  play.event({ type: "say", text: "hello" })
  play.event({ type: "order", frame: { type: "prove_email", code: "123456" }, settle: 7 })
  const [{ ref }] = said(play)
  play.event({ type: "received", frames: [{ ...PROVED, ref }] })
  assert.deepEqual(said(play).map((frame) => frame.type), ["prove_email", "conversations", "start"])
  assert.deepEqual(play.done.filter((effect) => effect.do === "settle"), [{ do: "settle", id: 7, error: null }])
})

test("what was proved in another tab opens the chat here too", () => {
  const play = greeted(ASKED)
  play.event({ type: "received", frames: [PROVED] })
  assert.deepEqual(said(play).map((frame) => frame.type), ["conversations"])
})

test("the credential of one who proved an address stays the anonymous one, and the client may be anonymous again", () => {
  const play = greeted({ ...ASKED, identity: "email" })
  assert.deepEqual(play.done.filter((effect) => effect.do === "keep"), [{ do: "keep", which: "anonymous", token: "cgv_anonymous" }])
  assert.equal(play.state.signed_intent, false)
  assert.deepEqual(said(play).map((frame) => frame.type), ["conversations"])
})
