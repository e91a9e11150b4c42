/** The inbox: conversations by last activity, in four views. */

import { rowsOf } from "../client/view.js"
import { h, icon, keyed } from "../widget/dom.js"

const VIEWS = [["all", "Open"], ["mine", "Mine"], ["unassigned", "Unassigned"], ["resolved", "Resolved"]]
const MINUTE_MS = 60_000

/** "now", "5 min", "14:05", "Tue", "3 May": short enough for a row. */
export function ago(at, now = Date.now()) {
  const age_ms = now - at
  if (!at) return ""
  if (age_ms < MINUTE_MS) return "now"
  if (age_ms < 60 * MINUTE_MS) return `${Math.floor(age_ms / MINUTE_MS)} min`
  const date = new Date(at)
  if (date.toDateString() === new Date(now).toDateString()) return date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })
  return age_ms < 6 * 86_400_000 ? date.toLocaleDateString(undefined, { weekday: "short" }) : date.toLocaleDateString(undefined, { day: "numeric", month: "short" })
}

/** A visitor's name as far as it is signed; else a short, stable word for them. */
export function visitorName(visitor) {
  return visitor?.name || `Visitor ${(visitor?.user ?? "").slice(-4)}`
}

export function avatar(visitor) {
  const name = visitor?.name ?? ""
  const letters = name.split(/\s+/).filter(Boolean).slice(0, 2).map((word) => Array.from(word)[0].toUpperCase()).join("")
  let hue = 0
  for (const letter of visitor?.user ?? "") hue = (hue * 31 + letter.codePointAt(0)) % 12
  return h("span", { class: `avatar hue-${hue}`, "aria-hidden": "true" }, letters || "•")
}

export function openInbox({ agent, hooks }) {
  let view = "all"
  let last = null
  const tabs = VIEWS.map(([name, text]) => h("button", { type: "button", class: "view", "data-view": name, "aria-pressed": String(name === view), text, onclick: () => choose(name) }))
  const list = h("ul", { class: "rows", "aria-label": "Conversations" })
  const empty = h("p", { class: "empty", hidden: true })
  const element = h("nav", { class: "inbox", "aria-label": "Inbox" }, h("div", { class: "views", role: "group", "aria-label": "View" }, ...tabs), list, empty)

  function choose(name) {
    view = name
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset.view === name))
    hooks.list(name)
    if (last) render(...last)
  }

  function row(head, current) {
    const { visitor } = head
    const signed = visitor?.assurance === "signed"
    return h("li", {}, h("button", { type: "button", class: "row", "data-conversation": head.conversation, "aria-current": head.conversation === current ? "true" : null, onclick: () => hooks.show(head.conversation) },
      h("span", { class: "row-face" }, avatar(visitor), visitor?.online ? h("span", { class: "online", title: "On the page now" }) : null),
      h("span", { class: "row-text" },
        h("span", { class: "row-top" }, h("span", { class: "row-name", text: visitorName(visitor) }), signed ? h("span", { class: "row-mark", role: "img", "aria-label": "Signed in" }, icon("verified")) : null, h("time", { text: ago(head.last_at) })),
        h("span", { class: "row-bottom" }, h("span", { class: "row-preview", text: head.preview || "No messages yet" }), head.unread ? h("span", { class: "count", "aria-label": `${head.unread} unread`, text: head.unread > 99 ? "99+" : String(head.unread) }) : null))))
  }

  function render(state, project) {
    last = [state, project]
    const rows = project ? rowsOf(state, project, view, agent.agent) : []
    keyed(list, rows, {
      key: (head) => head.conversation,
      signature: (head) => JSON.stringify([head.preview, head.unread, ago(head.last_at), head.visitor?.user, head.visitor?.name, head.visitor?.assurance, head.visitor?.online, head.conversation === state.current]),
      build: (head) => row(head, state.current),
    })
    empty.hidden = rows.length > 0
    empty.textContent = !state.heads_loaded ? "Loading…" : view === "resolved" ? "Nothing resolved yet." : "Nothing is waiting. New chats appear here by themselves."
  }

  return {
    element,
    render,
    get view() {
      return view
    },
    /** Show the next (1) or previous (-1) conversation of this view. */
    walk(by) {
      const buttons = [...list.querySelectorAll(".row")]
      const at = buttons.findIndex((one) => one.hasAttribute("aria-current"))
      const next = buttons[Math.min(buttons.length - 1, Math.max(0, at + by))]
      if (!next) return
      hooks.show(next.dataset.conversation)
    },
  }
}
