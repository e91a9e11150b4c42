/**
 * When to connect, as whom, and what a close means.
 *
 * One rule stands above the others: somebody who signed in is never silently anonymous again. Where no fresh token is to
 * be had, the client says so (`identity_expired`), keeps what was written, and waits for the page.
 */

import { delayMs, windowMs } from "./backoff.js"
import { actionFor, CODE, normalise } from "./codes.js"
import { disconnected, stranded } from "./outbox.js"
import { command, NOBODY, refreshes, tell, transmit } from "./state.js"

/** Fresh tokens that are the same token, refused that often, stop the client: asking again cannot help. */
const SAME_TOKEN_MAX = 3
/** A page signs with the old secret until its server is redeployed; waits this long are outside the loop guard. */
const REDEPLOY_WAIT_MS = 30_000
/** A connection that lived that long ends the series of failures before it. */
const SETTLED_MS = 10_000
const TOKEN_RETRY = { min_ms: 2_000, max_ms: 60_000 }
/** Signing secrets start so. One that reaches a browser is leaked; it must not reach the wire as well. */
const SECRET_PREFIX = "cgs_"

const PAGE_MUST_ACT = "Your sign-in has expired."

function stop(state, trouble, effects = []) {
  const [next, more] = giveUpCandidate({ ...state, phase: "stopped", trouble, customer: null }, trouble)
  return [next, [...effects, { do: "cancel_wake" }, ...more, tell("stopped", trouble)]]
}

function expire(state, reason = "identity_expired") {
  const trouble = { code: 0, reason, sentence: PAGE_MUST_ACT }
  const [next, effects] = stop({ ...state, identity_expired: true }, trouble)
  return [next, [...effects, tell("identity_expired", { reason })]]
}

function giveUpCandidate(state, trouble) {
  if (!state.candidate) return [state, []]
  return [{ ...state, candidate: null }, [{ do: "settle_sign_in", error: trouble }]]
}

function fetchToken(state, why) {
  const fetch_id = state.fetch_id + 1
  return [{ ...state, fetch_id, fetching: why }, [{ do: "fetch_token", id: fetch_id, candidate: state.candidate !== null }]]
}

export function connect(state, event) {
  const from = { connect: ["idle", "stopped"], due: ["waiting"], hurry: ["waiting"] }[event.type]
  if (!from.includes(state.phase)) return [state, []]
  // The network is back, or somebody pressed "try now": a wait for a fresh token has another reason and goes on.
  if (event.type === "hurry" && actionFor(state.trouble?.code ?? 0) === "fresh_token") return [state, []]
  const clear = { ...state, trouble: null, goodbye: null }
  const cancel = event.type === "due" ? [] : [{ do: "cancel_wake" }]
  if (clear.customer !== null) return openSocket(clear, cancel)
  const must_fetch = clear.role === "agent" || (clear.signed_intent && !clear.credential.signed)
  if (!must_fetch || clear.sign_out_pending) return openSocket(clear, cancel)
  if (clear.source === "none") return expire(clear)
  const [next, effects] = fetchToken({ ...clear, phase: "fetching" }, "connect")
  return [next, [...cancel, ...effects]]
}

function openSocket(state, before) {
  const token = state.customer ?? state.credential.signed ?? state.credential.anonymous
  return [{ ...state, phase: "connecting" }, [...before, { do: "open_socket", first_visit: token === null && state.role === "visitor" }]]
}

/** The socket is open: say hello. `anonymous` is the credential as storage has it now: another tab may have been first. */
export function opened(state, { anonymous = null }) {
  if (state.phase !== "connecting") return [state, []]
  const credential = { ...state.credential, anonymous: state.credential.anonymous ?? anonymous }
  const token = state.customer ?? credential.signed ?? (state.signed_intent ? null : credential.anonymous)
  const resume = {}
  for (const conversation of Object.values(state.conversations)) {
    if (conversation.followed && conversation.loaded && !conversation.halted && Object.keys(resume).length < 64) resume[conversation.id] = conversation.last
  }
  const hello = { type: "hello", app: state.app, client: state.client, page: state.page.slice(0, 2048), can_refresh: refreshes(state), resume }
  if (token !== null) hello.token = token
  if (state.role === "visitor" && state.customer !== null && credential.anonymous) hello.earlier = credential.anonymous
  const [next, frame] = command({ ...state, credential, phase: "greeting", hello_token: token, replaying: Object.keys(resume) }, hello)
  return [next, [transmit(frame)]]
}

/** The page asks to sign somebody in. `source`: "string" or "function". */
export function signIn(state, { source }) {
  if (state.role !== "visitor") return [state, []]
  const [dropped, effects] = giveUpCandidate(state, { code: 0, reason: "superseded", sentence: "A later sign-in took the place of this one." })
  const [next, more] = fetchToken({ ...dropped, candidate: { source } }, "candidate")
  return [next, [...effects, ...more]]
}

export function tokenFetched(state, event) {
  if (event.id !== state.fetch_id || state.fetching === null) return [state, []]
  const why = state.fetching
  const token = event.token
  if (typeof token !== "string" || token === "") return tokenFailed(state, { ...event, reason: "no_token", final: true })
  if (token.replace(/^JWT /, "").startsWith(SECRET_PREFIX)) return tokenFailed(state, { ...event, reason: "secret_in_the_browser", final: true })
  const held = { ...state, fetching: null }
  if (held.phase === "live") {
    const [next, frame] = command({ ...held, authenticating: { token, why } }, { type: "authenticate", token, can_refresh: refreshes(held) })
    return [next, [transmit(frame)]]
  }
  // Before hello it goes with it. After hello, the welcome is waited for.
  if (held.phase === "connecting" || held.phase === "greeting") return [{ ...held, customer: token, late_token: held.phase === "greeting" }, []]
  return connect({ ...held, customer: token, signed_intent: held.role === "visitor", phase: "idle", identity_expired: false }, { ...event, type: "connect" })
}

/** The page's function failed. `final`: it said that there is nobody; otherwise it may work later. */
export function tokenFailed(state, event) {
  if (event.id !== state.fetch_id || state.fetching === null) return [state, []]
  const why = state.fetching
  const held = { ...state, fetching: null }
  const trouble = { code: 0, reason: event.reason, sentence: event.sentence ?? "The page gave no token." }
  const effects = [tell("token_failed", trouble)]
  if (why === "candidate") {
    const [next, more] = giveUpCandidate(held, trouble)
    return [next, [...effects, ...more]]
  }
  if (why === "refresh" || held.phase !== "fetching") return [held, effects]
  if (event.final) {
    if (held.role === "agent") return stop(held, trouble, effects)
    const [next, more] = expire(held, event.reason)
    return [next, [...effects, ...more]]
  }
  const in_ms = Math.max(TOKEN_RETRY.min_ms, delayMs(held.attempt, TOKEN_RETRY, event.dice))
  const waits = { ...held, phase: "waiting", attempt: held.attempt + 1, identity_expired: held.role === "visitor", trouble }
  return [waits, [...effects, { do: "wake", in_ms }]]
}

/** Revoke on the server, forget here. What this identity wrote and did not send is dropped, never sent under another. */
export function signOut(state, { everywhere = false, settle = null }) {
  const [dropped, settled] = giveUpCandidate(state, { code: 0, reason: "signed_out", sentence: "Signed out meanwhile." })
  const live = dropped.phase === "live"
  const tokens = { ...dropped, source: "none", customer: null, fetching: null, authenticating: null, identity_expired: false }
  const effects = [...lost(dropped), ...settled, { do: "wipe" }, tell("signed_out")]
  if (live) {
    const [next, frame] = command(forget(tokens), { type: "sign_out", everywhere }, { settle })
    return [{ ...next, signing_out: frame.ref }, [...effects, transmit(frame)]]
  }
  if (settle !== null) effects.push({ do: "settle", id: settle, error: null })
  const connecting = dropped.phase === "connecting" || dropped.phase === "greeting"
  if (!dropped.credential.signed && !connecting) return [{ ...forget(tokens), phase: "idle", trouble: null }, [...effects, { do: "cancel_wake" }]]
  // Not connected, yet the server still honours this session: connect with it once more, only to end it.
  const pending = { ...forget(tokens), credential: { anonymous: null, signed: dropped.credential.signed }, sign_out_pending: { everywhere } }
  if (connecting) return [{ ...pending, phase: dropped.phase, hello_token: dropped.hello_token, customer: dropped.customer, commands: dropped.commands }, effects]
  const [next, more] = connect({ ...pending, phase: "idle" }, { type: "connect" })
  return [next, [...effects, ...more]]
}

/** Everything that belonged to an identity. */
export function forget(state) {
  return {
    ...state,
    credential: { anonymous: null, signed: null },
    signed_intent: false,
    refusals: { token: null, count: 0 },
    sign_out_pending: null,
    me: NOBODY,
    outbox: { ...state.outbox, entries: [] },
    conversations: {},
    heads: {},
    heads_loaded: false,
    listing: null,
    current: null,
    replaying: [],
    commands: {},
  }
}

export function disconnect(state) {
  return [{ ...offline(state), phase: "idle" }, [...lost(state), { do: "cancel_wake" }, { do: "close_socket", code: 1000 }]]
}

/** What does not outlive a connection. */
function offline(state) {
  const conversations = {}
  for (const [id, one] of Object.entries(state.conversations)) conversations[id] = { ...one, checking_at: null, fetching_older: false, typing: {}, read_sent: 0 }
  return { ...state, conversations, outbox: disconnected(state.outbox), authenticating: null, replaying: [], commands: {}, agents: [], late_token: false, signing_out: null }
}

function lost(state) {
  return Object.values(state.commands).flatMap(({ settle }) => (settle === null ? [] : [{ do: "settle", id: settle, error: { code: "disconnected", sentence: "The connection was lost." } }]))
}

export function closed(state, event) {
  if (state.phase === "idle" || state.phase === "stopped" || state.phase === "waiting" || state.phase === "fetching") return [state, []]
  const said = state.goodbye
  const code = normalise(said?.code ?? event.code)
  const trouble = { code, reason: said?.reason ?? "", sentence: said?.sentence ?? "" }
  const settled_before = state.phase === "live" && event.now - state.live_since >= SETTLED_MS
  const base = { ...offline(state), goodbye: null, trouble, attempt: settled_before ? 0 : state.attempt }
  const effects = lost(state)
  if (base.sign_out_pending && actionFor(code) !== "resume" && actionFor(code) !== "window") {
    // The session that was to be ended is dead already.
    return [{ ...forget(base), phase: "idle", trouble: null }, effects]
  }
  const [next, more] = afterClose(base, code, said?.after_ms ?? 0, event)
  return [next, [...effects, ...more]]
}

function wait(state, in_ms) {
  return [{ ...state, phase: "waiting", attempt: state.attempt + 1 }, [{ do: "wake", in_ms }, tell("waiting", { in_ms })]]
}

function afterClose(state, code, after_ms, event) {
  const jitter_ms = delayMs(state.attempt, state.retry, event.dice)
  switch (actionFor(code)) {
    case "resume":
      return wait(state, Math.max(after_ms, jitter_ms))
    case "window":
      return wait(state, after_ms || windowMs(state.retry, event.dice))
    case "start_anew":
      return startAnew(state, Math.max(after_ms, jitter_ms))
    case "fresh_token":
      return freshToken(state, code, after_ms, jitter_ms, event)
    default:
      return stopped(state, code, jitter_ms)
  }
}

/** Put down the credential that was refused. */
function dropCredential(state) {
  const which = state.signed_intent ? "signed" : "anonymous"
  if (state.credential[which] === null) return [state, []]
  return [{ ...state, credential: { ...state.credential, [which]: null } }, [{ do: "keep", which, token: null }]]
}

function startAnew(state, in_ms) {
  const [dropped, effects] = dropCredential(state)
  const anew = { ...dropped, conversations: {}, heads: {}, heads_loaded: false, current: null, outbox: stranded(dropped.outbox) }
  const [next, more] = wait(anew, in_ms)
  return [next, [...effects, ...more]]
}

function freshToken(state, code, after_ms, jitter_ms, event) {
  if (state.role === "agent") return wait(state, Math.max(after_ms, jitter_ms))
  if (!state.signed_intent && !state.candidate) return startAnew(state, Math.max(after_ms, jitter_ms))
  const token = state.hello_token
  const was_customer = token !== null && token === state.customer
  const [dropped, effects] = dropCredential({ ...state, customer: null })
  // Somebody who has not signed in yet keeps asking on behalf of the candidate.
  const source = dropped.candidate?.source ?? dropped.source
  const outside_guard = code === CODE.key_revoked && after_ms >= REDEPLOY_WAIT_MS
  const count = dropped.refusals.token === token ? dropped.refusals.count + 1 : 1
  const judged = { ...dropped, refusals: outside_guard ? dropped.refusals : { token, count } }
  if (!outside_guard && count >= SAME_TOKEN_MAX) {
    const [next, more] = stop(judged, { code: CODE.token_rejected, reason: "token_rejected", sentence: "The page gave the same refused token three times." })
    return [{ ...next, identity_expired: true }, [...effects, ...more, tell("identity_expired", { reason: "same_token" })]]
  }
  if (source === "none" || (source === "string" && was_customer)) {
    const [next, more] = expire(judged, judged.trouble?.reason)
    return [next, [...effects, ...more]]
  }
  const in_ms = after_ms || delayMs(judged.attempt, judged.retry, event.dice)
  const [next, more] = wait({ ...judged, identity_expired: outside_guard }, in_ms)
  return [next, [...effects, ...more]]
}

function stopped(state, code, jitter_ms) {
  if (code === CODE.signed_out || code === CODE.identity_erased) {
    const [next, effects] = stop(forget({ ...state, source: "none" }), state.trouble)
    return [next, [{ do: "wipe" }, tell("signed_out"), ...effects]]
  }
  const ours = state.hello_token !== null && state.hello_token !== state.customer
  if (state.role === "visitor" && code === CODE.token_rejected && ours) {
    // Not the page's token but one that the gateway itself minted, perhaps before its data was lost: nobody could repair that.
    if (!state.signed_intent) return startAnew(state, jitter_ms)
    const [dropped, effects] = dropCredential(state)
    const [next, more] = dropped.source === "none" ? expire(dropped) : wait(dropped, jitter_ms)
    return [next, [...effects, ...more]]
  }
  const [next, effects] = stop(state, state.trouble)
  if (!state.signed_intent) return [next, effects]
  return [{ ...next, identity_expired: true }, [...effects, tell("identity_expired", { reason: state.trouble?.reason ?? "" })]]
}
