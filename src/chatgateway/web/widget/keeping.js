/** The question after signing in: keep the chat that was begun before? It stays on screen while it is asked. */

import { h } from "./dom.js"

const FAILED = {
  adoption_refused: "This chat cannot be kept. You can go on writing here, or begin a new one.",
  disconnected: "There is no connection right now. Please try again in a moment.",
}
const OTHERWISE = "That did not work. Please try again in a moment."

/** @param {(frame: object) => Promise<void>} order says `adopt` or `unadopt` */
export function openKeeping(order) {
  const line = h("p", { class: "keeping-line", id: "chatgateway-keeping" })
  const said = h("p", { class: "proof-said", role: "alert" })
  const yes = h("button", { type: "button", class: "keeping-yes", "aria-describedby": "chatgateway-keeping" })
  const no = h("button", { type: "button", class: "proof-back", text: "Not now" })
  const element = h("div", { class: "keeping", role: "group", "aria-labelledby": "chatgateway-keeping", hidden: true }, line, said, h("div", { class: "keeping-buttons" }, yes, no))
  let asked = ""
  let passed_over = ""
  let busy = false

  async function say(frame) {
    if (busy) return
    busy = true
    said.textContent = ""
    try {
      await order(frame)
    } catch (error) {
      said.textContent = FAILED[error.code] ?? OTHERWISE
    }
    busy = false
  }

  yes.addEventListener("click", () => say(asked.startsWith("kept ") ? { type: "unadopt", receipt: asked.slice(5) } : { type: "adopt" }))
  no.addEventListener("click", () => {
    passed_over = asked
    element.hidden = true
  })

  return {
    element,
    render({ adoptable, receipt }) {
      const wanted = receipt ? `kept ${receipt}` : adoptable.length ? `ask ${adoptable.join(" ")}` : ""
      if (wanted !== asked) {
        asked = wanted
        said.textContent = ""
        line.textContent = receipt ? "This chat is in your account now." : "You began this chat before you signed in. Keep it in your account?"
        yes.textContent = receipt ? "Undo" : "Keep it"
        no.textContent = receipt ? "All right" : "Not now"
      }
      element.hidden = wanted === "" || wanted === passed_over
    },
  }
}
