/** What the person does: say, read, type, open a conversation, and an agent's orders. */

import { discarded, flush, isFull, put, retried } from "./outbox.js"
import { emptyConversation } from "./conversation.js"
import { mintRef } from "./ref.js"
import { command, conversationOf, mustProve, tell, transmit, withConversation } from "./state.js"

/** The gateway takes one typing frame per 2 s. */
const TYPING_EVERY_MS = 2_500
const PAGE_SIZE = 50

const bytesOf = (text) => new TextEncoder().encode(text).length

/** Transmit what the outbox may send now: only in a live session, and after the replay. */
export function flushed(state, event) {
  if (state.phase !== "live" || state.replaying.length > 0 || state.clock_offset_ms === null || state.signing_out || mustProve(state)) return [state, []]
  const [outbox, frames] = flush(state.outbox, { now: event.now, clock_offset_ms: state.clock_offset_ms, entropy: event.entropy, in_flight_max: state.limits.in_flight - Object.keys(state.commands).length })
  return frames.length === 0 ? [state, []] : [{ ...state, outbox }, [transmit(...frames)]]
}

export function say(state, event) {
  const text = event.text.trim()
  if (text === "") return [state, []]
  if (bytesOf(text) > state.limits.text_bytes) return [state, [tell("refused", { reason: "too_long", limit_bytes: state.limits.text_bytes })]]
  if (isFull(state.outbox)) return [state, [tell("refused", { reason: "outbox_full" })]]
  const conversation = event.conversation ?? state.current
  const typed_off = { ...state.typed, on: false }
  return flushed({ ...state, typed: typed_off, outbox: put(state.outbox, { text, conversation, now: event.now }) }, event)
}

export function retry(state, event) {
  const outbox = retried(state.outbox, event.local)
  // A stranded text goes where the person now is.
  const entries = outbox.entries.map((entry) => (entry.local === event.local && entry.conversation === null ? { ...entry, conversation: state.current } : entry))
  return flushed({ ...state, outbox: { ...outbox, entries } }, event)
}

export function discard(state, event) {
  return [{ ...state, outbox: discarded(state.outbox, event.local) }, []]
}

/** Everything up to `seq` was on screen. */
export function seen(state, { conversation: id, seq }) {
  const conversation = state.conversations[id]
  if (!conversation || state.phase !== "live") return [state, []]
  if (seq <= Math.max(conversation.read_sent, conversation.reads[state.me.user] ?? 0)) return [state, []]
  const [next, frame] = command(withConversation(state, { ...conversation, read_sent: seq }), { type: "read", conversation: id, seq })
  const head = next.heads[id]
  const heads = head ? { ...next.heads, [id]: { ...head, unread: 0 } } : next.heads
  return [{ ...next, heads }, [transmit(frame)]]
}

export function typed(state, event) {
  const id = event.conversation ?? state.current
  if (!id || state.phase !== "live" || state.signing_out) return [state, []]
  const { conversation, on, at } = state.typed
  const changed = conversation !== id || on !== event.on
  if ((!event.on && !changed) || event.now - at < TYPING_EVERY_MS) return [state, []]
  return [{ ...state, typed: { conversation: id, on: event.on, at: event.now } }, [transmit({ type: "typing", conversation: id, on: event.on })]]
}

export function older(state, event) {
  const conversation = state.conversations[event.conversation ?? state.current]
  if (!conversation || state.phase !== "live" || !conversation.more || conversation.fetching_older) return [state, []]
  const first = conversation.messages[0]
  if (!first) return [state, []]
  const before = [first.at, first.seq, first.link]
  const marked = withConversation(state, { ...conversation, fetching_older: true })
  const [next, frame] = command(marked, { type: "history", conversation: conversation.id, before, limit: PAGE_SIZE })
  return [next, [transmit(frame)]]
}

/** Ask for what came after the position we have. One question at a time per conversation. */
export function check(state, id, event, { from_scratch = false } = {}) {
  const conversation = conversationOf(state, id)
  if (state.phase !== "live" || conversation.halted || conversation.checking_at !== null) return [state, []]
  const asking = withConversation(state, { ...conversation, checking_at: event.now, check_again_at: 0, followed: true })
  const frame = { type: "open", conversation: id }
  if (conversation.loaded && !from_scratch) frame.cursor = conversation.last
  const [next, named] = command(asking, frame)
  return [next, [transmit(named)]]
}

/** Bring a conversation to the front (null: none). An agent leaves the one before; a visitor goes on following all. */
export function show(state, event) {
  const { conversation: id } = event
  const before = state.current
  let next = { ...state, current: id }
  const effects = []
  if (state.role === "agent" && before && before !== id && state.conversations[before]) {
    next = withConversation(next, { ...state.conversations[before], followed: false, checking_at: null })
    if (state.phase === "live") {
      const [left, frame] = command(next, { type: "leave", conversation: before })
      next = left
      effects.push(transmit(frame))
    }
  }
  if (id === null) return [next, effects]
  // Showing it again is the person's own wish: it ends a halt.
  const conversation = conversationOf(next, id)
  next = withConversation(next, { ...conversation, followed: true, halted: false, resets: conversation.halted ? [] : conversation.resets })
  const stale = !conversation.loaded || !conversation.followed || conversation.halted
  if (!stale) return [next, effects]
  const [opened, more] = check(next, id, event)
  return [opened, [...effects, ...more]]
}

/** What is stored is named like a message, so that a repetition is harmless. */
const STORED = new Set(["note", "assign", "resolve", "reopen"])

/** Any other frame, whose answer `settle` waits for. */
export function order(state, { frame, settle = null, now, entropy }) {
  if (state.phase !== "live") {
    const error = { code: "disconnected", sentence: "Not connected." }
    return [state, settle === null ? [] : [{ do: "settle", id: settle, error }]]
  }
  const count = state.outbox.count + 1
  const ref = STORED.has(frame.type) ? mintRef(now + state.clock_offset_ms, count, entropy) : null
  const counted = ref === null ? state : { ...state, outbox: { ...state.outbox, count } }
  const [next, named] = command(counted, frame, { settle, ref })
  const listed = frame.type === "inbox" ? { ...next, listing: { ref: named.ref, project: frame.project, view: frame.view ?? "all" } } : next
  return [listed, [transmit(named)]]
}

/** Begin to follow a conversation that this client's own text began. */
export function begun(state, id, event) {
  if (state.conversations[id]?.loaded) return [state, []]
  const known = withConversation({ ...state, current: state.current ?? id }, state.conversations[id] ?? emptyConversation(id))
  return check(known, id, event, { from_scratch: true })
}
