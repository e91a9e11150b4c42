/** The agent's side of the HTTP API: a cookie that scripts cannot read, and a CSRF token for everything that changes something. */

export class Refused extends Error {
  constructor(status, { code = "", sentence = "" } = {}) {
    super(sentence || "The gateway did not answer as expected.")
    this.status = status
    this.code = code || `http_${status}`
    /** Nobody is signed in: a new login is the only remedy. */
    this.final = status === 401 || status === 403
  }
}

async function ask(method, path, { body, csrf } = {}) {
  const headers = {}
  if (body !== undefined) headers["Content-Type"] = "application/json"
  if (csrf) headers["X-CSRF-Token"] = csrf
  const response = await fetch(path, { method, headers, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body) })
  let answer = {}
  try {
    answer = await response.json()
  } catch {
    // No JSON: a proxy speaks, or there is nothing to say.
  }
  if (!response.ok) throw new Refused(response.status, answer.error)
  return answer
}

/** Who is signed in here, or null. */
export async function whoAmI() {
  try {
    return await ask("GET", "/v1/agents/me")
  } catch (error) {
    if (error.status === 401) return null
    throw error
  }
}

/** `{name, password}` or `{link}`. Returns {agent, name, csrf, projects}. */
export const logIn = (by) => ask("POST", "/v1/agents/login", { body: by })

/** A single-use ticket for the first frame of a socket. */
export const ticket = async (csrf) => (await ask("POST", "/v1/agents/ticket", { body: {}, csrf })).ticket

export const logOut = (csrf) => ask("POST", "/v1/agents/logout", { body: {}, csrf })
