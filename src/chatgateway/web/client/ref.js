/** Names of messages: UUIDv7 (RFC 9562 section 5.7) minted by the store's clock, in order within one client. */

/**
 * @param {number} at_ms the store's clock
 * @param {number} count grows with every ref of this client; its low 12 bits keep refs of one millisecond in order
 * @param {string} entropy at least 16 hexadecimal digits of chance
 */
export function mintRef(at_ms, count, entropy) {
  const time = Math.max(0, Math.floor(at_ms)).toString(16).padStart(12, "0").slice(-12)
  const order = (count & 0xfff).toString(16).padStart(3, "0")
  const variant = (8 | (parseInt(entropy[0], 16) & 3)).toString(16)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${order}-${variant}${entropy.slice(1, 4)}-${entropy.slice(4, 16)}`
}
