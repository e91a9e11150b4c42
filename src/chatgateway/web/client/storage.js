/**
 * What a browser keeps. The anonymous credential is shared by all tabs; the session token of somebody who signed in
 * belongs to the tab, so that a shared computer forgets. Where storage is blocked, this page's memory serves instead.
 */

const PREFIX = "chatgateway:"

function guarded(area) {
  const memory = new Map()
  return {
    get(key) {
      try {
        return area().getItem(key) ?? memory.get(key) ?? null
      } catch {
        return memory.get(key) ?? null
      }
    },
    set(key, value) {
      memory.set(key, value)
      try {
        area().setItem(key, value)
      } catch {
        // Blocked or full: the memory has it.
      }
    },
    remove(key) {
      memory.delete(key)
      try {
        area().removeItem(key)
      } catch {
        // Blocked: there is nothing in it either.
      }
    },
  }
}

/** Areas are functions, because even naming `localStorage` throws where it is blocked. */
export function openStorage(app, { local = () => globalThis.localStorage, tab = () => globalThis.sessionStorage } = {}) {
  const kept = guarded(local)
  const passing = guarded(tab)
  const key = PREFIX + app
  return {
    anonymous: () => kept.get(key),
    signed: () => passing.get(key),
    keep(which, token) {
      const area = which === "anonymous" ? kept : passing
      if (token === null) area.remove(key)
      else area.set(key, token)
    },
    /** Small facts of this tab: was the panel open, what was half written. */
    recall: (name) => passing.get(`${key}:${name}`),
    remember(name, value) {
      if (value === null || value === "") passing.remove(`${key}:${name}`)
      else passing.set(`${key}:${name}`, value)
    },
    wipe() {
      kept.remove(key)
      passing.remove(key)
      passing.remove(`${key}:draft`)
    },
  }
}
