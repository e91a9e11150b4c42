/**
 * What a close code obliges the client to do. The range is the instruction, so a code that this client has never heard
 * of still gets the right answer (PROTOCOL, close codes).
 */

/** @typedef {"resume" | "start_anew" | "window" | "fresh_token" | "stop"} Action */

export const CODE = {
  internal: 4000,
  draining: 4200,
  key_revoked: 4301,
  token_rejected: 4401,
  identity_erased: 4410,
  signed_out: 4440,
}

/** Servers' restart, as proxies say it (RFC 6455 registry): the same as draining. */
const SERVICE_RESTART = 1012

/** @type {Record<number, Action>} */
const ACTIONS = { 40: "resume", 41: "start_anew", 42: "window", 43: "fresh_token", 44: "stop" }

/** The code to act on: those outside 4000-4999 say nothing about chat, so they count as an internal fault. */
export function normalise(code) {
  if (code === SERVICE_RESTART) return CODE.draining
  return code >= 4000 && code <= 4999 ? code : CODE.internal
}

/** @returns {Action} */
export function actionFor(code) {
  return ACTIONS[Math.floor(normalise(code) / 100)] ?? "resume"
}
