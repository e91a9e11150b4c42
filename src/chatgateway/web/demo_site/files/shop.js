/* What a site adds to its pages: a stub, so that calls made before the widget has loaded are kept, and three lines. */
"use strict"

window.chatgateway ||= function () {
  ;(chatgateway.q ||= []).push(arguments)
}

/** The site's own endpoint knows by its own cookie who is logged in, and signs that. Called again whenever a fresh token is needed. */
async function chatToken() {
  const response = await fetch("/chat-token", { method: "POST" })
  if (response.status === 401) return null
  if (!response.ok) throw new Error((await response.json()).error)
  return (await response.json()).token
}

document.addEventListener("DOMContentLoaded", () => {
  if (document.body.dataset.signedIn === "yes") chatgateway("signInWithCustomToken", chatToken)
  document.getElementById("logout").addEventListener("submit", async (event) => {
    event.preventDefault()
    // First the chat, so that nothing of it is left in this browser; then the shop, whatever becomes of the chat.
    const patience = new Promise((done) => setTimeout(done, 2000))
    await Promise.race([chatgateway("signOut"), patience]).catch(() => {})
    event.target.submit()
  })
})
