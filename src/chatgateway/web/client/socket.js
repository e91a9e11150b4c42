/** One WebSocket, reduced to what a client acts on: opened, frames, closed. */

export const SUBPROTOCOL = "chatgateway.v1.json"

/** @returns {{transmit(frame: object): void, close(code: number): void}} */
export function openSocket(url, { opened, received, closed }, Socket = WebSocket) {
  let over = false
  const end = (code) => {
    if (over) return
    over = true
    closed(code)
  }
  let socket
  try {
    socket = new Socket(url, [SUBPROTOCOL])
  } catch {
    // A Content-Security-Policy or a bad address: the same to us as a connection that failed.
    queueMicrotask(() => end(1006))
    return { transmit() {}, close() { over = true } }
  }
  socket.onopen = () => over || opened()
  socket.onmessage = ({ data }) => {
    if (over) return
    let frames
    try {
      frames = JSON.parse(data)
    } catch {
      frames = null
    }
    if (Array.isArray(frames)) received(frames)
  }
  socket.onclose = ({ code }) => end(code)
  return {
    transmit(frame) {
      if (socket.readyState === 1) socket.send(JSON.stringify(frame))
    },
    close(code) {
      over = true
      socket.onopen = socket.onmessage = socket.onclose = null
      socket.close(code)
    },
  }
}
