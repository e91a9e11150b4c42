/** One conversation at the desk: thread, composer, orders, and the card of the visitor. */

import { lastOfOthers, typingIn } from "../client/view.js"
import { h, icon } from "../widget/dom.js"
import { badge, openThread } from "../widget/thread.js"
import { avatar, visitorName } from "./inbox.js"

/** A field that the site's server signed is marked; everything else a page said is shown as unsigned. */
function fact(label, value, signed) {
  if (!value) return null
  return h("div", { class: "fact" }, h("dt", { text: label }), h("dd", {}, h("span", { text: value }), signed ? h("span", { class: "signed-mark", title: "Signed by the site's server", role: "img", "aria-label": "Signed by the site's server" }, icon("verified")) : null))
}

function cardOf(visitor, head, agents) {
  const signed = new Set(visitor.signed ?? [])
  const from = { role: "visitor", assurance: visitor.assurance, name: visitor.name }
  const facts = h("dl", { class: "facts" },
    // The site may sign an address that nobody proved: who it is is sure, that they read its mail is not.
    fact(visitor.email_proved ? "Email (proved)" : "Email (not proved)", visitor.email, signed.has("email")),
    fact("Id at the site", visitor.external_id, Boolean(visitor.external_id)),
    fact("Organization", visitor.organization, signed.has("organization")),
    fact("Labels", (visitor.labels ?? []).join(", "), signed.has("labels")),
    fact("Language", visitor.language, signed.has("language")),
    fact("Time zone", visitor.timezone, signed.has("timezone")),
    ...Object.entries(visitor.fields ?? {}).map(([name, value]) => fact(name, [value].flat().join(", "), signed.has("fields"))),
    fact("Page (unsigned)", visitor.page, false),
    ...Object.entries(visitor.facts ?? {}).map(([name, value]) => fact(`${name} (unsigned)`, value, false)),
    fact("Assigned to", head.assigned ? (agents[head.assigned] ?? "A colleague") : "Nobody", false))
  return [h("div", { class: "card-face" }, avatar(visitor), h("h2", { text: visitorName(visitor) }), badge(from), h("p", { class: `card-presence ${visitor.online ? "on" : ""}`, text: visitor.online ? "On the page now" : "Not on the page" })), facts]
}

/** @returns {{element: HTMLElement, card: HTMLElement, render(state: object): void, see(): void}} */
export function openTalk({ agent, client, order }) {
  const scroller = h("div", { class: "scroller", tabindex: "0", role: "group", "aria-label": "Messages" })
  const list = h("ol", { class: "thread" })
  scroller.append(list)
  const live = h("div", { class: "hidden", role: "log", "aria-live": "polite", "aria-relevant": "additions" })
  const heading = h("h2", { class: "talk-name" })
  const mark = h("span", { class: "talk-mark" })
  const assign = h("button", { type: "button", class: "quiet" })
  const resolve = h("button", { type: "button", class: "quiet" })
  const head_bar = h("header", { class: "talk-head" }, heading, mark, h("span", { class: "spring" }), assign, resolve)
  const banner = h("p", { class: "banner", role: "status", hidden: true })
  const typing = h("p", { class: "typing", role: "status" })
  const input = h("textarea", { class: "input", rows: "2", "aria-label": "Reply", autocomplete: "off" })
  const as_note = h("button", { type: "button", class: "note-switch", "aria-pressed": "false" }, icon("note"), h("span", { text: "Note" }))
  const send = h("button", { type: "submit", class: "primary" }, icon("send"), h("span", { text: "Send" }))
  const composer = h("form", { class: "composer" }, input, h("div", { class: "composer-bar" }, as_note, h("span", { class: "hint", text: "Enter sends · Shift Enter breaks the line · Alt ↑ ↓ changes the chat" }), h("span", { class: "spring" }), send))
  const nothing = h("div", { class: "nothing" }, icon("chat"), h("p", { text: "Choose a conversation." }))
  const body = h("div", { class: "talk-body", hidden: true }, head_bar, banner, scroller, typing, composer, live)
  const element = h("main", { class: "talk" }, nothing, body)
  const card = h("aside", { class: "card", "aria-label": "Visitor", hidden: true })

  const agents = { [agent.agent]: agent.name }
  const drafts = new Map()
  let state = null
  let shown = null
  let noting = false

  const thread = openThread({
    list, scroller, live,
    hooks: {
      badges: true,
      retry: (local) => client.happened({ type: "retry", local }),
      discard: (local) => client.happened({ type: "discard", local }),
      older: () => client.happened({ type: "older" }),
    },
  })

  function setNoting(on) {
    noting = on
    as_note.setAttribute("aria-pressed", String(on))
    composer.classList.toggle("noting", on)
    input.placeholder = on ? "A note for your colleagues. Visitors never see it." : "Write a reply…"
    send.lastChild.textContent = on ? "Add note" : "Send"
  }

  setNoting(false)
  as_note.addEventListener("click", () => {
    setNoting(!noting)
    input.focus()
  })
  input.addEventListener("input", () => {
    drafts.set(shown, input.value)
    // A note is not for the visitor, and neither is that one is being written.
    if (!noting) client.happened({ type: "typed", on: input.value.trim() !== "" })
  })
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
    event.preventDefault()
    composer.requestSubmit()
  })
  composer.addEventListener("submit", (event) => {
    event.preventDefault()
    const text = input.value.trim()
    if (!text || !shown) return
    if (noting) order({ type: "note", conversation: shown, text })
    else client.happened({ type: "say", conversation: shown, text })
    input.value = ""
    drafts.delete(shown)
    setNoting(false)
  })
  assign.addEventListener("click", () => {
    const mine = state.heads[shown]?.assigned === agent.agent
    order({ type: "assign", conversation: shown, agent: mine ? null : agent.agent })
  })
  resolve.addEventListener("click", () => order({ type: state.heads[shown]?.state === "resolved" ? "reopen" : "resolve", conversation: shown }))
  scroller.addEventListener("scroll", see, { passive: true })

  function see() {
    if (!state || !shown || document.hidden || !thread.atBottom()) return
    const seq = lastOfOthers(state, shown)
    if (seq) client.happened({ type: "seen", conversation: shown, seq })
  }

  function swap(next) {
    shown = next
    nothing.hidden = shown !== null
    body.hidden = shown === null
    card.hidden = shown === null
    input.value = drafts.get(shown) ?? ""
    setNoting(false)
    if (shown !== null) input.focus()
  }

  function render(next) {
    state = next
    if (state.current !== shown) swap(state.current)
    if (shown === null) return
    const head = state.heads[shown]
    const visitor = head?.visitor ?? { user: "", assurance: "anonymous" }
    for (const { from } of state.conversations[shown]?.messages ?? []) if (from.role !== "visitor" && from.name) agents[from.user] = from.name
    heading.textContent = visitorName(visitor)
    mark.replaceChildren(badge({ role: "visitor", assurance: visitor.assurance, name: visitor.name }))
    banner.hidden = !head?.pending
    const pending = `Signed in as ${visitor.name || "somebody"}; this chat is not yet confirmed as theirs.`
    if (head?.pending && banner.textContent !== pending) banner.textContent = pending
    assign.textContent = head?.assigned === agent.agent ? "Unassign me" : "Assign to me"
    resolve.textContent = head?.state === "resolved" ? "Reopen" : "Resolve"
    thread.render(state, shown, agents)
    const people = typingIn(state, shown)
    const line = people.length ? `${people[0].role === "visitor" ? visitorName(visitor) : people[0].name || "A colleague"} is typing…` : ""
    if (typing.textContent !== line) typing.textContent = line
    const signature = JSON.stringify([visitor, head?.assigned])
    if (card.dataset.signature !== signature) {
      card.dataset.signature = signature
      card.replaceChildren(...cardOf(visitor, head ?? {}, agents))
    }
    see()
  }

  return { element, card, render, see }
}
