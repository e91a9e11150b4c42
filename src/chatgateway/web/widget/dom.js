/** Elements from plain values. Never from markup: what people write is text, and a strict Content-Security-Policy agrees. */

const SVG = "http://www.w3.org/2000/svg"

/** `attributes` whose value is false or null are left out; those beginning with "on" are listeners; `text` is content. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children)
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value)
    else if (key === "text") element.textContent = value
    else element.setAttribute(key, value === true ? "" : value)
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

/** Outline icons on a 24-unit grid. */
const ICONS = {
  chat: ["M4 5.5A2.5 2.5 0 0 1 6.5 3h11A2.5 2.5 0 0 1 20 5.5v8a2.5 2.5 0 0 1-2.5 2.5H11l-4.6 4.1c-.6.5-1.4.1-1.4-.7V16a2.5 2.5 0 0 1-1-2.5z"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  down: ["M6 9.5l6 6 6-6"],
  send: ["M12 19V5", "M5.5 11.5L12 5l6.5 6.5"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  seen: ["M2 12.5l4 4L14 8", "M10.5 15l1.6 1.5L22 7.5"],
  clock: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z", "M12 7.5V12l3 2"],
  alert: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z", "M12 7.5v5.5", "M12 16.4v.1"],
  back: ["M14.5 6l-6 6 6 6"],
  list: ["M5 7h14", "M5 12h14", "M5 17h9"],
  verified: ["M12 3l7 2.6v5.4c0 4.6-2.9 8-7 10-4.1-2-7-5.4-7-10V5.6z", "M8.6 12l2.5 2.5 4.4-4.8"],
  mail: ["M4 6h16v12H4z", "M4 7l8 6 8-6"],
  note: ["M6 4h12v10l-5 6H6z", "M13 20v-6h5"],
  moon: ["M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z"],
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg")
  fill(svg, { viewBox: "0 0 24 24", class: `icon icon-${name}`, "aria-hidden": "true", focusable: "false" }, [])
  for (const d of ICONS[name]) svg.append(fill(document.createElementNS(SVG, "path"), { d }, []))
  return svg
}

/**
 * Make `parent` hold exactly one element per item, in order: known keys keep their element (and with it focus,
 * selection and animation), and are rebuilt only when `signature` changed.
 * @returns {boolean} whether anything was changed
 */
export function keyed(parent, items, { key, signature, build }) {
  const known = parent.keyed ?? new Map()
  const wanted = new Set(items.map(key))
  let changed = false
  // Those that go, go first: then the others stay where they are, and nothing that has the focus is moved.
  for (const [name, { element }] of known) {
    if (wanted.has(name)) continue
    element.remove()
    changed = true
  }
  const next = new Map()
  let cursor = parent.firstElementChild
  for (const item of items) {
    const name = key(item)
    const mark = signature(item)
    let kept = known.get(name)
    if (kept?.mark !== mark) {
      const element = build(item)
      if (kept) kept.element.replaceWith(element)
      if (cursor === kept?.element) cursor = element
      kept = { element, mark }
      changed = true
    }
    if (kept.element === cursor) cursor = cursor.nextElementSibling
    else parent.insertBefore(kept.element, cursor)
    next.set(name, kept)
  }
  parent.keyed = next
  return changed
}
