/** The widget: a custom element, a client, and the verbs of `window.chatgateway`. */

import { openClient } from "../client/client.js"
import { openStorage } from "../client/storage.js"
import { openPanel } from "./panel.js"
import { styleSheet } from "./style.js"

const VERSION = "widget/0.1"
const ELEMENT = "chatgateway-widget"

if (!customElements.get(ELEMENT)) {
  customElements.define(
    ELEMENT,
    class extends HTMLElement {
      constructor() {
        super()
        this.attachShadow({ mode: "open" }).adoptedStyleSheets = [styleSheet()]
      }
    },
  )
}

/** Events that a page can hear, by the name under which the client tells them. */
const HEARD = {
  welcome: "ready",
  identity: "identity",
  identity_expired: "identity_expired",
  token_failed: "token_failed",
  signed_out: "signed_out",
  message: "message",
  error: "error",
  stopped: "stopped",
}

/**
 * @param {object} given `gateway`: its origin; `app`: the public id; `title`: the panel's heading
 * @returns the verbs of `window.chatgateway`
 */
export function mount({ gateway, app, title = "Chat with us" }) {
  const storage = openStorage(app)
  const url = `${gateway.replace(/^http/, "ws")}/v1/ws`
  const client = openClient({ url, app, storage, client: VERSION, page: location.origin + location.pathname })
  const element = document.createElement(ELEMENT)
  const ears = new Map()
  let destroyed = false

  function emit(name, detail) {
    for (const hear of ears.get(name) ?? []) {
      try {
        hear(detail)
      } catch (error) {
        reportError(error)
      }
    }
  }

  const panel = openPanel(element.shadowRoot, {
    title,
    draft: storage.recall("draft") ?? "",
    hooks: {
      toggle: () => (panel.isOpen ? verbs.close() : verbs.open()),
      close: () => verbs.close(),
      say(text) {
        let taken = true
        const stop = client.listen((name, detail) => {
          if (name !== "refused") return
          taken = false
          panel.say(detail.reason === "too_long" ? "This message is too long." : "Too many messages are waiting to be sent.")
        })
        if (client.state.phase === "idle" || client.state.phase === "stopped") client.connect()
        client.happened({ type: "say", text })
        stop()
        return taken
      },
      order: (frame) => client.order(frame),
      prove: (said) => client.order({ type: "prove_email", ...said }),
      typed: (on) => client.happened({ type: "typed", on }),
      seen: (conversation, seq) => client.happened({ type: "seen", conversation, seq }),
      older: () => client.happened({ type: "older" }),
      retry: (local) => client.happened({ type: "retry", local }),
      discard: (local) => client.happened({ type: "discard", local }),
      show: (conversation) => client.happened({ type: "show", conversation }),
      draft: (text) => storage.remember("draft", text),
    },
  })

  client.watch((state) => panel.render(state))
  client.listen((name, detail) => {
    if (name === "signed_out") panel.clearDraft()
    if (name === "stopped" && detail.sentence) console.error(`chatgateway: ${detail.sentence}`)
    if (Object.hasOwn(HEARD, name)) emit(HEARD[name], detail)
  })

  function returned() {
    panel.see()
    client.hurry()
    if (panel.isOpen) client.happened({ type: "look" })
  }

  const world = new AbortController()
  addEventListener("online", () => client.hurry(), { signal: world.signal })
  document.addEventListener("visibilitychange", () => document.hidden || returned(), { signal: world.signal })

  const verbs = {
    /** A token, a promise of one, or a function (it may be async) that fetches a fresh one: only the last heals by itself. */
    async signInWithCustomToken(given) {
      if (!["string", "function"].includes(typeof given) && typeof given?.then !== "function") {
        throw new TypeError("signInWithCustomToken takes a token, a promise of one, or a function that fetches one.")
      }
      const me = await client.signIn(given)
      return { user: me.user, name: me.name, identity: me.assurance }
    },
    signOut: ({ everywhere = false } = {}) => client.signOut({ everywhere: Boolean(everywhere) }),
    open({ focus = true } = {}) {
      if (destroyed || panel.isOpen || !panel.open({ focus })) return
      client.connect()
      client.happened({ type: "look" })
      storage.remember("open", "yes")
      emit("open", {})
    },
    close() {
      if (!panel.isOpen) return
      panel.close()
      storage.remember("open", null)
      emit("close", {})
    },
    toggle: () => (panel.isOpen ? verbs.close() : verbs.open()),
    /** Returns how to stop hearing. */
    on(name, hear) {
      if (!ears.has(name)) ears.set(name, new Set())
      ears.get(name).add(hear)
      return () => ears.get(name).delete(hear)
    },
    destroy() {
      destroyed = true
      world.abort()
      client.destroy()
      element.remove()
      ears.clear()
    },
  }

  document.body.append(element)
  panel.render(client.state)
  // A panel that was open on the page before stays open, without taking the focus from the page.
  if (storage.recall("open")) verbs.open({ focus: false })
  return verbs
}
