/** What a client knows: one frozen picture per step, and the few ways to look into it. */

import { DEFAULT_RETRY } from "./backoff.js"
import { emptyConversation } from "./conversation.js"
import { emptyOutbox } from "./outbox.js"

/** Somebody whose name was signed, or an agent. Whoever proved an address is a stranger who is known a little better. */
export const isSigned = (assurance) => assurance === "signed" || assurance === "agent"

/** May this visitor not read or write yet, because the app asks for a proved address first? */
export const mustProve = (state) => state.role === "visitor" && state.policy === "email" && state.me.assurance === "anonymous"

export const NOBODY = { user: "", assurance: "", name: "", session: "", expires_at: 0 }

/**
 * @param {object} given
 * @param {"visitor" | "agent"} given.role
 * @param {string} given.app
 * @param {string | null} given.anonymous the anonymous credential that this browser kept
 * @param {string | null} given.signed the session token of the person who signed in in this tab
 */
export function initialState({ role = "visitor", app = "", client = "", page = "", anonymous = null, signed = null, page_speaks_for_person = false } = {}) {
  return {
    role,
    app,
    client,
    page,

    // The connection's life.
    /** "idle" | "fetching" | "connecting" | "greeting" | "live" | "waiting" | "stopped" */
    phase: "idle",
    attempt: 0,
    live_since: 0,
    /** {code, reason, sentence}: why the client stopped or waits, for the page to show. */
    trouble: null,
    goodbye: null,
    retry: DEFAULT_RETRY,
    clock_offset_ms: null,
    limits: { text_bytes: 16_384, in_flight: 16 },
    durability: "",

    // Who we are.
    credential: { anonymous, signed },
    /** True from the first successful sign-in until sign-out: this client is never anonymous again in between. */
    signed_intent: Boolean(signed) || page_speaks_for_person,
    /** The page gave a token ("string"), a function that fetches fresh ones ("function"), or nothing yet. */
    source: role === "agent" ? "function" : "none",
    candidate: null,
    fetching: null,
    fetch_id: 0,
    /** A customer token or ticket that was fetched and not yet exchanged. */
    customer: null,
    hello_token: null,
    /** Came while a hello was unanswered: to be said right after the welcome. */
    late_token: false,
    authenticating: null,
    /** The ref of an unanswered sign_out: until its answer, nothing that arrives is shown. */
    signing_out: null,
    refusals: { token: null, count: 0 },
    identity_expired: false,
    sign_out_pending: null,
    me: NOBODY,
    /** What the app asks of visitors before they read or write: "anyone" | "email" | "signed". */
    policy: "anyone",

    /** Conversations begun before signing in that this person may keep; and the receipt of those that were kept. */
    adoptable: [],
    receipt: null,

    // What we talk about.
    commands: {},
    command_count: 0,
    outbox: emptyOutbox(),
    conversations: {},
    /** Heads by conversation id, as the gateway last told them. */
    heads: {},
    heads_loaded: false,
    listing: null,
    current: null,
    /** Conversations whose replay must end before the outbox is flushed. */
    replaying: [],
    typed: { conversation: null, on: false, at: 0 },
    agents_present: false,
    agents: [],
    projects: [],
  }
}

export function conversationOf(state, id) {
  return state.conversations[id] ?? { ...emptyConversation(id), reads: state.heads[id]?.reads ?? {} }
}

export function withConversation(state, conversation) {
  return { ...state, conversations: { ...state.conversations, [conversation.id]: conversation } }
}

/** Some facts of a head changed. */
export function withHead(state, facts) {
  return { ...state, heads: { ...state.heads, [facts.conversation]: { ...state.heads[facts.conversation], ...facts } } }
}

/** A whole head came. The wire leaves out what has its default; the last words are not in every head. */
export function withRow(state, { type: _type, ref: _ref, more: _more, ...row }) {
  const before = state.heads[row.conversation]
  const visitor = row.visitor ?? before?.visitor ?? null
  const reads = { ...before?.reads, ...row.reads }
  return withHead(state, { assigned: "", last_at: 0, pending: false, ...row, preview: row.preview || before?.preview || "", visitor, reads })
}

/** A frame with a ref (a plain number unless one is given), remembered until its answer comes. Returns [state, frame]. */
export function command(state, frame, { settle = null, ref: given = null } = {}) {
  const count = state.command_count + 1
  const ref = given ?? `c${count}`
  const named = { ...frame, ref }
  const pending = { type: frame.type, conversation: frame.conversation ?? null, settle }
  return [{ ...state, command_count: count, commands: { ...state.commands, [ref]: pending } }, named]
}

export function answered(state, ref) {
  const { [ref]: _gone, ...commands } = state.commands
  return { ...state, commands }
}

export const transmit = (...frames) => ({ do: "transmit", frames })
export const tell = (name, detail = {}) => ({ do: "tell", name, detail })

/** Run steps one after the other, collecting what they want done. */
export function chain(state, ...steps) {
  let effects = []
  let view = state
  for (const next of steps) {
    const [after, more] = next(view)
    view = after
    effects = effects.concat(more)
  }
  return [view, effects]
}

/** Did the page give a function that fetches fresh tokens, rather than one token? */
export const refreshes = (state) => (state.candidate?.source ?? state.source) === "function"
