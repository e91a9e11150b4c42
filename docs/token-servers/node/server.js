/* A token server: it knows who is logged in on your site, and signs that for the chat.
 *
 *     npm ci && CHAT_SECRET=cgs_… DEMO_PASSWORD=… node server.js
 *
 * One file, to be read and taken apart: what is yours to replace is PEOPLE and authenticate(). The secret comes from
 * the environment and never leaves this process. */
"use strict"

const { randomBytes, timingSafeEqual } = require("node:crypto")
const http = require("node:http")
const jwt = require("jsonwebtoken")

const BODY_BYTES_MAX = 4096
const SESSION_MS = 8 * 3600 * 1000

/** Stands for your table of users. The id is what never changes. */
const PEOPLE = new Map([
  ["ada@shop.example", { id: "42", first: "Ada", last: "Lovelace", verified: true }],
  ["zoë@shop.example", { id: "43", first: "Zoë", last: "O'Brien-Łoś", verified: false }],
])

/** Stands for your site's own sessions: a random id -> who, and until when. */
const sessions = new Map()

/** Stands for your own login. */
function authenticate(email, password) {
  const expected = Buffer.from(process.env.DEMO_PASSWORD ?? "")
  const given = Buffer.from(password)
  const good = expected.length > 0 && given.length === expected.length && timingSafeEqual(given, expected)
  return good && PEOPLE.has(email)
}

function setting(name) {
  const value = process.env[name]
  if (!value) throw new Error(`set ${name} in the environment`)
  return value
}

/** `iat` is set by the library. */
const signed = (claims, options) => jwt.sign(claims, setting("CHAT_SECRET"), { algorithm: "HS256", ...options })

/** The gateway's own profile. */
function canonical(email) {
  const { id, first, last, verified } = PEOPLE.get(email)
  return signed({ external_id: id, name: `${first} ${last}`, email, email_verified: verified }, { expiresIn: "10m" })
}

/** RS256: the gateway has the public half of the key only. */
function plain(email) {
  const { id, first, last, verified } = PEOPLE.get(email)
  const customer = {
    fullName: `${first} ${last}`,
    shortName: first,
    email: { email, isVerified: verified },
    externalId: id,
  }
  return jwt.sign(customer, setting("PRIVATE_KEY"), { algorithm: "RS256", expiresIn: "1h" })
}

/** At most ten minutes. */
function tiledesk(email) {
  const { id, first, last } = PEOPLE.get(email)
  return signed({ name: `${first} ${last}`, email, external_id: id }, { expiresIn: "10m" })
}

function pingstreams(email) {
  const { id, first, last } = PEOPLE.get(email)
  const project = setting("CHAT_PROJECT")
  return signed(
    { _id: `${project}_${id}`, firstname: first, lastname: last, email },
    { subject: "userexternal", audience: `https://chat.example/projects/${project}`, expiresIn: "10m" },
  )
}

/** On demand: the person is created when the token is first used. `exp` is not asked for, and wise. */
function deskpro(email) {
  const { first, last } = PEOPLE.get(email)
  return signed({ email, first_name: first, last_name: last }, { expiresIn: "10m" })
}

/** For whoever is logged in: an address, and what it answers (a text, or an object as JSON). */
const ANSWERS = {
  "/chat-token": (email) => canonical(email),
  "/api/get-customer-jwt": (email) => ({ plain_customer_jwt: plain(email) }),
  "/tiledesk-token": (email) => ({ token: tiledesk(email) }),
  "/deskpro-token": (email) => ({ jwt: deskpro(email) }),
}

async function body(request) {
  const parts = []
  let bytes = 0
  for await (const part of request) {
    bytes += part.length
    if (bytes > BODY_BYTES_MAX) return {}
    parts.push(part)
  }
  try {
    const said = JSON.parse(Buffer.concat(parts).toString() || "{}")
    return said !== null && typeof said === "object" ? said : {}
  } catch {
    return {}
  }
}

const cookie = (request) => /(?:^|;\s*)session=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1] ?? ""

function who(request) {
  const session = sessions.get(cookie(request))
  return session !== undefined && Date.now() < session.until ? session.email : undefined
}

function answer(response, status, said, more = {}) {
  const isText = typeof said === "string"
  response.writeHead(status, {
    "Content-Type": `${isText ? "text/plain" : "application/json"}; charset=utf-8`,
    "Cache-Control": "no-store",
    Connection: "close",
    ...more,
  })
  response.end(isText ? said : JSON.stringify(said))
}

async function handle(request, response) {
  const path = request.url.split("?")[0].replace(/\/+$/, "")
  const said = await body(request)
  if (request.method !== "POST") return answer(response, 405, { error: "POST" })
  if (path === "/login" || path === "/auth") {
    const { email, password } = said
    if (typeof email !== "string" || typeof password !== "string" || !authenticate(email, password)) {
      return answer(response, 401, { error: "email or password is wrong" })
    }
    if (path === "/auth") return answer(response, 200, { token: pingstreams(email) })
    const session = randomBytes(32).toString("base64url")
    sessions.set(session, { email, until: Date.now() + SESSION_MS })
    return answer(response, 200, {}, { "Set-Cookie": `session=${session}; Path=/; HttpOnly; SameSite=Lax` })
  }
  if (path === "/logout") {
    sessions.delete(cookie(request))
    return answer(response, 200, {}, { "Set-Cookie": "session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax" })
  }
  if (!Object.hasOwn(ANSWERS, path)) return answer(response, 404, { error: "not found" })
  const email = who(request)
  return email === undefined
    ? answer(response, 401, { error: "log in first" })
    : answer(response, 200, ANSWERS[path](email))
}

const server = http.createServer((request, response) => {
  handle(request, response).catch((error) => {
    // What is missing is for whoever runs this, not for a visitor.
    console.error(error.message)
    if (!response.headersSent) answer(response, 500, { error: "not configured" })
  })
})
server.listen(Number(process.env.PORT ?? 8090), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`)
})
