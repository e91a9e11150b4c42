/** How the widget looks: one constructed style sheet, so that no site needs 'unsafe-inline'. Sites set --chatgateway-accent. */

export const CSS = `
:host { all: initial; position: fixed; inset-block-end: 0; inset-inline-end: 0; z-index: 2147483000; color-scheme: light;
  --accent: var(--chatgateway-accent, #3d3bdb); --on-accent: var(--chatgateway-on-accent, #fff);
  --ground: #fff; --raised: #f4f4f7; --line: #e6e6ec; --ink: #16161d; --soft: #646473; --good: #12875a; --bad: #c2304a; --warn-ground: #fff6df; --warn-ink: #6b4e00;
  --shadow: 0 1px 2px rgb(16 16 40 / .06), 0 8px 20px rgb(16 16 40 / .10), 0 24px 64px rgb(16 16 40 / .18);
  font: 15px/1.45 -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", Arial, system-ui, sans-serif; -webkit-font-smoothing: antialiased; }
@media (prefers-color-scheme: dark) { :host { color-scheme: dark; --accent: var(--chatgateway-accent, #7a78ff); --on-accent: var(--chatgateway-on-accent, #0e0e16);
  --ground: #16161c; --raised: #23232c; --line: #30303b; --ink: #f2f2f6; --soft: #a2a2b2; --good: #4cc38a; --bad: #ff7b8e; --warn-ground: #3a2f10; --warn-ink: #ffdf9a;
  --shadow: 0 1px 2px rgb(0 0 0 / .4), 0 24px 64px rgb(0 0 0 / .55); } }
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
.hidden { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
button, textarea { font: inherit; color: inherit; }
button { cursor: pointer; border: 0; background: none; padding: 0; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.icon { width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; flex: none; display: block; }

.launcher { position: fixed; inset-block-end: 24px; inset-inline-end: 24px; width: 58px; height: 58px; border-radius: 50%; background: var(--accent); color: var(--on-accent);
  box-shadow: 0 2px 6px rgb(16 16 40 / .18), 0 10px 28px rgb(16 16 40 / .26); display: grid; place-items: center; transition: transform .18s cubic-bezier(.2,.8,.3,1.2), box-shadow .18s; }
.launcher:hover { transform: translateY(-2px) scale(1.03); }
.launcher:active { transform: scale(.96); }
.launcher:focus-visible { outline-offset: 4px; }
.launcher-icon { grid-area: 1 / 1; transition: opacity .16s, transform .2s; }
.launcher .icon { width: 26px; height: 26px; }
.launcher .shut, .launcher[aria-expanded="true"] .open { opacity: 0; transform: rotate(-30deg) scale(.7); }
.launcher[aria-expanded="true"] .shut { opacity: 1; transform: none; }
.unread { position: absolute; inset-block-start: -3px; inset-inline-end: -3px; min-width: 22px; height: 22px; padding: 0 6px; border-radius: 11px; background: #e5354f; color: #fff; font-size: 12px; font-weight: 650; line-height: 22px; text-align: center; box-shadow: 0 0 0 2px var(--ground); }

.panel { position: fixed; inset: auto; inset-block-end: 98px; inset-inline-end: 24px; width: 392px; height: min(640px, calc(100dvh - 122px)); max-width: none; max-height: none; margin: 0; padding: 0; border: 1px solid var(--line); border-radius: 20px; overflow: hidden; background: var(--ground); color: var(--ink); box-shadow: var(--shadow); }
.panel[open] { display: flex; flex-direction: column; animation: rise .22s cubic-bezier(.2,.8,.3,1); transform-origin: 100% 100%; }
@keyframes rise { from { opacity: 0; transform: translateY(12px) scale(.98); } }
.header { display: flex; align-items: center; gap: 4px; padding: 16px 12px 14px 20px; border-block-end: 1px solid var(--line); }
.header-text { flex: 1; min-width: 0; }
.title { margin: 0; font-size: 17px; font-weight: 660; letter-spacing: -.012em; line-height: 1.25; }
.presence { margin: 3px 0 0; display: flex; align-items: center; gap: 7px; font-size: 13px; color: var(--soft); }
.dot { width: 8px; height: 8px; border-radius: 50%; background: var(--soft); opacity: .55; }
.presence.online .dot { background: var(--good); opacity: 1; box-shadow: 0 0 0 3px color-mix(in srgb, var(--good) 20%, transparent); }
.round { width: 44px; height: 44px; border-radius: 50%; display: grid; place-items: center; color: var(--soft); transition: background .14s, color .14s; }
.round:hover { background: var(--raised); color: var(--ink); }
.who { margin: 0; display: flex; align-items: center; gap: 7px; padding: 8px 20px; font-size: 13px; font-weight: 550; color: var(--good); background: color-mix(in srgb, var(--good) 9%, var(--ground)); }
.who:empty { display: none; }
.who .icon { width: 16px; height: 16px; }
.status { padding: 9px 20px; font-size: 13px; background: var(--raised); color: var(--soft); }
.status:empty { display: none; }
.panel[data-status="identity_expired"] .status, .panel[data-status="stopped"] .status, .panel[data-status="confirming"] .status { background: var(--warn-ground); color: var(--warn-ink); }

.picker { list-style: none; margin: 0; padding: 6px; border-block-end: 1px solid var(--line); max-height: 50%; overflow: auto; }
.picker-row { width: 100%; min-height: 48px; padding: 8px 14px; border-radius: 12px; display: flex; align-items: center; gap: 10px; text-align: start; }
.picker-row:hover, .picker-row[aria-current] { background: var(--raised); }
.picker-text { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.picker-row time { color: var(--soft); font-size: 12.5px; }
.unread-dot { width: 9px; height: 9px; border-radius: 50%; background: var(--accent); }

.scroller { flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain; padding: 18px 16px 8px; display: flex; flex-direction: column; scrollbar-width: thin; scrollbar-color: var(--line) transparent; }
.scroller:focus-visible { outline-offset: -3px; }
.greeting { margin: auto 12px; text-align: center; color: var(--soft); }
.greeting p { margin: 0; text-wrap: balance; }
.greeting .greeting-title { font-size: 20px; font-weight: 660; letter-spacing: -.015em; color: var(--ink); margin-block-end: 6px; }
.thread { list-style: none; margin: auto 0 0; padding: 0; display: flex; flex-direction: column; }
.entry { display: flex; flex-direction: column; align-items: flex-start; max-width: 84%; margin-block-start: 3px; }
.entry.first { margin-block-start: 14px; }
.entry.mine { align-self: flex-end; align-items: flex-end; }
.author { display: flex; align-items: center; gap: 6px; font-size: 12.5px; color: var(--soft); margin: 0 4px 4px; }
.author-name { font-weight: 580; }
.bubble { padding: 9px 14px; border-radius: 18px; background: var(--raised); white-space: pre-wrap; overflow-wrap: anywhere; position: relative; }
.theirs:not(.first) .bubble { border-start-start-radius: 6px; }
.theirs:not(.last) .bubble { border-end-start-radius: 6px; }
.mine .bubble { background: var(--accent); color: var(--on-accent); }
.mine:not(.first) .bubble { border-start-end-radius: 6px; }
.mine:not(.last) .bubble { border-end-end-radius: 6px; }
.bubble a { color: inherit; text-underline-offset: 2px; }
.own-mark { display: inline-block; vertical-align: -2px; margin-inline-start: 7px; opacity: .78; }
.own-mark .icon { width: 14px; height: 14px; stroke-width: 2.1; }
.echo .bubble { opacity: .82; }
.foot { display: flex; align-items: center; gap: 8px; min-height: 18px; margin: 3px 6px 0; font-size: 12px; color: var(--soft); }
.state { display: inline-flex; align-items: center; gap: 3px; }
.state .icon { width: 14px; height: 14px; stroke-width: 2; }
.state.seen { color: var(--accent); }
.state.failed { color: var(--bad); font-weight: 550; }
.link { color: var(--accent); font-weight: 580; min-height: 24px; padding: 0 4px; border-radius: 6px; }
.link:hover { text-decoration: underline; }
.divider { align-self: stretch; display: flex; align-items: center; justify-content: center; gap: 6px; margin: 16px 0 4px; font-size: 12.5px; color: var(--soft); text-align: center; }
.divider::before, .divider::after { content: ""; flex: 1; height: 1px; background: var(--line); margin-inline: 6px; }
.divider.day:first-child { margin-block-start: 0; }
.divider .icon { width: 15px; height: 15px; }
.divider.signed_in { color: var(--good); font-weight: 550; }
.typing { min-height: 22px; padding: 0 20px; display: flex; align-items: center; gap: 8px; font-size: 12.5px; color: var(--soft); }
.dots { display: inline-flex; gap: 3px; }
.dots i { width: 6px; height: 6px; border-radius: 50%; background: currentColor; animation: hop 1.2s infinite; }
.dots i:nth-child(2) { animation-delay: .15s; } .dots i:nth-child(3) { animation-delay: .3s; }
@keyframes hop { 0%, 60%, 100% { transform: none; opacity: .45; } 30% { transform: translateY(-3px); opacity: 1; } }

.composer { display: flex; align-items: flex-end; gap: 8px; margin: 4px 14px 14px; padding: 4px 4px 4px 16px; border: 1px solid var(--line); border-radius: 24px; background: var(--ground); transition: border-color .14s, box-shadow .14s; }
.composer:focus-within { border-color: var(--accent); box-shadow: 0 0 0 3px color-mix(in srgb, var(--accent) 18%, transparent); }
.input { flex: 1; min-width: 0; resize: none; border: 0; outline: 0; background: none; padding: 10px 0; max-height: 132px; line-height: 1.45; font-size: 15px; }
.input::placeholder { color: var(--soft); opacity: 1; }
.send { width: 44px; height: 44px; flex: none; border-radius: 50%; display: grid; place-items: center; background: var(--accent); color: var(--on-accent); transition: transform .14s, opacity .14s, background .14s; }
.send:disabled { background: var(--raised); color: var(--soft); cursor: default; }
.send:not(:disabled):active { transform: scale(.93); }
.proof { padding: 4px 20px 20px; }
.proof-form { display: grid; gap: 8px; }
.proof-hint { margin: 0 0 4px; color: var(--soft); font-size: 14px; overflow-wrap: anywhere; }
.proof-form label { font-size: 13px; font-weight: 550; }
.proof-input { font: inherit; color: inherit; width: 100%; height: 44px; padding: 0 14px; border: 1px solid var(--line); border-radius: 12px; background: var(--ground); }
.proof-input[aria-invalid] { border-color: var(--bad); }
.proof-said { margin: 0; font-size: 13px; color: var(--bad); }
.proof-said:empty { display: none; }
.proof-send { height: 44px; border-radius: 12px; background: var(--accent); color: var(--on-accent); font-weight: 600; }
.proof-back { min-height: 44px; color: var(--soft); font-size: 13px; text-decoration: underline; }
.keeping { margin: 0 12px 8px; padding: 10px 14px; border: 1px solid var(--line); border-radius: 12px; font-size: 14px; }
.keeping[hidden] { display: none; }
.keeping-line { margin: 0; }
.keeping-buttons { display: flex; gap: 16px; align-items: center; }
.keeping-yes { min-height: 44px; color: var(--accent); font-weight: 600; }

@media (max-width: 480px) {
  .panel { inset: 0; width: 100%; height: 100dvh; border: 0; border-radius: 0; }
  .panel[open] ~ .launcher { display: none; }
  .input { font-size: 16px; }
}
@media (prefers-reduced-motion: reduce) { *, *::before, *::after { animation: none !important; transition: none !important; } }
@media (forced-colors: active) { .launcher, .send, .bubble, .panel { border: 1px solid CanvasText; } .icon { stroke: currentColor; } }
`

let sheet = null

/** One sheet for however many roots. */
export function styleSheet() {
  if (sheet === null) {
    sheet = new CSSStyleSheet()
    sheet.replaceSync(CSS)
  }
  return sheet
}
