/** The list of what was said: bubbles, dividers, notes and the state of what is on its way. Used by widget and agent page. */

import { assuranceText, entriesOf, seenByOthers } from "../client/view.js"
import { h, icon, keyed } from "./dom.js"

/** Messages of one author within this time stand together under one line. */
const TOGETHER_MS = 180_000
/** What is refused to the eye as a link: everything but plain web addresses. */
const LINK = /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" })
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" })

/** Text nodes and links; never markup. */
function spoken(text) {
  const parts = []
  let from = 0
  for (const { 0: address, index } of text.matchAll(LINK)) {
    parts.push(text.slice(from, index), h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", text: address }))
    from = index + address.length
  }
  return [...parts, text.slice(from)]
}

/** Entries with what depends on their neighbours: a new day, the first and the last of a group. */
function arranged(entries) {
  const at = (one) => one.message?.at ?? one.note?.at ?? one.entry.said_at
  const who = (one) => (one.kind === "text" ? `${one.message.from.user}/${one.message.from.assurance}` : one.kind === "echo" ? "mine" : `!${one.key}`)
  return entries.map((one, index) => {
    const before = entries[index - 1]
    const after = entries[index + 1]
    const joins = (a, b) => a && b && a.mine === b.mine && (who(a) === who(b) || (a.mine && (a.kind === "echo" || b.kind === "echo"))) && at(b) - at(a) < TOGETHER_MS
    return { ...one, at: at(one), first: !joins(before, one), last: !joins(one, after), new_day: !before || new Date(at(before)).toDateString() !== new Date(at(one)).toDateString() }
  })
}

function dividerText({ kind, message }, names) {
  const name = message.subject ? (names[message.subject] ?? "a colleague") : ""
  const by = message.from.name || "An agent"
  switch (kind) {
    case "signed_in":
      return names.visitor ? `You signed in as ${message.from.name || message.subject}` : `Signed in as ${message.from.name || message.subject}`
    case "adopted":
      return names.visitor ? "You kept this chat in your account" : `${message.from.name || "The visitor"} confirmed this chat as theirs`
    case "unadopted":
      return names.visitor ? "You took this chat out of your account" : "This chat is no longer confirmed as theirs"
    case "assigned":
      return names.visitor ? `${by} joined the chat` : message.subject ? `${by} assigned this to ${name}` : `${by} removed the assignment`
    case "resolved":
      return names.visitor ? "This chat was closed" : `${by} resolved this`
    case "reopened":
      return names.visitor ? "This chat was reopened" : `${by} reopened this`
    default:
      return kind
  }
}

function shownState(one, seen) {
  if (one.kind === "echo") {
    const { state, sentence } = one.entry
    if (state === "failed") return { name: "failed", text: sentence || "Not sent" }
    return state === "acked" ? { name: "sent", text: "Sent" } : { name: "sending", text: "Sending…" }
  }
  return one.message.seq <= seen ? { name: "seen", text: "Seen" } : { name: "sent", text: "Sent" }
}

const STATE_ICON = { sending: "clock", sent: "check", seen: "seen", failed: "alert" }

function bubble(one, { badges, retry, discard }) {
  const from = one.message?.from
  const text = one.message?.text ?? one.entry.text
  const signed_mark = one.mine && from?.assurance === "signed" && !badges ? h("span", { class: "own-mark", title: "Written while signed in", role: "img", "aria-label": "Written while signed in" }, icon("verified")) : null
  const item = h("li", { class: `entry ${one.mine ? "mine" : "theirs"} ${one.first ? "first" : ""} ${one.last ? "last" : ""} ${one.kind}`, "data-key": one.key, "data-assurance": from?.assurance ?? null, "data-seq": one.message?.seq ?? null })
  if (one.first && !one.mine) item.append(h("div", { class: "author" }, h("span", { class: "author-name", text: nameOf(from, badges) }), badges ? badge(from) : null))
  if (one.first && one.mine && badges && from?.name) item.append(h("div", { class: "author" }, h("span", { class: "author-name", text: from.name })))
  item.append(h("div", { class: "bubble", dir: "auto" }, ...spoken(text), signed_mark))
  const foot = h("div", { class: "foot" })
  if (one.last || one.shown?.name === "failed") foot.append(h("time", { datetime: new Date(one.at).toISOString(), text: clock.format(one.at) }))
  if (one.mine && one.shown && (one.shows_state || one.shown.name === "failed")) {
    foot.append(h("span", { class: `state ${one.shown.name}` }, icon(STATE_ICON[one.shown.name]), h("span", { text: one.shown.text })))
  }
  if (one.shown?.name === "failed") {
    foot.append(h("button", { type: "button", class: "link", text: "Try again", onclick: () => retry(one.entry.local) }), h("button", { type: "button", class: "link", text: "Delete", onclick: () => discard(one.entry.local) }))
  }
  if (foot.childElementCount > 0) item.append(foot)
  return item
}

function nameOf(from, badges) {
  if (from.role !== "visitor") return from.name || "Support"
  // Only a signed name is shown as a name.
  return badges && from.assurance === "anonymous" ? "Visitor" : from.name || "Visitor"
}

/** How sure we are of a message's author. Only a signed name has the check; who proved an address has a letter. */
export function badge(from) {
  if (from.role !== undefined && from.role !== "visitor") return null
  const mark = { signed: "verified", email: "mail" }[from.assurance]
  return h("span", { class: `badge ${from.assurance}`, "data-badge": from.assurance }, mark ? icon(mark) : null, h("span", { text: assuranceText(from) }))
}

function note({ note: { name, text, at } }) {
  return h("li", { class: "entry note" }, h("div", { class: "author" }, icon("note"), h("span", { class: "author-name", text: `${name || "Agent"} · note, visitors never see it` })), h("div", { class: "bubble", dir: "auto" }, ...spoken(text)), h("div", { class: "foot" }, h("time", { datetime: new Date(at).toISOString(), text: clock.format(at) })))
}

/**
 * A thread bound to its elements.
 * @param {HTMLElement} list an `<ol>` inside a scrolling `scroller`
 * @param {HTMLElement} live visually hidden, role "log": hears only what is new
 * @param {object} hooks badges (agents see assurance), retry(local), discard(local), older()
 */
export function openThread({ list, scroller, live, hooks }) {
  let shown_id = null
  let keys = new Set()

  const atBottom = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60

  function render(state, id, names = {}) {
    const stick = shown_id !== id || atBottom()
    const seen = seenByOthers(state, id)
    const entries = arranged(entriesOf(state, id))
    const with_state = lastOwn(entries)
    const items = []
    for (const one of entries) {
      if (one.new_day) items.push({ key: `day_${one.key}`, day: day.format(one.at) })
      const bubbly = one.kind === "text" || one.kind === "echo"
      items.push(bubbly ? { ...one, shown: one.mine ? shownState(one, seen) : null, shows_state: one === with_state } : one)
    }
    const before = { height: scroller.scrollHeight, top: scroller.scrollTop, first: list.firstElementChild }
    const changed = keyed(list, items, {
      key: (one) => one.key,
      signature: (one) => [one.day, one.kind, one.first, one.last, one.shown?.name, one.shown?.text, one.shows_state, one.message?.link, one.note?.text, JSON.stringify(names)].join("|"),
      build: (one) => {
        if (one.day) return h("li", { class: "divider day" }, h("span", { text: one.day }))
        if (one.kind === "note") return note(one)
        if (one.kind === "text" || one.kind === "echo") return bubble(one, hooks)
        return h("li", { class: `divider ${one.kind}`, "data-kind": one.kind }, one.kind === "signed_in" ? icon("verified") : null, h("span", { text: dividerText(one, names) }))
      },
    })
    announce(entries, id)
    shown_id = id
    if (stick) scroller.scrollTop = scroller.scrollHeight
    else if (changed && list.firstElementChild !== before.first) scroller.scrollTop = before.top + scroller.scrollHeight - before.height
  }

  /** A screen reader hears each new message of the others once, and nothing that was there before. */
  function announce(entries, id) {
    const next = new Set(entries.map((one) => one.key))
    if (shown_id === id) {
      for (const one of entries.slice(-5)) {
        if (keys.has(one.key) || one.mine || one.kind !== "text") continue
        live.append(h("p", { text: `${nameOf(one.message.from, hooks.badges)}: ${one.message.text}` }))
        while (live.childElementCount > 20) live.firstElementChild.remove()
      }
    } else live.replaceChildren()
    keys = next
  }

  scroller.addEventListener("scroll", () => scroller.scrollTop < 80 && hooks.older(), { passive: true })
  return { render, atBottom }
}

/** "Sent" or "Seen" stands once, under the last own text. */
function lastOwn(entries) {
  return entries.findLast((one) => one.mine && (one.kind === "text" || one.kind === "echo"))
}
