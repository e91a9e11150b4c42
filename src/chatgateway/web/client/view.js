/** What a page shows of the picture: pure selections, the same for widget and agent page. */

import { actionFor } from "./codes.js"

/**
 * Entries of a conversation in the order in which they are shown: messages and notes by position, then what was said
 * and is not yet in the log.
 */
export function entriesOf(state, id) {
  const conversation = state.conversations[id]
  const messages = conversation?.messages ?? []
  const notes = conversation?.notes ?? []
  const entries = []
  let next_note = 0
  for (const message of messages) {
    while (next_note < notes.length && notes[next_note].at < message.at) entries.push(noteEntry(notes[next_note++]))
    entries.push({ key: message.ref || message.link, kind: message.kind ?? "text", message, mine: message.from.user === state.me.user || (state.role === "visitor" && message.from.role === "visitor") })
  }
  for (const note of notes.slice(next_note)) entries.push(noteEntry(note))
  const refs = new Set(messages.map((message) => message.ref))
  for (const entry of state.outbox.entries) {
    const here = entry.conversation === id || (entry.conversation === null && state.role === "visitor")
    if (!here || (entry.ref && refs.has(entry.ref))) continue
    entries.push({ key: entry.ref ?? entry.local, kind: "echo", entry, mine: true })
  }
  return entries
}

function noteEntry(note) {
  return { key: `note_${note.seq}`, kind: "note", note, mine: false }
}

/** The greatest seq that somebody on the other side has seen. */
export function seenByOthers(state, id) {
  const reads = { ...state.heads[id]?.reads, ...state.conversations[id]?.reads }
  const mine = new Set([state.me.user, ...authorsOnMySide(state, id)])
  return Math.max(0, ...Object.entries(reads).map(([user, seq]) => (mine.has(user) ? 0 : seq)))
}

/** A visitor who signed in on the way was somebody else before; agents answer together. */
function authorsOnMySide(state, id) {
  const ours = state.role === "visitor" ? (role) => role === "visitor" : (role) => role !== "visitor"
  return (state.conversations[id]?.messages ?? []).filter((message) => ours(message.from.role)).map((message) => message.from.user)
}

/** The seq of the last entry that the other side wrote: there is nothing to be seen in one's own words. */
export function lastOfOthers(state, id) {
  const theirs = state.role === "visitor" ? (role) => role !== "visitor" : (role) => role === "visitor"
  return (state.conversations[id]?.messages ?? []).findLast((message) => theirs(message.from.role))?.seq ?? 0
}

export function unreadOf(state) {
  const heads = Object.values(state.heads)
  return heads.reduce((sum, head) => sum + (head.unread ?? 0), 0)
}

/** The names of those who are typing right now. */
export function typingIn(state, id) {
  return Object.values(state.conversations[id]?.typing ?? {})
}

/**
 * The one word for a page's status line:
 * "idle" | "connecting" | "live" | "waiting" | "confirming" | "identity_expired" | "signed_out" | "halted" | "stopped"
 */
export function statusOf(state) {
  if (state.identity_expired && state.phase !== "live") return state.phase === "stopped" ? "identity_expired" : "confirming"
  if (state.phase === "live" && state.current && state.conversations[state.current]?.halted) return "halted"
  switch (state.phase) {
    case "fetching":
      return state.role === "agent" ? "connecting" : "confirming"
    case "connecting":
    case "greeting":
      return "connecting"
    case "waiting":
      return actionFor(state.trouble?.code ?? 0) === "fresh_token" ? "confirming" : "waiting"
    case "stopped":
      return state.trouble?.reason === "signed_out" ? "signed_out" : "stopped"
    default:
      return state.phase
  }
}

const VIEWS = {
  all: (head) => head.state !== "resolved",
  mine: (head, agent) => head.state !== "resolved" && head.assigned === agent,
  unassigned: (head) => head.state !== "resolved" && !head.assigned,
  resolved: (head) => head.state === "resolved",
}

/** An agent's rows of one project, the latest first. */
export function rowsOf(state, project, view, agent) {
  return Object.values(state.heads)
    .filter((head) => head.project === project && VIEWS[view](head, agent))
    .sort((a, b) => (b.last_at ?? 0) - (a.last_at ?? 0))
}

/** How sure we were of a message's author, in words. A name is shown for what was signed only. */
export function assuranceText(from) {
  switch (from.assurance) {
    case "signed":
      return from.name ? `Signed in as ${from.name}` : "Signed in"
    case "email":
      return "Email confirmed"
    case "agent":
      return from.name || "Agent"
    default:
      return "Anonymous"
  }
}
