/**
 * One conversation as this client has seen it: every message once and in order, over hints that may be lost.
 *
 * A position is [at, seq, link]; `link` chains an entry to all before it, so two logs that agree in a link agree in
 * everything up to it. With the last position, a message that arrives is
 *
 *     seq == last + 1 and prev == last's link    accepted
 *     seq <= last, the same link known there     a duplicate, dropped
 *     otherwise                                  not shown: the log is read again after the last position
 */

export const START = [0, 0, "00000000"]

/** As many links as the gateway remembers. */
const KNOWN_MAX = 128
const TYPING_MS = 6_000

/** Resets of one conversation within this window, after which the client stops resuming it: a loop, not a repair. */
const RESETS_MAX = 3
const RESETS_WINDOW_MS = 60_000

export function emptyConversation(id) {
  return {
    id,
    messages: [],
    /** Older entries exist that were not fetched. */
    more: false,
    loaded: false,
    /** The client wants to follow it: it is resumed after every reconnect. */
    followed: true,
    last: START,
    known: {},
    /** The instant of an unanswered check, or null. */
    checking_at: null,
    /** The gateway could not answer the check now: when to ask again, or 0. */
    check_again_at: 0,
    fetching_older: false,
    resets: [],
    /** Three resets in a minute: not resumed any more. */
    halted: false,
    notes: [],
    typing: {},
    reads: {},
    read_sent: 0,
  }
}

/** "accepted", "duplicate" or "gap": what the position rule says of `message`. */
export function judge(conversation, message) {
  const [, seq, link] = conversation.last
  if (message.seq === seq + 1 && message.prev === link) return "accepted"
  if (message.seq <= seq && conversation.known[message.seq] === message.link) return "duplicate"
  return "gap"
}

function append(conversation, messages) {
  if (messages.length === 0) return conversation
  const known = { ...conversation.known }
  for (const message of messages) known[message.seq] = message.link
  const top = messages[messages.length - 1]
  for (const seq of Object.keys(known)) if (Number(seq) <= top.seq - KNOWN_MAX) delete known[seq]
  const typing = { ...conversation.typing }
  for (const message of messages) delete typing[message.from.user]
  return {
    ...conversation,
    known,
    typing,
    last: [top.at, top.seq, top.link],
    messages: [...conversation.messages, ...messages],
  }
}

/**
 * Hand on what follows in order.
 * @returns {[object, object[], boolean]} the conversation, the messages that are new, and whether a gap was met
 */
export function follow(conversation, messages) {
  const fresh = []
  let view = conversation
  for (const message of messages) {
    const verdict = judge(view, message)
    if (verdict === "gap") return [view, fresh, true]
    if (verdict === "accepted") {
      fresh.push(message)
      view = append(view, [message])
    }
  }
  return [view, fresh, false]
}

/**
 * The authoritative tail: all that was shown is replaced.
 * @returns {[object, object[]]} the conversation, and the messages of the tail that were not shown before
 */
export function replaceTail(conversation, { why, messages, more }, now) {
  const resets = why === "opened" ? conversation.resets : [...conversation.resets, now].filter((at) => at > now - RESETS_WINDOW_MS)
  const halted = resets.length >= RESETS_MAX
  const shown = new Set(conversation.messages.map((message) => message.link))
  const view = append(
    { ...conversation, messages: [], known: {}, last: START, resets, halted, more: Boolean(more), loaded: true, checking_at: null, fetching_older: false },
    messages,
  )
  return [view, messages.filter((message) => !shown.has(message.link))]
}

/** A page of entries older than the first one shown. A page that does not chain to it is not shown. */
export function prependOlder(conversation, messages, more) {
  const first = conversation.messages[0]
  const older = first ? messages.filter((message) => message.seq < first.seq) : messages
  const joins = older.length === 0 || !first || older[older.length - 1].link === first.prev
  if (!joins) return { ...conversation, fetching_older: false }
  return { ...conversation, messages: [...older, ...conversation.messages], more: Boolean(more) && older.length > 0, fetching_older: false }
}

export function noteTyping(conversation, { user, name, role, on }, now) {
  const typing = { ...conversation.typing }
  delete typing[user]
  if (on !== false) typing[user] = { name: name ?? "", role, until: now + TYPING_MS }
  return { ...conversation, typing }
}

/** Forget those who stopped typing without saying so. Returns the same object when nothing changed. */
export function forgetTyping(conversation, now) {
  const kept = Object.entries(conversation.typing).filter(([, who]) => who.until > now)
  return kept.length === Object.keys(conversation.typing).length ? conversation : { ...conversation, typing: Object.fromEntries(kept) }
}

/** Read marks move forward only. */
export function noteRead(conversation, user, seq) {
  if (seq <= (conversation.reads[user] ?? 0)) return conversation
  return { ...conversation, reads: { ...conversation.reads, [user]: seq } }
}

export function addNote(conversation, note) {
  const notes = conversation.notes.filter((known) => known.seq !== note.seq)
  return { ...conversation, notes: [...notes, note].sort((a, b) => a.at - b.at || a.seq - b.seq) }
}
