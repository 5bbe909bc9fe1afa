// @ts-check
// Finding, making and listening to elements, and what the browser keeps for the page.

/**
 * The first element within `parent` that matches. One that is missing is a mistake in the page.
 * @template {Element} [Kind=HTMLElement]
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {new () => Kind} [kind]
 * @returns {Kind}
 */
export function find(parent, selector, kind) {
  const found = parent.querySelector(selector);
  if (found instanceof (kind ?? HTMLElement)) return /** @type {Kind} */ (found);
  throw new TypeError(`the page lacks ${selector}`);
}

/**
 * The element of this id.
 * @template {Element} [Kind=HTMLElement]
 * @param {string} id
 * @param {new () => Kind} [kind]
 */
export const $ = (id, kind) => find(document, `#${id}`, kind);

/** @param {string} id */
export const $button = (id) => $(id, HTMLButtonElement);

/**
 * A field of a form by its name; radio buttons of one name are one field.
 * @param {HTMLFormElement} form
 * @param {string} name
 */
export function field(form, name) {
  const found = form.elements.namedItem(name);
  if (found instanceof RadioNodeList || found instanceof HTMLInputElement
    || found instanceof HTMLTextAreaElement) return found;
  throw new TypeError(`the form lacks ${name}`);
}

/**
 * A new element of HTML.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Partial<HTMLElementTagNameMap[Name]>} [properties]
 * @param {...(Node | string)} children
 */
export function htmlElement(name, properties = {}, ...children) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

/**
 * A new element of SVG.
 * @template {keyof SVGElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 */
export function svgElement(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/**
 * The element around the place of an event that matches, if any.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | SVGElement | null}
 */
export const around = (event, selector) =>
  event.target instanceof Element ? event.target.closest(selector) : null;

/**
 * The number of an edge that an event is about: `data-edge` of the element that matches.
 * @param {Event} event
 * @param {string} selector
 */
export function edgeOf(event, selector) {
  const edge = around(event, selector)?.dataset.edge;
  return edge === undefined ? null : Number(edge);
}

/**
 * Call `point` with the edge that the pointer or the focus comes to, with null when it leaves.
 * @param {Element} node
 * @param {string} selector of what stands for an edge
 * @param {(edge: number | null) => void} point
 */
export function onPointing(node, selector, point) {
  for (const kind of ["pointerover", "focusin"])
    node.addEventListener(kind, (event) => point(edgeOf(event, selector)));
  for (const kind of ["pointerleave", "focusout"]) node.addEventListener(kind, () => point(null));
}

/**
 * Whether a key is held that makes a shortcut of the browser of another key.
 * @param {KeyboardEvent} event
 */
export const isShortcut = (event) => event.ctrlKey || event.metaKey || event.altKey;

/**
 * Use what the browser stores, which may be forbidden or full.
 * @template T
 * @param {() => T} use
 * @param {T} otherwise
 */
function stored(use, otherwise) {
  try {
    return use();
  } catch {
    return otherwise;
  }
}

/**
 * What was kept under a name, if anything.
 * @param {string} name
 */
export const kept = (name) => stored(() => localStorage.getItem(name), null);

/**
 * Keep something for the next visit; where that is forbidden it lasts as long as the page.
 * @param {string} name
 * @param {string} value
 * @returns {boolean} whether it was kept
 */
export const keep = (name, value) => stored(() => {
  localStorage.setItem(name, value);
  return true;
}, false);

/** @param {string} name */
export const forget = (name) => stored(() => localStorage.removeItem(name), undefined);

/**
 * All names under which something is kept that begin so.
 * @param {string} prefix
 */
export const keptNames = (prefix) =>
  stored(() => Object.keys(localStorage).filter((name) => name.startsWith(prefix)), []);

/**
 * What this tab keeps under a name until it is closed.
 * @param {string} name
 */
export const keptHere = (name) => stored(() => sessionStorage.getItem(name), null);

/**
 * @param {string} name
 * @param {string} value
 * @returns {boolean} whether it was kept
 */
export const keepHere = (name, value) => stored(() => {
  sessionStorage.setItem(name, value);
  return true;
}, false);
