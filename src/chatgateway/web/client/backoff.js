/** How long to wait before the next connection: full jitter, so that a crowd that was cut off together does not return together. */

export const DEFAULT_RETRY = { min_ms: 500, max_ms: 20_000 }

/** Nobody sits through a whole back-off because one gateway restarts. */
const WINDOW_MAX_MS = 5_000

/** Milliseconds in [0, min(max, min * 2^attempt)); `dice` is in [0, 1). */
export function delayMs(attempt, retry, dice) {
  const ceiling = Math.min(retry.max_ms, retry.min_ms * 2 ** Math.min(attempt, 20))
  return Math.floor(dice * ceiling)
}

/** Milliseconds until the return after a draining gateway that named no moment. */
export function windowMs(retry, dice) {
  return Math.floor(dice * Math.min(retry.max_ms, WINDOW_MAX_MS))
}
