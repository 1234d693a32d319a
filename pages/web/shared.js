// What the parts of a page that follow the knob have in common. Each part's own script follows this one.
const DASHES = ["solid", "7px,4px", "2px,3px", "10px,3px,2px,3px", "4px,2px"] // and again from the start
const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "triangle-down", "star", "hexagon2", "x", "pentagon", "hourglass"]
const SHAPES = [
  "M8,0A8,8 0 1 1 -8,0A8,8 0 1 1 8,0Z",
  "M10.4,0L0,10.4L-10.4,0L0,-10.4Z",
  "M7,7H-7V-7H7Z",
  "M0,-9.5L9.5,7.5H-9.5Z",
  "M3,-9H-3V-3H-9V3H-3V9H3V3H9V-3H3Z",
  "M0,9.5L9.5,-7.5L-9.5,-7.5Z",
  "M0,-9.8L2.5,-3.4L9.3,-3L4,1.3L5.8,7.9L0,4.2L-5.8,7.9L-4,1.3L-9.3,-3L-2.5,-3.4Z",
  "M9,0L4.5,7.8L-4.5,7.8L-9,0L-4.5,-7.8L4.5,-7.8Z",
  "M8.5,-4.2L4.2,-8.5L0,-4.2L-4.2,-8.5L-8.5,-4.2L-4.2,0L-8.5,4.2L-4.2,8.5L0,4.2L4.2,8.5L8.5,4.2L4.2,0Z",
  "M0,-9L8.6,-2.8L5.3,7.3L-5.3,7.3L-8.6,-2.8Z",
  "M-7.5,-8H7.5L-7.5,8H7.5Z",
]
const PLOTLY_CONFIG = {
  displaylogo: false,
  showTips: false,
  responsive: true,
  doubleClick: "reset",
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d", "toImage", "pan2d"],
}
const dash = (style) => DASHES[style % DASHES.length]
const element = (markup) => Object.assign(document.createElement("template"), { innerHTML: markup.trim() }).content.firstChild
const address = (path) => new URL(path, document.baseURI.replace(/[^/]*$/, "")).href

const shared = (window.__nettrim ??= {}) // one library and one place of the knob per page, whatever is remounted
function loadPlotly(path) {
  if (window.Plotly) return Promise.resolve(window.Plotly)
  return (shared.plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = address(path)
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => {
      shared.plotly = null
      reject(new Error("plotly.js did not load"))
    }
    document.head.append(script)
  }))
}

function themeOf(root) {
  const style = getComputedStyle(root)
  const read = (name) => style.getPropertyValue(name).trim()
  const list = (name) => read(name).split(",").map((color) => color.trim())
  return {
    text: read("--st-text-color"),
    background: read("--st-background-color"),
    border: read("--st-border-color"),
    grid: read("--st-border-color-light") || read("--st-border-color"),
    card: read("--st-secondary-background-color"),
    font: read("--st-font"),
    colors: list("--st-chart-categorical-colors"),
    scale: list("--st-chart-sequential-colors"),
    zoom: parseFloat(getComputedStyle(document.documentElement).fontSize) / 16, // above one for a projector
  }
}

/** [red, green, blue] of a CSS colour. */
function rgb(color) {
  const pen = (shared.pen ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true }))
  pen.clearRect(0, 0, 1, 1)
  pen.fillStyle = color
  pen.fillRect(0, 0, 1, 1)
  return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)]
}
const packed = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0
const mixed = (from, to, part) => from.map((value, k) => Math.round(value + (to[k] - value) * part))

/** Frames by stop, null where there is none: each was sent as what changed since the one before. */
async function framesOf({ url, present }) {
  if (!url) return present.map(() => null)
  const held = (shared.frames ??= new Map())
  if (!held.has(url)) {
    const sent = await fetch(address(url))
    if (!sent.ok) throw new Error(await sent.text())
    const bytes = new Uint8Array(await new Response(sent.body.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer())
    held.set(url, bytes)
    if (held.size > 24) held.delete(held.keys().next().value)
  }
  const bytes = held.get(url)
  const size = bytes.length / present.filter(Boolean).length
  let last = null
  return present.map((there, k) => {
    if (!there) return null
    const at = present.slice(0, k).filter(Boolean).length * size
    const frame = bytes.slice(at, at + size)
    if (last) for (let j = 0; j < size; j++) frame[j] ^= last[j]
    return (last = frame)
  })
}

/** Tell every picture where the knob is. */
function tell(index) {
  shared.index = index
  window.dispatchEvent(new CustomEvent("nettrim:at", { detail: index }))
}

/** A part of the page that is drawn anew when its data, its size or the theme change. */
class Part {
  constructor(root) {
    this.root = root
    this.frame = 0
    // Streamlit rewrites its --st-* properties when the theme changes
    this.observer = new MutationObserver(() => this.data && this.themed())
    this.observer.observe(document.head, { childList: true, subtree: true, characterData: true })
    for (let node = root; node; node = node.parentElement) {
      this.observer.observe(node, { attributes: true, attributeFilter: ["style", "class"] })
    }
  }

  themed() {}

  close() {
    this.closed = true
    cancelAnimationFrame(this.frame)
    this.observer.disconnect()
  }
}

/** A part that follows the knob: ``show`` draws one stop, at most once a frame. */
class Picture extends Part {
  constructor(root) {
    super(root)
    this.follow = ({ detail }) => {
      cancelAnimationFrame(this.frame)
      this.frame = requestAnimationFrame(() => this.ready && this.show(detail))
    }
    window.addEventListener("nettrim:at", this.follow)
  }

  get index() { return Math.min(shared.index ?? this.data.index, this.data.stops - 1) }

  close() {
    super.close()
    window.removeEventListener("nettrim:at", this.follow)
  }
}

/**
 * Streamlit may call for data that newer data has already followed, even after the call for the newer; it takes such a
 * call back at once, by its clean-up, while the element stays. So a call counts only if it still stands a turn later.
 */
const mounted = new WeakMap()
const mount = (selector, Kind) => ({ data: [data], parentElement, setTriggerValue }) => {
  const root = parentElement.querySelector(selector)
  let counts = false
  const turn = setTimeout(() => {
    counts = true
    if (!mounted.has(root)) mounted.set(root, new Kind(root))
    mounted.get(root).update(data, setTriggerValue)
  })
  return () => {
    clearTimeout(turn)
    if (!counts) return
    mounted.get(root)?.close()
    mounted.delete(root)
  }
}
