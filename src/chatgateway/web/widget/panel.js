/** The visitor's panel: the picture in, elements out. It decides nothing about the chat. */

import { lastOfOthers, statusOf, typingIn, unreadOf } from "../client/view.js"
import { mustProve } from "../client/state.js"
import { h, icon, keyed } from "./dom.js"
import { openKeeping } from "./keeping.js"
import { openProving } from "./proving.js"
import { openThread } from "./thread.js"

const STATUS = {
  connecting: "Connecting…",
  waiting: "Connection lost. Trying again…",
  confirming: "Confirming who you are… What you wrote is kept.",
  identity_expired: "Your sign-in has expired. Please sign in again on this page; what you wrote is kept.",
  signed_out: "You signed out. Send a message to begin a new chat.",
  halted: "This chat cannot be shown right now.",
  stopped: "The chat is not available on this page.",
}

const NARROW = "(max-width: 480px)"

/**
 * @param {ShadowRoot} root
 * @param {object} hooks say(text), prove({email} or {code}), order(frame), typed(on), seen(seq), older(), retry(local), discard(local), show(id), closed(), draft(text)
 */
export function openPanel(root, { title, hooks, draft }) {
  const scroller = h("div", { class: "scroller", tabindex: "0", role: "group", "aria-label": "Messages" })
  const list = h("ol", { class: "thread" })
  const greeting = h("div", { class: "greeting" }, h("p", { class: "greeting-title", text: "How can we help?" }), h("p", { text: "Write to us here. You can leave this page; the answer will wait for you." }))
  scroller.append(greeting, list)
  const live = h("div", { class: "hidden", role: "log", "aria-live": "polite", "aria-relevant": "additions" })
  const status = h("div", { class: "status", role: "status" })
  const typing = h("div", { class: "typing", role: "status" })
  const input = h("textarea", { class: "input", rows: "1", placeholder: "Write a message…", "aria-label": "Message", enterkeyhint: "send", autocomplete: "off" })
  const send = h("button", { type: "submit", class: "send", "aria-label": "Send" }, icon("send"))
  const composer = h("form", { class: "composer", novalidate: true }, input, send)
  const presence = h("p", { class: "presence" }, h("span", { class: "dot" }), h("span", { class: "presence-text" }))
  const who = h("p", { class: "who" })
  const chats = h("button", { type: "button", class: "round", "aria-label": "All chats", "aria-expanded": "false", hidden: true }, icon("list"))
  const close = h("button", { type: "button", class: "round", "aria-label": "Close chat" }, icon("close"))
  const heading = h("h2", { class: "title", id: "chatgateway-title", text: title })
  const header = h("header", { class: "header" }, h("div", { class: "header-text" }, heading, presence), chats, close)
  const picker = h("ul", { class: "picker", "aria-label": "All chats", hidden: true })
  const proving = openProving((said) => hooks.prove(said))
  const keeping = openKeeping((frame) => hooks.order(frame))
  const panel = h("dialog", { class: "panel", "aria-labelledby": "chatgateway-title" }, header, who, status, picker, scroller, typing, proving.element, keeping.element, composer, live)

  const unread = h("span", { class: "unread", hidden: true })
  const launcher = h("button", { type: "button", class: "launcher", "aria-label": "Open chat", "aria-expanded": "false" }, h("span", { class: "launcher-icon open" }, icon("chat")), h("span", { class: "launcher-icon shut" }, icon("down")), unread)
  root.append(panel, launcher)

  const thread = openThread({ list, scroller, live, hooks: { badges: false, ...hooks } })
  let state = null
  input.value = draft

  function grow() {
    input.style.height = "auto"
    input.style.height = `${Math.min(input.scrollHeight, 132)}px`
    send.disabled = input.value.trim() === ""
  }

  input.addEventListener("input", () => {
    grow()
    hooks.draft(input.value)
    hooks.typed(input.value.trim() !== "")
  })
  input.addEventListener("keydown", (event) => {
    // An Enter that ends a composition (Japanese, Chinese, Korean) is not an Enter.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
    event.preventDefault()
    composer.requestSubmit()
  })
  composer.addEventListener("submit", (event) => {
    event.preventDefault()
    if (input.value.trim() === "" || !hooks.say(input.value)) return
    input.value = ""
    hooks.draft("")
    grow()
    input.focus()
  })
  launcher.addEventListener("click", () => hooks.toggle())
  close.addEventListener("click", () => hooks.close())
  chats.addEventListener("click", () => pick(picker.hidden))
  panel.addEventListener("cancel", (event) => {
    event.preventDefault()
    hooks.close()
  })
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return
    event.stopPropagation()
    if (picker.hidden) hooks.close()
    else pick(false)
  })
  scroller.addEventListener("scroll", see, { passive: true })

  function pick(on) {
    picker.hidden = !on
    chats.setAttribute("aria-expanded", String(on))
    if (on) picker.querySelector("button")?.focus()
    else input.focus()
  }

  /** What is on screen, in a visible tab, counts as seen. */
  function see() {
    if (!state || !panel.open || document.hidden || !thread.atBottom()) return
    const seq = lastOfOthers(state, state.current)
    if (seq) hooks.seen(state.current, seq)
  }

  function renderPicker() {
    const heads = Object.values(state.heads).sort((a, b) => b.last_at - a.last_at)
    chats.hidden = heads.length < 2
    keyed(picker, heads, {
      key: (head) => head.conversation,
      signature: (head) => [head.preview, head.unread, head.last_at, head.conversation === state.current].join("|"),
      build: (head) =>
        h("li", {}, h("button", { type: "button", class: "picker-row", "aria-current": head.conversation === state.current ? "true" : null, onclick: () => (hooks.show(head.conversation), pick(false)) },
          h("span", { class: "picker-text", text: head.preview || "Chat" }),
          h("time", { text: head.last_at ? new Date(head.last_at).toLocaleDateString(undefined, { day: "numeric", month: "short" }) : "" }),
          head.unread ? h("span", { class: "unread-dot", "aria-label": `${head.unread} unread` }) : null)),
    })
  }

  function render(next) {
    state = next
    const word = statusOf(state)
    const name = state.me.name
    const signed = state.me.assurance === "signed"
    if (status.textContent !== (STATUS[word] ?? "")) status.textContent = STATUS[word] ?? ""
    panel.dataset.status = word
    panel.dataset.identity = state.me.assurance || "none"
    presence.classList.toggle("online", state.agents_present && word === "live")
    presence.lastChild.textContent = word !== "live" ? "Answers arrive right here" : state.agents_present ? "We are here" : "We answer as soon as we are back"
    const as = signed ? `Signed in as ${name || "you"}` : ""
    if (who.dataset.as !== as) {
      who.dataset.as = as
      who.replaceChildren(...(signed ? [icon("verified"), h("span", { text: as })] : []))
    }
    const asks = mustProve(state)
    const done = proving.show(asks)
    if (asks && root.activeElement === input) proving.focus()
    composer.hidden = asks
    if (done) input.focus()
    keeping.render(state)
    thread.render(state, state.current, { visitor: true })
    greeting.hidden = list.childElementCount > 0
    const people = typingIn(state, state.current)
    const line = people.length === 0 ? "" : `${people[0].name || "Somebody"} is typing`
    if (typing.dataset.line !== line) {
      typing.dataset.line = line
      typing.replaceChildren(...(line ? [h("span", { class: "hidden", text: line }), h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), h("span", { "aria-hidden": "true", text: people[0].name || "Agent" })] : []))
    }
    renderPicker()
    see()
    const count = panel.open ? 0 : unreadOf(state)
    unread.hidden = count === 0
    unread.textContent = count > 9 ? "9+" : String(count)
    launcher.setAttribute("aria-label", panel.open ? "Close chat" : count ? `Open chat, ${count} unread` : "Open chat")
  }

  return {
    render,
    see,
    get isOpen() {
      return panel.open
    },
    /** `focus` false: without taking the focus from the page, so not where the panel would cover it. Returns whether it is open. */
    open({ focus = true } = {}) {
      if (panel.open || (!focus && matchMedia(NARROW).matches)) return panel.open
      // Where the panel covers the page it is modal; beside the page it must not hold the focus.
      if (matchMedia(NARROW).matches) panel.showModal()
      else panel.show()
      launcher.setAttribute("aria-expanded", "true")
      grow()
      if (focus && !proving.element.hidden) proving.focus()
      else if (focus) input.focus()
      else root.activeElement?.blur()
      scroller.scrollTop = scroller.scrollHeight
      if (state) render(state)
      return true
    },
    close() {
      if (!panel.open) return
      const inside = panel.contains(root.activeElement)
      panel.close()
      launcher.setAttribute("aria-expanded", "false")
      if (inside) launcher.focus()
      if (state) render(state)
    },
    clearDraft() {
      input.value = ""
      grow()
    },
    say(line) {
      status.textContent = line
    },
  }
}
