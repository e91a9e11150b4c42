/** Drive a session by hand: chosen clock, chosen dice. */

import { initialState, step } from "../../src/chatgateway/web/client/session.js"

export const T0 = 1_763_700_000_000
export const WELCOME = {
  type: "welcome",
  session: "ses_1",
  user: "usr_a",
  identity: "anonymous",
  session_token: "cgv_anonymous",
  now: T0 + 5_000,
  expires_at: T0 + 9_000_000,
  heartbeat_ms: 25_000,
  limits: { text_bytes: 64, in_flight: 16 },
  durability: "disk",
  retry: { min_ms: 500, max_ms: 20_000 },
}

export function link(seq) {
  return seq === 0 ? "00000000" : seq.toString(16).padStart(8, "a")
}

export function message(seq, { ref = `ref_${seq}`, user = "usr_agent", role = "agent", prev = link(seq - 1), at = T0 + seq, text = `text ${seq}`, conversation = "cnv_1", assurance = "agent", link: own = link(seq) } = {}) {
  return { type: "message", conversation, seq, at, link: own, prev, ref, from: { user, role, assurance }, text }
}

export class Play {
  constructor(given = {}) {
    this.state = initialState({ app: "app_1", ...given })
    this.now = T0
    this.dice = 0.5
    this.done = []
  }

  event(event) {
    const [state, effects] = step(this.state, { now: this.now, dice: this.dice, entropy: "0123456789abcdef", ...event })
    this.state = state
    this.done.push(...effects)
    return effects
  }

  /** Frames transmitted by the last event, or by all since `clear`. */
  frames(effects = this.done) {
    return effects.filter((effect) => effect.do === "transmit").flatMap((effect) => effect.frames)
  }

  said(type) {
    return this.frames().filter((frame) => frame.type === type)
  }

  effect(name) {
    return this.done.filter((effect) => effect.do === name)
  }

  told(name) {
    return this.done.filter((effect) => effect.do === "tell" && effect.name === name)
  }

  clear() {
    this.done = []
    return this
  }

  hear(...frames) {
    return this.event({ type: "received", frames })
  }

  after(ms, event = { type: "tick" }) {
    this.now += ms
    return this.event(event)
  }

  /** From idle to live as `welcome` says. */
  live(welcome = {}) {
    if (this.state.phase !== "connecting") this.event({ type: "connect" })
    this.event({ type: "opened" })
    this.hear({ ...WELCOME, ref: this.said("hello").at(-1).ref, ...welcome })
    return this
  }

  /** Live, with conversation cnv_1 on screen up to `seq`. */
  chatting(seq = 2) {
    this.live()
    this.hear({ type: "conversation", conversation: "cnv_1", project: "prj_1", state: "open", top: [T0 + seq, seq, link(seq)], unread: 0, reads: {}, last_at: T0 + seq, ref: this.said("conversations").at(-1).ref })
    this.hear({ type: "reset", conversation: "cnv_1", why: "opened", messages: Array.from({ length: seq }, (_, index) => message(index + 1)) })
    this.hear({ type: "ack", ref: this.said("open").at(-1).ref })
    return this.clear()
  }

  goodbye(code, about = {}) {
    this.hear({ type: "goodbye", code, reason: "", retry: "resume", ...about })
    return this.event({ type: "closed", code })
  }

  tokenFunction(token) {
    const { id } = this.effect("fetch_token").at(-1)
    return this.event({ type: "token", id, token })
  }
}
