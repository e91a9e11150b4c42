/**
 * What was said and is not yet known to be safe.
 *
 *     queued --flush--> in_flight --ack--> acked --2 min--> forgotten
 *        ^                 |  |              |
 *        +--- closed ------+  +--> failed    +--- vanished from the log ---> queued (the same ref)
 *
 * A ref is minted at the first transmission and kept for every other one: the gateway stores one ref once, so in doubt
 * we send again. An ack is evidence of a position, not a promise for ever: a failover may lose it.
 */

import { mintRef } from "./ref.js"

export const OUTBOX_MAX = 64
export const IN_FLIGHT_MAX = 16
/** How long an acked message is kept, in case a reset shows that it vanished. */
const ACKED_KEPT_MS = 120_000
/** An ack whose message has not come by then makes the client check. */
const ECHO_LATE_MS = 10_000

export function emptyOutbox() {
  return { entries: [], count: 0, minted_at: 0 }
}

const waiting = (entry) => entry.state === "queued" || entry.state === "in_flight"

export function isFull(outbox) {
  return outbox.entries.filter(waiting).length >= OUTBOX_MAX
}

/** `conversation` null: the text begins one. */
export function put(outbox, { text, conversation, now }) {
  const count = outbox.count + 1
  const entry = { local: `local_${count}`, ref: null, text, conversation, state: "queued", said_at: now, not_before: 0, acked_at: 0, seq: 0, link: "", sentence: "" }
  return { ...outbox, count, entries: [...outbox.entries, entry] }
}

function change(outbox, picks, patch) {
  return { ...outbox, entries: outbox.entries.map((entry) => (picks(entry) ? { ...entry, ...patch(entry) } : entry)) }
}

/**
 * Send what may go now, in order. Nothing overtakes: the first entry that must wait holds back those after it.
 * @returns {[object, object[]]} the outbox and the frames
 */
export function flush(outbox, { now, clock_offset_ms, entropy, in_flight_max }) {
  const frames = []
  const limit = Math.min(IN_FLIGHT_MAX, in_flight_max)
  let flying = outbox.entries.filter((entry) => entry.state === "in_flight").length
  let { count, minted_at } = outbox
  let starting = outbox.entries.some((entry) => entry.state === "in_flight" && entry.conversation === null)
  let held = false
  const entries = outbox.entries.map((entry) => {
    if (entry.state !== "queued" || held) return entry
    if (flying >= limit || entry.not_before > now || (starting && entry.conversation === null)) {
      held = true
      return entry
    }
    let ref = entry.ref
    if (ref === null) {
      minted_at = Math.max(minted_at, now + clock_offset_ms)
      ref = mintRef(minted_at, ++count, entropy)
      // The counter is 12 bits wide: when it wraps, the next millisecond keeps the order.
      if ((count & 0xfff) === 0xfff) minted_at += 1
    }
    flying += 1
    if (entry.conversation === null) starting = true
    frames.push(entry.conversation === null ? { type: "start", ref, text: entry.text } : { type: "send", ref, conversation: entry.conversation, text: entry.text })
    return { ...entry, ref, state: "in_flight" }
  })
  return [{ entries, count, minted_at }, frames]
}

export function byRef(outbox, ref) {
  return ref ? outbox.entries.find((entry) => entry.ref === ref) : undefined
}

/** The gateway stored it. What waited for the conversation that it began now knows its name. */
export function acked(outbox, ack, now) {
  const begun = byRef(outbox, ack.ref)
  const conversation = begun?.conversation ?? ack.conversation ?? null
  const stored = change(outbox, (entry) => entry.ref === ack.ref, () => ({ state: "acked", acked_at: now, seq: ack.seq ?? 0, link: ack.link ?? "", conversation, sentence: "" }))
  if (begun?.conversation !== null) return stored
  return change(stored, (entry) => entry.conversation === null && waiting(entry), () => ({ conversation }))
}

/** Refused. `retry` as in the error frame: "no", "same", or milliseconds to wait. */
export function refused(outbox, error, now) {
  const retry = error.retry ?? "no"
  if (retry === "no") return change(outbox, (entry) => entry.ref === error.ref, () => ({ state: "failed", sentence: error.sentence, code: error.code }))
  const wait_ms = retry === "same" ? 1_000 : retry
  return change(outbox, (entry) => entry.ref === error.ref, () => ({ state: "queued", not_before: now + wait_ms }))
}

/** The connection is gone: what had no answer goes again, with the same ref. */
export function disconnected(outbox) {
  return change(outbox, (entry) => entry.state === "in_flight", () => ({ state: "queued", not_before: 0 }))
}

/** A failed entry goes again. Its outcome is known to be "not stored", unless the gateway said that nobody knows: a new ref then, since the old one is refused for ever. */
export function retried(outbox, local) {
  return change(
    outbox,
    (entry) => entry.local === local && entry.state === "failed",
    (entry) => ({ state: "queued", not_before: 0, sentence: "", ref: entry.code === "outcome_unknown" ? null : entry.ref }),
  )
}

export function discarded(outbox, local) {
  return { ...outbox, entries: outbox.entries.filter((entry) => entry.local !== local || entry.state !== "failed") }
}

/** The conversation is out of reach (another identity): unsent texts are kept for the visitor to decide, never sent by themselves. */
export function stranded(outbox) {
  const kept = { ...outbox, entries: outbox.entries.filter(({ state }) => state !== "acked") }
  return change(kept, () => true, () => ({ state: "failed", conversation: null, ref: null, sentence: "This was not sent." }))
}

/** Queue again what the log, as now seen, does not hold: `top` is its authoritative position, or null when only its known links may speak. */
export function resendVanished(outbox, conversation, top) {
  const refs = new Set(conversation.messages.map((message) => message.ref))
  const vanished = (entry) => {
    if (entry.state !== "acked" || entry.conversation !== conversation.id || refs.has(entry.ref)) return false
    const other = conversation.known[entry.seq]
    return (other !== undefined && other !== entry.link) || (top !== null && top[1] < entry.seq)
  }
  return outbox.entries.some(vanished) ? change(outbox, vanished, () => ({ state: "queued", not_before: 0 })) : outbox
}

/** Is an acked message of this conversation missing for longer than is plausible? */
export function echoIsLate(outbox, conversation, now) {
  return outbox.entries.some(
    (entry) =>
      entry.state === "acked" && entry.conversation === conversation.id && entry.seq > conversation.last[1] && entry.acked_at <= now - ECHO_LATE_MS,
  )
}

export function forgotten(outbox, now) {
  const kept = outbox.entries.filter((entry) => entry.state !== "acked" || entry.acked_at > now - ACKED_KEPT_MS)
  return kept.length === outbox.entries.length ? outbox : { ...outbox, entries: kept }
}
