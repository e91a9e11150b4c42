/** Lets a session live: feeds it events, carries its effects out. The only file here that knows clock, chance and timers. */

import { initialState, step } from "./session.js"
import { openSocket } from "./socket.js"

const TICK_MS = 1_000
const TOKEN_WAIT_MS = 30_000
/** Another tab that cannot connect must not keep this one from trying. */
const LOCK_WAIT_MS = 5_000

/** Why a sign-in, or any other command, failed. `code` is stable; the message is a sentence for the developer. */
export class ChatGatewayError extends Error {
  constructor({ code, reason, sentence, detail }) {
    super(sentence || reason || String(code))
    this.name = "ChatGatewayError"
    this.code = reason || code
    this.detail = detail ?? ""
  }
}

function entropy() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("")
}

/**
 * @param {object} given `url` of the socket, and what initialState takes
 * @param {object} given.storage as openStorage gives; null for an agent
 * @param {() => Promise<string>} given.ticket an agent's source of tickets
 */
export function openClient({ url, storage = null, ticket = null, ...about }) {
  let state = initialState({ ...about, anonymous: storage?.anonymous() ?? null, signed: storage?.signed() ?? null })
  let socket = null
  let waking = null
  let ticking = null
  let source = ticket
  /** Whose sign-in is being judged, and the one that is about to take its place. */
  let candidate = null
  let arriving = null
  let release = null
  let settle_count = 0
  const settling = new Map()
  const watchers = new Set()
  const listeners = new Set()
  let queue = null

  function happened(event) {
    const now = performance.timeOrigin + performance.now()
    const full = { now, dice: Math.random(), entropy: entropy(), ...event }
    // An effect may cause the next event at once: they are taken in order, never one inside the other.
    if (queue) return queue.push(full)
    queue = [full]
    const before = state
    try {
      while (queue.length > 0) {
        const [next, effects] = step(state, queue.shift())
        state = next
        for (const effect of effects) EFFECTS[effect.do](effect)
      }
    } finally {
      queue = null
    }
    if (state !== before) for (const watch of watchers) watch(state)
  }

  const EFFECTS = {
    open_socket: ({ first_visit }) => (first_visit ? mintAlone(connect) : connect()),
    close_socket: ({ code }) => {
      socket?.close(code)
      ended()
    },
    transmit: ({ frames }) => frames.forEach((frame) => socket?.transmit(frame)),
    wake: ({ in_ms }) => {
      clearTimeout(waking)
      waking = setTimeout(() => happened({ type: "due" }), in_ms)
    },
    cancel_wake: () => clearTimeout(waking),
    fetch_token: fetchToken,
    keep: ({ which, token }) => storage?.keep(which, token),
    wipe: () => storage?.wipe(),
    settle: ({ id, error }) => {
      const waiting = settling.get(id)
      settling.delete(id)
      if (error) waiting?.reject(new ChatGatewayError(error))
      else waiting?.resolve()
    },
    settle_sign_in: ({ error }) => {
      const asked = candidate
      candidate = null
      if (!asked) return
      if (error) return asked.reject(new ChatGatewayError(error))
      source = asked.fetch
      asked.resolve({ ...state.me })
    },
    tell: ({ name, detail }) => {
      if (name === "welcome") release?.()
      for (const listen of listeners) listen(name, detail)
    },
  }

  function connect() {
    // The lock may have come after a sign-out or the end of the page.
    if (state.phase !== "connecting") return release?.()
    socket = openSocket(url, {
      opened: () => happened({ type: "opened", anonymous: storage?.anonymous() ?? null }),
      received: (frames) => happened({ type: "received", frames }),
      closed: (code) => {
        ended()
        happened({ type: "closed", code })
      },
    })
    ticking ??= setInterval(() => happened({ type: "tick" }), TICK_MS)
  }

  function ended() {
    socket = null
    release?.()
    clearInterval(ticking)
    ticking = null
  }

  /** Tabs that visit for the first time at the same moment share one identity: one mints it, the others wait and find it. */
  function mintAlone(then) {
    if (!globalThis.navigator?.locks || !storage) return then()
    const alone = () => {
      if (storage.anonymous() !== null) return void then()
      return new Promise((resolve) => {
        release = () => {
          release = null
          resolve()
        }
        then()
      })
    }
    navigator.locks.request(`chatgateway:${about.app}`, { signal: AbortSignal.timeout(LOCK_WAIT_MS) }, alone).catch(then)
  }

  async function fetchToken({ id, candidate: for_candidate }) {
    if (for_candidate && arriving) [candidate, arriving] = [arriving, null]
    const fetch_it = for_candidate ? candidate.fetch : source
    let timer
    try {
      const late = new Promise((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error("The page's token function gave no answer within 30 s.")), TOKEN_WAIT_MS)
      })
      const token = await Promise.race([fetch_it(), late])
      if (typeof token === "string" && token.replace(/^JWT /, "").startsWith("cgs_")) {
        console.error("chatgateway: this is a signing secret (cgs_…), not a token. It was not sent. Regenerate it: it has been in a browser.")
      }
      happened({ type: "token", id, token })
    } catch (error) {
      happened({ type: "token_failed", id, reason: error?.code ?? "token_function_failed", sentence: String(error?.message ?? error), final: Boolean(error?.final) })
    } finally {
      clearTimeout(timer)
    }
  }

  function asking(event) {
    const settle = ++settle_count
    const promise = new Promise((resolve, reject) => settling.set(settle, { resolve, reject }))
    happened({ ...event, settle })
    return promise
  }

  return {
    get state() {
      return state
    },
    happened,
    connect: () => happened({ type: "connect" }),
    hurry: () => happened({ type: "hurry" }),
    /** `given`: a token, a promise of one, or a function that gives either. Resolves to who the gateway says it is. */
    signIn(given) {
      const refreshable = typeof given === "function"
      return new Promise((resolve, reject) => {
        arriving = { fetch: refreshable ? async () => given() : async () => given, resolve, reject }
        happened({ type: "sign_in", source: refreshable ? "function" : "string" })
      })
    },
    signOut({ everywhere = false } = {}) {
      source = ticket
      return asking({ type: "sign_out", everywhere })
    },
    order: (frame) => asking({ type: "order", frame }),
    /** Called with every new picture. Returns how to stop. */
    watch(watcher) {
      watchers.add(watcher)
      return () => watchers.delete(watcher)
    },
    /** Called with (name, detail) of what happened: "message", "identity", "error", … */
    listen(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    destroy() {
      happened({ type: "disconnect" })
      watchers.clear()
      listeners.clear()
    },
  }
}
