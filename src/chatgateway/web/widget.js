/*
 * The loader: <script async src="https://GATEWAY/widget.js" data-app="app_…"></script>
 *
 * A classic script, so that it knows its own tag. It puts the verbs of window.chatgateway in place at once; calls made
 * before the widget is there wait and keep their order, as do those of an optional stub:
 *
 *     window.chatgateway ||= function () { (chatgateway.q ||= []).push(arguments) }
 */
;(() => {
  "use strict"
  const VERBS = ["signInWithCustomToken", "signOut", "open", "close", "toggle", "on"]
  const tag = document.currentScript
  const before = window.chatgateway
  // Loaded twice: the first one goes on.
  if (before && before.loaded) return
  if (!tag || !tag.dataset.app) {
    console.error('chatgateway: the script tag needs data-app="app_…"; widget.js must not be bundled or loaded as a module.')
    return
  }
  const gateway = new URL(tag.src).origin
  const { app, title } = tag.dataset

  /** @param {string} verb the function form, for stubs: chatgateway("open") */
  function chatgateway(verb, ...rest) {
    if (VERBS.includes(verb) || verb === "destroy") return chatgateway[verb](...rest)
    throw new TypeError(`chatgateway: there is no verb ${String(verb)}; there are ${VERBS.join(", ")} and destroy`)
  }
  chatgateway.loaded = true

  let widget = null
  let destroyed = false
  const mounted = (async () => {
    if (document.readyState === "loading") await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }))
    const { mount } = await import(`${gateway}/web/widget/main.js`)
    if (destroyed) throw new Error("chatgateway was destroyed.")
    widget = mount({ gateway, app, title })
    return widget
  })()
  mounted.catch((error) => destroyed || console.error(`chatgateway: the widget could not be loaded from ${gateway}.`, error))

  for (const verb of VERBS) {
    chatgateway[verb] = (...rest) => {
      // Somebody who only wants it done need not catch; the reason is in the console either way.
      const answer = mounted.then((verbs) => verbs[verb](...rest))
      answer.catch((error) => console.warn(`chatgateway.${verb}: ${error.message}`))
      return answer
    }
  }
  chatgateway.destroy = () => {
    destroyed = true
    if (widget) widget.destroy()
    if (window.chatgateway === chatgateway) delete window.chatgateway
  }

  window.chatgateway = chatgateway
  for (const [verb, ...rest] of (before && before.q) || []) {
    try {
      chatgateway(verb, ...rest)
    } catch (error) {
      console.error(error.message)
    }
  }
})()
