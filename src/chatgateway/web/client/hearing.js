/** What the gateway says, and what it means for the picture. Frames of a type that this client does not know are ignored. */

import { addNote, follow, forgetTyping, noteRead, noteTyping, prependOlder, replaceTail } from "./conversation.js"
import { acked, byRef, echoIsLate, forgotten, refused, resendVanished, stranded } from "./outbox.js"
import { begun, check, flushed } from "./saying.js"
import { answered, chain, command, conversationOf, isSigned, mustProve, refreshes, tell, transmit, withConversation, withHead, withRow } from "./state.js"
import { closed, forget } from "./connecting.js"

/** The order of the frames is the gateway's; each function here is a step for one type. */
const HEARD = { welcome, ack, error, message, identity, adoption, typing, presence, read, conversation, inbox, note, replay, reset, heartbeat, goodbye }

/** What may be heard between a `sign_out` and its answer: everything else belongs to the identity that has gone. */
const HEARD_WHILE_SIGNING_OUT = new Set(["identity", "error", "heartbeat", "goodbye"])

/** One WebSocket message: an array of frames. */
export function received(state, event) {
  if (state.phase !== "greeting" && state.phase !== "live") return [state, []]
  let view = state
  const effects = []
  for (const frame of event.frames) {
    const hear = Object.hasOwn(HEARD, frame?.type) ? HEARD[frame.type] : null
    if (!hear || (view.signing_out && !HEARD_WHILE_SIGNING_OUT.has(frame.type))) continue
    const [next, more] = hear(view, frame, event)
    view = next
    effects.push(...more)
  }
  const [after, more] = flushed(view, event)
  return [after, [...effects, ...more]]
}

/** Once a second: what silence means. */
export function tick(state, event) {
  const conversations = Object.fromEntries(Object.entries(state.conversations).map(([id, one]) => [id, forgetTyping(one, event.now)]))
  const changed = Object.keys(conversations).some((id) => conversations[id] !== state.conversations[id])
  const outbox = forgotten(state.outbox, event.now)
  const base = changed || outbox !== state.outbox ? { ...state, conversations, outbox } : state
  const due = (one) => one.check_again_at > 0 && one.check_again_at <= event.now
  const late = Object.values(base.conversations).filter((one) => one.followed && (due(one) || echoIsLate(base.outbox, one, event.now)))
  return chain(base, ...late.map((one) => (view) => check(view, one.id, event)), (view) => flushed(view, event))
}

/** Somebody looks at an empty panel: a chat may have begun in another browser meanwhile. */
export function look(state) {
  const empty = state.role === "visitor" && state.phase === "live" && state.current === null && !state.signing_out && !mustProve(state)
  return empty && state.heads_loaded ? listConversations(state) : [state, []]
}

function heartbeat(state, frame, event) {
  return [{ ...state, clock_offset_ms: frame.now - event.now }, [transmit({ type: "heartbeat" })]]
}

function goodbye(state, frame) {
  return [{ ...state, goodbye: frame }, []]
}

// Who we are

function person(frame) {
  return { user: frame.user, assurance: frame.identity, name: frame.name ?? "", session: frame.session, expires_at: frame.expires_at ?? 0 }
}

/** Keep the credential that came with an identity. */
function kept(state, frame) {
  if (state.role === "agent" || !frame.session_token) return [state, []]
  const which = isSigned(frame.identity) ? "signed" : "anonymous"
  const credential = { ...state.credential, [which]: frame.session_token }
  return [{ ...state, credential }, [{ do: "keep", which, token: frame.session_token }]]
}

function welcome(state, frame, event) {
  if (state.phase !== "greeting") return [state, []]
  const me = person(frame)
  const signed_in = isSigned(me.assurance) && state.role === "visitor"
  if (state.signed_intent && !signed_in && !state.sign_out_pending) {
    const [next, effects] = closed({ ...state, goodbye: { code: 4401, reason: "identity_lost", sentence: "The gateway took somebody who signed in for an anonymous visitor." } }, event)
    return [next, [{ do: "close_socket", code: 1000 }, ...effects]]
  }
  const late = state.late_token && state.customer !== null ? state.customer : null
  const promoted = state.candidate !== null && signed_in && late === null
  let next = {
    ...answered(changedPerson(state, me), frame.ref),
    phase: "live",
    live_since: event.now,
    clock_offset_ms: frame.now - event.now,
    limits: { ...state.limits, ...frame.limits },
    retry: frame.retry ?? state.retry,
    durability: frame.durability ?? "",
    trouble: null,
    identity_expired: false,
    me,
    role: state.role,
    policy: frame.policy ?? "anyone",
    signed_intent: state.signed_intent || signed_in,
    source: promoted ? state.candidate.source : state.source,
    candidate: promoted ? null : state.candidate,
    customer: null,
    late_token: false,
    agents_present: Boolean(frame.agents_present),
    projects: frame.projects ?? [],
    adoptable: frame.adoptable ?? [],
    receipt: state.me.user === me.user ? state.receipt : null,
  }
  next.replaying = next.replaying.filter((id) => next.conversations[id])
  return chain(
    next,
    (view) => kept(view, frame),
    (view) => [view, promoted ? [{ do: "settle_sign_in", error: null }] : []],
    (view) => [view, [tell("welcome", { me })]],
    (view) => (view.sign_out_pending ? endPendingSession(view) : [view, []]),
    (view) => (late === null ? [view, []] : sayAuthenticate(view, late)),
    (view) => (view.signing_out || view.role === "agent" || mustProve(view) ? [view, []] : listConversations(view)),
    (view) => (view.role === "agent" && view.listing ? again(view) : [view, []]),
    (view) => (view.current && !view.replaying.includes(view.current) && !view.signing_out && !mustProve(view) ? check(view, view.current, event) : [view, []]),
  )
}

/** Another person than before: what the one before saw and wrote is not theirs. Signing in is not such a change. */
function changedPerson(state, me) {
  const before = state.me
  if (before.user === "" || before.user === me.user) return state
  if (!isSigned(before.assurance) && isSigned(me.assurance)) return state
  const none = { ...state, conversations: {}, heads: {}, heads_loaded: false, current: null, replaying: [] }
  return !isSigned(before.assurance) ? { ...none, outbox: stranded(state.outbox) } : { ...none, outbox: { ...state.outbox, entries: [] } }
}

function endPendingSession(state) {
  const { everywhere } = state.sign_out_pending
  const [next, frame] = command(forget(state), { type: "sign_out", everywhere })
  return [{ ...next, signing_out: frame.ref }, [{ do: "wipe" }, transmit(frame)]]
}

function sayAuthenticate(state, token) {
  const [next, frame] = command({ ...state, authenticating: { token, why: "candidate" } }, { type: "authenticate", token, can_refresh: refreshes(state) })
  return [next, [transmit(frame)]]
}

function listUnlessAsked(state) {
  return mustProve(state) ? [state, []] : listConversations(state)
}

function listConversations(state) {
  const [next, frame] = command(state, { type: "conversations" })
  return [next, [transmit(frame)]]
}

function again(state) {
  const { project, view } = state.listing
  const [next, frame] = command(state, { type: "inbox", project, view })
  return [{ ...next, listing: { ...state.listing, ref: frame.ref } }, [transmit(frame)]]
}

function identity(state, frame, event) {
  if (frame.conversation) return visitorChanged(state, frame)
  if (frame.want === "fresh_token") {
    if (state.role === "agent" || state.source === "none" || state.fetching || state.authenticating) return [state, []]
    const fetch_id = state.fetch_id + 1
    return [{ ...state, fetch_id, fetching: "refresh" }, [{ do: "fetch_token", id: fetch_id, candidate: false }]]
  }
  const me = person(frame)
  const answer = frame.ref ? state.commands[frame.ref] : undefined
  const settled = answer?.settle ? [{ do: "settle", id: answer.settle, error: null }] : []
  if (state.signing_out) {
    if (frame.ref !== state.signing_out) return [state, []]
    const anew = { ...answered(state, frame.ref), signing_out: null, me, adoptable: [], receipt: null }
    return chain(anew, (view) => kept(view, frame), (view) => [view, [...settled, tell("identity", { me })]], listUnlessAsked)
  }
  if (!isSigned(me.assurance)) {
    if (!state.signed_intent) {
      const known = { ...answered(state, frame.ref), me }
      const proved = me.assurance === "email" && state.me.assurance !== "email"
      return chain(
        known,
        (view) => kept(view, frame),
        (view) => [view, proved ? [...settled, tell("identity", { me })] : settled],
        (view) => (proved ? listConversations(view) : [view, []]),
      )
    }
    const [next, effects] = closed({ ...state, goodbye: { code: 4401, reason: "identity_lost", sentence: "The gateway no longer knows who this is." } }, event)
    return [next, [{ do: "close_socket", code: 1000 }, ...effects]]
  }
  const by = state.authenticating
  const promoted = by?.why === "candidate" && state.candidate !== null
  const signed = {
    ...answered(state, frame.ref),
    me,
    signed_intent: true,
    identity_expired: false,
    authenticating: null,
    adoptable: frame.adoptable ?? [],
    receipt: state.me.user === me.user ? state.receipt : null,
    // From now on it is this token that a refusal would refuse.
    hello_token: by?.token ?? state.hello_token,
    source: promoted ? state.candidate.source : state.source,
    candidate: promoted ? null : state.candidate,
  }
  return chain(
    signed,
    (view) => kept(view, frame),
    (view) => [view, [...settled, ...(promoted ? [{ do: "settle_sign_in", error: null }] : []), tell("identity", { me })]],
    listConversations,
  )
}

/** The chat begun before signing in is this person's now, or no longer. The list says which are. */
function adoption(state, frame) {
  const asked = frame.ref ? state.commands[frame.ref] : undefined
  const settled = asked?.settle ? [{ do: "settle", id: asked.settle, error: null }] : []
  const next = { ...answered(state, frame.ref), adoptable: [], receipt: frame.undone ? null : frame.receipt }
  return chain(next, (view) => [view, [...settled, tell("adoption", { receipt: frame.receipt, undone: Boolean(frame.undone) })]], listConversations)
}

/** To an agent: the visitor of a conversation is somebody else now, or is known better. */
function visitorChanged(state, frame) {
  const head = state.heads[frame.conversation]
  if (!head) return [state, []]
  const visitor = { ...head.visitor, user: frame.user || head.visitor?.user, assurance: frame.identity || head.visitor?.assurance }
  if (frame.name) visitor.name = frame.name
  if (frame.email) visitor.email = frame.email
  if (frame.email_proved) visitor.email_proved = true
  const heads = { ...state.heads, [frame.conversation]: { ...head, visitor, pending: frame.confirmed === false } }
  return [{ ...state, heads }, [tell("visitor", { conversation: frame.conversation, visitor })]]
}

// Answers

function ack(state, frame, event) {
  const entry = byRef(state.outbox, frame.ref)
  if (entry) {
    const next = { ...state, outbox: acked(state.outbox, frame, event.now) }
    const id = byRef(next.outbox, frame.ref).conversation
    return entry.conversation === null && id ? begun(next, id, event) : [next, []]
  }
  const asked = state.commands[frame.ref]
  if (!asked) return [state, []]
  const effects = asked.settle ? [{ do: "settle", id: asked.settle, error: null }] : []
  const next = answered(state, frame.ref)
  if (asked.type === "conversations") return chain({ ...next, heads_loaded: true }, (view) => [view, effects], (view) => choose(view, event))
  if (asked.type === "open" && next.conversations[asked.conversation]) {
    return [replayed(withConversation(next, { ...next.conversations[asked.conversation], checking_at: null }), asked.conversation), effects]
  }
  return [next, effects]
}

function error(state, frame, event) {
  const told = tell("error", { code: frame.code, sentence: frame.sentence, detail: frame.detail ?? "" })
  if (byRef(state.outbox, frame.ref)) {
    return [{ ...state, outbox: refused(state.outbox, frame, event.now) }, frame.retry === undefined || frame.retry === "no" ? [told] : []]
  }
  const asked = state.commands[frame.ref]
  // Nobody asked: a chat is no longer this person's (it was given back elsewhere), or no longer anybody's (it was erased).
  if (!asked && frame.code === "conversation_unknown" && (state.conversations[frame.ref] || state.heads[frame.ref])) return [outOfReach(state, frame.ref), [told]]
  if (!asked) return [state, [told]]
  let next = answered(state, frame.ref)
  const effects = [told]
  if (asked.settle) effects.push({ do: "settle", id: asked.settle, error: { code: frame.code, sentence: frame.sentence, detail: frame.detail ?? "" } })
  if (asked.type === "authenticate") {
    // It changed nothing: we stay who we were.
    next = { ...next, authenticating: null }
    if (next.candidate) {
      effects.push({ do: "settle_sign_in", error: { code: frame.code, reason: frame.code, sentence: frame.sentence, detail: frame.detail ?? "" } })
      next = { ...next, candidate: null }
    }
  }
  if (asked.type === "sign_out") {
    // Here it is forgotten already; the server will let it expire. Start again, as nobody.
    const [gone, more] = closed({ ...next, signing_out: null, goodbye: { code: 4000, reason: frame.code } }, event)
    return [gone, [...effects, { do: "close_socket", code: 1000 }, ...more]]
  }
  if ((asked.type === "open" || asked.type === "history") && next.conversations[asked.conversation]) {
    const again_ms = frame.retry === "same" ? 1_000 : typeof frame.retry === "number" ? frame.retry : 0
    const check_again_at = asked.type === "open" && again_ms ? event.now + again_ms : 0
    const conversation = { ...next.conversations[asked.conversation], checking_at: null, fetching_older: false, check_again_at }
    next = replayed(withConversation(next, conversation), asked.conversation)
    if (asked.type === "open" && !check_again_at) next = outOfReach(next, asked.conversation)
  }
  return [next, effects]
}

function outOfReach(state, id) {
  const { [id]: _gone, ...conversations } = state.conversations
  const { [id]: _head, ...heads } = state.heads
  return { ...state, conversations, heads, current: state.current === id ? null : state.current }
}

// Conversations

/** After every change of what is known: who wrote news, what vanished. */
function digest(state, conversation, fresh, top) {
  const next = withConversation(state, conversation)
  const outbox = resendVanished(next.outbox, conversation, top)
  const effects = fresh.map((one) => tell("message", { message: one, mine: one.from.user === state.me.user || byRef(outbox, one.ref) !== undefined }))
  return [{ ...next, outbox }, effects]
}

function message(state, frame, event) {
  const conversation = state.conversations[frame.conversation]
  if (!conversation) {
    // Begun in another tab of the same person.
    if (state.role !== "visitor") return [state, []]
    return check({ ...state, current: state.current ?? frame.conversation }, frame.conversation, event, { from_scratch: true })
  }
  if (!conversation.loaded || conversation.halted) return [state, []]
  const [view, fresh, gap] = follow(conversation, [frame])
  if (gap) return check(state, frame.conversation, event)
  if (fresh.length === 0) return [state, []]
  return digest(headMoved(state, frame), view, fresh, null)
}

/** The list shows the last words without waiting for the gateway to send the head anew. */
function headMoved(state, frame) {
  const head = state.heads[frame.conversation]
  if (!head || frame.seq <= (head.top?.[1] ?? 0)) return state
  const preview = frame.kind === undefined || frame.kind === "text" ? frame.text : head.preview
  return withHead(state, { conversation: frame.conversation, top: [frame.at, frame.seq, frame.link], last_at: frame.at, preview })
}

function replay(state, frame, event) {
  const conversation = conversationOf(state, frame.conversation)
  const asked = frame.ref ? state.commands[frame.ref] : undefined
  if (asked?.type === "history") return [withConversation(answered(state, frame.ref), prependOlder(conversation, frame.messages, frame.more)), []]
  const [view, fresh, gap] = follow({ ...conversation, loaded: true }, frame.messages)
  const ended = { ...view, checking_at: frame.more ? view.checking_at : null }
  const base = frame.more ? state : replayed(state, frame.conversation)
  const [next, effects] = digest(base, ended, fresh, frame.more || gap ? null : ended.last)
  if (!gap) return [next, effects]
  const [asking, more] = check(withConversation(next, { ...ended, checking_at: null }), frame.conversation, event, { from_scratch: true })
  return [asking, [...effects, ...more]]
}

function reset(state, frame, event) {
  const before = conversationOf(state, frame.conversation)
  const [view, news] = replaceTail(before, frame, event.now)
  const first_time = !before.loaded
  const [next, effects] = digest(replayed(state, frame.conversation), view, first_time ? [] : news, view.last)
  if (!view.halted) return [next, effects]
  return [withConversation(next, { ...view, followed: false }), [...effects, tell("halted", { conversation: frame.conversation })]]
}

function replayed(state, id) {
  return state.replaying.includes(id) ? { ...state, replaying: state.replaying.filter((one) => one !== id) } : state
}

function conversation(state, frame, event) {
  const known = state.conversations[frame.conversation]
  const headed = withRow(state, frame)
  const listed = known ? withConversation(headed, Object.entries(frame.reads ?? {}).reduce((view, [user, seq]) => noteRead(view, user, seq), known)) : headed
  const asked = frame.ref ? state.commands[frame.ref] : undefined
  if (asked?.type === "conversations") return frame.more ? [listed, []] : choose({ ...answered(listed, frame.ref), heads_loaded: true }, event)
  if (state.heads_loaded) return choose(listed, event)
  return [listed, []]
}

/** A visitor without a conversation on screen sees the one that was last spoken in. */
function choose(state, event) {
  // Answers come in order: the replay of what was resumed is over, whether or not each conversation had one.
  const base = { ...state, replaying: [] }
  if (base.role !== "visitor" || base.current) return [base, []]
  const latest = Object.values(base.heads).sort((a, b) => (b.last_at ?? 0) - (a.last_at ?? 0))[0]
  if (!latest) return [base, []]
  return check({ ...base, current: latest.conversation }, latest.conversation, event)
}

function inbox(state, frame) {
  let next = state
  for (const row of frame.rows) next = withRow(next, row)
  // Changes may have been missed: read the list again.
  if (!frame.ref && frame.more) return next.listing ? again(next) : [next, []]
  if (!frame.ref) return [next, []]
  const asked = next.commands[frame.ref]
  const listing = next.listing?.ref === frame.ref ? { ...next.listing, more: Boolean(frame.more), loaded: true } : next.listing
  return [{ ...answered(next, frame.ref), listing, heads_loaded: true }, asked?.settle ? [{ do: "settle", id: asked.settle, error: null }] : []]
}

function note(state, frame) {
  const conversation = conversationOf(state, frame.conversation)
  return [withConversation(answered(state, frame.ref), addNote(conversation, frame)), []]
}

function typing(state, frame, event) {
  const conversation = state.conversations[frame.conversation]
  if (!conversation || frame.user === state.me.user) return [state, []]
  return [withConversation(state, noteTyping(conversation, frame, event.now)), []]
}

function read(state, frame) {
  const conversation = state.conversations[frame.conversation]
  const head = state.heads[frame.conversation]
  let next = conversation ? withConversation(state, noteRead(conversation, frame.user, frame.seq)) : state
  if (head && frame.user === state.me.user && frame.seq >= (head.top?.[1] ?? 0)) next = withHead(next, { conversation: frame.conversation, unread: 0 })
  return [next, []]
}

function presence(state, frame) {
  if (!frame.conversation) return [{ ...state, agents_present: Boolean(frame.agents_present), agents: frame.agents ?? [] }, []]
  const head = state.heads[frame.conversation]
  if (!head?.visitor) return [state, []]
  return [withHead(state, { conversation: frame.conversation, visitor: { ...head.visitor, online: Boolean(frame.online) } }), []]
}
