/** The step before the chat, where the app asks for it: an address, then the code that was sent there. It answers in words. */

import { h } from "./dom.js"

const SENTENCES = {
  email_malformed: "This does not look like an email address.",
  code_rejected: "This code is wrong or too old. Try again, or ask for a new one.",
  rate_limited: "Too many codes were asked for. Please wait a few minutes.",
  mail_unconfigured: "Codes cannot be sent right now. Please come back later.",
  disconnected: "There is no connection right now. Please try again in a moment.",
}
const OTHERWISE = "That did not work. Please try again in a moment."

/** A form of one field, which says what is wrong with it. `ask` resolves when the gateway agrees. */
function step({ name, label, button, hint, input: about, ask }) {
  const input = h("input", { class: "proof-input", id: `chatgateway-${name}`, required: true, "aria-describedby": `chatgateway-${name}-hint chatgateway-${name}-said`, ...about })
  const said = h("p", { class: "proof-said", id: `chatgateway-${name}-said`, role: "alert" })
  const line = h("p", { class: "proof-hint", id: `chatgateway-${name}-hint`, text: hint })
  const form = h("form", { class: "proof-form", novalidate: true }, line, h("label", { for: input.id, text: label }), input, said, h("button", { type: "submit", class: "proof-send", text: button }))
  let busy = false

  function show(sentence) {
    said.textContent = sentence
    if (sentence) input.setAttribute("aria-invalid", "true")
    else input.removeAttribute("aria-invalid")
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault()
    const value = input.value.trim()
    if (busy || value === "") return input.focus()
    busy = true
    show("")
    try {
      await ask(value)
    } catch (error) {
      show(SENTENCES[error.code] ?? OTHERWISE)
      input.focus()
    }
    busy = false
  })
  return { form, input, line, show }
}

/** @param {(frame: object) => Promise<void>} prove says `prove_email` with what it is given */
export function openProving(prove) {
  const address = step({
    name: "email",
    label: "Your email address",
    button: "Send me a code",
    hint: "Before you write to us, please confirm your address. We send you a code.",
    input: { type: "email", autocomplete: "email", inputmode: "email", maxlength: "254" },
    async ask(email) {
      await prove({ email })
      code.line.textContent = `We sent a code to ${email}. It holds for 10 minutes.`
      turn(code)
    },
  })
  const code = step({
    name: "code",
    label: "The six digits of the code",
    button: "Confirm",
    hint: "",
    input: { type: "text", autocomplete: "one-time-code", inputmode: "numeric", maxlength: "16" },
    ask: (digits) => prove({ code: digits }),
  })
  code.form.append(h("button", { type: "button", class: "proof-back", text: "Another address, or a new code", onclick: () => turn(address) }))
  const element = h("div", { class: "proof", hidden: true }, address.form, code.form)

  function turn(to, { focus = true } = {}) {
    for (const one of [address, code]) one.form.hidden = one !== to
    to.show("")
    if (to === code) code.input.value = ""
    if (focus) to.input.focus()
  }

  return {
    element,
    /** Show the step, or take it away. Returns whether that took the focus from it. */
    show(wanted) {
      if (element.hidden === !wanted) return false
      const held = element.contains(element.getRootNode().activeElement)
      element.hidden = !wanted
      if (wanted) turn(address, { focus: false })
      return held && !wanted
    },
    focus: () => (address.form.hidden ? code : address).input.focus(),
  }
}
