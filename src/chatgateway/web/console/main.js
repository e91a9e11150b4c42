/** The agent page: sign in, then work at the desk. */

import { h, icon } from "../widget/dom.js"
import { logIn, whoAmI } from "./api.js"
import { openDesk } from "./desk.js"

/** A one-time link carries its secret in the fragment, which no server and no proxy sees; it leaves the address bar at once. */
function takeLink() {
  const link = new URLSearchParams(location.hash.slice(1)).get("login")
  if (location.hash) history.replaceState(null, "", location.pathname + location.search)
  return link
}

function showLogin(problem = "") {
  const name = h("input", { name: "name", id: "name", autocomplete: "username", required: true })
  const password = h("input", { name: "password", id: "password", type: "password", autocomplete: "current-password", required: true })
  const error = h("p", { class: "problem", role: "alert", text: problem })
  const button = h("button", { class: "primary", type: "submit", text: "Sign in" })
  const form = h("form", { class: "login-card" }, h("span", { class: "logo" }, icon("chat")), h("h1", { text: "Agents" }), h("p", { class: "soft", text: "Sign in to answer your visitors." }), h("label", { for: "name", text: "Name" }), name, h("label", { for: "password", text: "Password" }), password, error, button)
  form.addEventListener("submit", async (event) => {
    event.preventDefault()
    button.disabled = true
    error.textContent = ""
    try {
      start(await logIn({ name: name.value, password: password.value }))
    } catch (failure) {
      error.textContent = failure.message
      button.disabled = false
      password.select()
    }
  })
  document.body.replaceChildren(h("main", { class: "login" }, form))
  name.focus()
}

function start(agent) {
  remember(true)
  const leave = (why) => {
    remember(false)
    showLogin(why)
  }
  const desk = openDesk({ agent, leave })
  document.body.replaceChildren(desk)
}

/** Remembered so that the gateway is not asked in vain: a refused question is an error in the browser's console. */
const KNOWN = "chatgateway:agent"

function remember(on) {
  try {
    if (on) localStorage.setItem(KNOWN, "yes")
    else localStorage.removeItem(KNOWN)
  } catch {
    // Storage is blocked: the next visit begins with the login form.
  }
}

function known() {
  try {
    return localStorage.getItem(KNOWN) !== null
  } catch {
    return false
  }
}

async function begin() {
  const link = takeLink()
  try {
    if (link) return start(await logIn({ link }))
    const agent = known() ? await whoAmI() : null
    return agent ? start(agent) : showLogin()
  } catch (error) {
    return showLogin(error.message)
  }
}

addEventListener("hashchange", () => location.hash.includes("login=") && begin())
begin()
