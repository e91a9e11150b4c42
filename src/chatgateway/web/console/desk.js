/** The desk: an agent's client, and the three columns that show its picture. */

import { openClient } from "../client/client.js"
import { statusOf } from "../client/view.js"
import { h, icon } from "../widget/dom.js"
import { logOut, ticket } from "./api.js"
import { openInbox } from "./inbox.js"
import { openTalk } from "./talk.js"

const STATUS = { connecting: "Connecting…", waiting: "Connection lost. Trying again…", stopped: "Disconnected.", halted: "This conversation cannot be shown right now." }

/** @param {object} agent {agent, name, csrf, projects} as the login answered */
export function openDesk({ agent, leave }) {
  const url = `${location.origin.replace(/^http/, "ws")}/v1/ws`
  const client = openClient({ url, role: "agent", client: "console/0.1", page: location.origin + location.pathname, ticket: () => ticket(agent.csrf) })
  const world = new AbortController()
  const problem = h("div", { class: "toast", role: "status", hidden: true })
  let project = agent.projects[0]?.id ?? null
  let forget_problem = 0
  let away = false

  function complain(error) {
    problem.textContent = error.message
    problem.hidden = false
    clearTimeout(forget_problem)
    forget_problem = setTimeout(() => (problem.hidden = true), 6_000)
  }

  /** Say a frame and show the agent when it was refused. */
  const order = (frame) => client.order(frame).catch(complain)

  const status = h("p", { class: "desk-status", role: "status" })
  const away_switch = h("button", { type: "button", class: "switch", role: "switch", "aria-checked": "true" }, h("span", { class: "knob" }), h("span", { class: "switch-text", text: "Available" }))
  const out = h("button", { type: "button", class: "quiet", text: "Sign out" })
  const projects = h("select", { class: "projects", "aria-label": "Project", hidden: agent.projects.length < 2 })
  for (const { id, name } of agent.projects) projects.append(h("option", { value: id, text: name }))
  const bar = h("header", { class: "bar" }, h("span", { class: "logo" }, icon("chat")), h("h1", { class: "bar-title", text: agent.projects.length === 1 ? agent.projects[0].name : "Agents" }), projects, status, h("span", { class: "spring" }), away_switch, h("span", { class: "me", text: agent.name }), out)

  const inbox = openInbox({
    agent,
    hooks: {
      show: (conversation) => client.happened({ type: "show", conversation }),
      list: (view) => project && order({ type: "inbox", project, view }),
    },
  })
  const talk = openTalk({ agent, client, order })
  const desk = h("div", { class: "desk" }, bar, inbox.element, talk.element, talk.card, problem)

  function render(state) {
    const word = statusOf(state)
    const line = word === "stopped" ? (state.trouble?.sentence || STATUS.stopped) : (STATUS[word] ?? "")
    if (status.textContent !== line) status.textContent = line
    desk.dataset.status = word
    inbox.render(state, project)
    talk.render(state)
    const unread = Object.values(state.heads).filter((head) => head.unread && head.state !== "resolved").length
    const title = unread ? `(${unread}) Agents · chatgateway` : "Agents · chatgateway"
    if (document.title !== title) document.title = title
    if (state.phase === "stopped") {
      close()
      leave(state.trouble?.reason === "http_401" ? "Please sign in again." : line)
    }
  }

  function close() {
    world.abort()
    // Not from within its own step.
    queueMicrotask(() => client.destroy())
  }

  client.listen((name) => {
    if (name !== "welcome") return
    project ??= client.state.projects[0] ?? null
    if (!client.state.listing && project) order({ type: "inbox", project, view: inbox.view })
    if (away) order({ type: "away", on: true })
  })
  client.watch(render)

  away_switch.addEventListener("click", () => {
    away = !away
    away_switch.setAttribute("aria-checked", String(!away))
    away_switch.lastChild.textContent = away ? "Away" : "Available"
    order({ type: "away", on: away })
  })
  projects.addEventListener("change", () => {
    project = projects.value
    client.happened({ type: "show", conversation: null })
    order({ type: "inbox", project, view: inbox.view })
  })
  out.addEventListener("click", async () => {
    close()
    await logOut(agent.csrf).catch(() => {})
    leave("")
  })
  addEventListener("online", () => client.hurry(), { signal: world.signal })
  document.addEventListener("visibilitychange", () => document.hidden || (talk.see(), client.hurry()), { signal: world.signal })
  document.addEventListener("keydown", (event) => {
    // Alt with the arrows walks through the inbox from anywhere, also while writing.
    if (!event.altKey || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return
    event.preventDefault()
    inbox.walk(event.key === "ArrowDown" ? 1 : -1)
  }, { signal: world.signal })

  render(client.state)
  client.connect()
  return desk
}
