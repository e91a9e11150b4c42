/**
 * The client's side of the wire, without the browser: (state, event) -> [state, effects].
 *
 *     idle --connect--> fetching? --> connecting --opened--> greeting --welcome--> live
 *                          ^                                                        |
 *       stopped <--44xx-- waiting <------------------ any close --------------------+
 *
 * Every event carries `now` (ms of one monotonic clock), `dice` in [0, 1) and `entropy` (16 hexadecimal digits): tests
 * choose them. Effects are orders to the world: `open_socket`, `close_socket`, `transmit`, `wake`, `fetch_token`, `keep`,
 * `wipe`, `settle`, `settle_sign_in`, `tell`.
 */

import { closed, connect, disconnect, opened, signIn, signOut, tokenFailed, tokenFetched } from "./connecting.js"
import { look, received, tick } from "./hearing.js"
import { discard, order, older, retry, say, seen, show, typed } from "./saying.js"

export { initialState } from "./state.js"

const STEPS = {
  connect,
  due: connect,
  hurry: connect,
  disconnect,
  opened,
  received,
  closed,
  tick,
  look,
  sign_in: signIn,
  sign_out: signOut,
  token: tokenFetched,
  token_failed: tokenFailed,
  say,
  retry,
  discard,
  seen,
  typed,
  older,
  show,
  order,
}

/** @returns {[object, object[]]} the next state, and what is to be done, in order */
export function step(state, event) {
  const next = STEPS[event.type]
  if (!next) throw new TypeError(`no such event: ${event.type}`)
  return next(state, event)
}
