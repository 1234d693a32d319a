// The knob. Python sends {epsilons, series, index, dense, alt, plotly}; one trigger "eps" goes back on release.
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
const SAID = { certified: "", open: "<br>its tolerance was not reached", rough: "<br>an early answer, not yet certified" }
const HEIGHT = 300
const COMMIT_AFTER = 120 // ms: held arrow keys are one message
const percent = (value, digits = 1) => (100 * value).toFixed(digits) + " %"
const dash = (style) => DASHES[style % DASHES.length]
const short = (epsilon) => String(Number(epsilon.toPrecision(4)))

const shared = (window.__nettrim ??= {}) // one library per page, whatever is remounted
function loadPlotly(address) {
  if (window.Plotly) return Promise.resolve(window.Plotly)
  return (shared.plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = new URL(address, document.baseURI.replace(/[^/]*$/, "")).href
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
  return {
    text: read("--st-text-color"),
    background: read("--st-background-color"),
    border: read("--st-border-color"),
    grid: read("--st-border-color-light") || read("--st-border-color"),
    card: read("--st-secondary-background-color"),
    font: read("--st-font"),
    colors: read("--st-chart-categorical-colors").split(",").map((color) => color.trim()),
  }
}

function figure(data, theme, narrow) {
  const traces = data.series.map((series) => {
    const at = data.epsilons.map((epsilon, i) => [epsilon, i]).filter(([, i]) => series.points[i])
    const points = at.map(([, i]) => series.points[i])
    const color = theme.colors[series.style]
    return {
      type: "scatter",
      mode: "lines+markers",
      name: series.name,
      x: points.map((point) => point[0]),
      y: points.map((point) => point[1]),
      customdata: at.map(([epsilon, i]) => [short(epsilon), i, SAID[series.points[i][2]]]),
      line: { color, width: 2.5, dash: dash(series.style) },
      marker: {
        size: 6,
        color,
        symbol: points.map((point) => SYMBOLS[series.style] + (point[2] === "certified" ? "" : "-open")),
        opacity: points.map((point) => (point[2] === "rough" ? 0.5 : 1)),
      },
      hovertemplate: `<b>${series.name}</b><br>ε = %{customdata[0]}<br>%{x:.1%} zeros<br>%{y:.2%} right%{customdata[2]}<extra></extra>`,
    }
  })
  const axis = {
    gridcolor: theme.grid,
    zeroline: false,
    linecolor: theme.border,
    ticks: "outside",
    tickcolor: theme.border,
    ticklen: 4,
    nticks: narrow ? 5 : 8,
  }
  const dense = data.dense === null ? {} : {
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: data.dense, y1: data.dense,
      line: { color: theme.text, width: 1, dash: "dot" } }],
    annotations: [{ xref: "paper", x: 0, y: data.dense, text: `dense ${percent(data.dense)}`, showarrow: false,
      xanchor: "left", yanchor: "top", font: { size: 12, color: theme.text } }],
  }
  const layout = {
    height: HEIGHT,
    margin: { l: narrow ? 52 : 64, r: 18, t: 14, b: 48 },
    paper_bgcolor: theme.background,
    plot_bgcolor: theme.background,
    showlegend: false,
    hovermode: "closest",
    uirevision: data.series.map((series) => series.name).join(),
    dragmode: narrow ? false : "zoom",
    font: { family: theme.font, color: theme.text, size: 13 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: theme.text, activecolor: theme.text },
    hoverlabel: { bgcolor: theme.card, bordercolor: theme.border, font: { color: theme.text, family: theme.font, size: 13 }, align: "left" },
    xaxis: { ...axis, title: { text: "Zeros among the weights of the chosen layers", standoff: 8 }, tickformat: ".0%" },
    yaxis: { ...axis, title: { text: "Validation accuracy", standoff: 8 }, tickformat: ".0%" },
    ...dense,
  }
  return [traces, layout]
}

const CONFIG = {
  displaylogo: false,
  showTips: false,
  responsive: true,
  doubleClick: "reset",
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d", "toImage", "pan2d"],
}

class Knob {
  constructor(root) {
    this.root = root
    this.plot = root.querySelector(".ntk-plot")
    this.markers = root.querySelector(".ntk-markers")
    this.range = root.querySelector("input")
    this.drawn = null
    this.drawing = Promise.resolve()
    this.frame = 0
    this.timer = 0
    this.range.oninput = () => this.show()
    this.range.onchange = () => this.commit()
    // Streamlit rewrites its --st-* properties when the theme changes
    this.observer = new MutationObserver(() => this.drawn && this.draw())
    this.observer.observe(document.head, { childList: true, subtree: true, characterData: true })
    for (let node = root; node; node = node.parentElement) {
      this.observer.observe(node, { attributes: true, attributeFilter: ["style", "class"] })
    }
    this.resizer = new ResizeObserver(() => this.drawn && this.draw())
    this.resizer.observe(root)
  }

  update(data, send) {
    this.data = data
    this.send = send
    const busy = this.range.matches(":active") || this.timer
    const held = busy && this.held !== undefined ? data.epsilons.indexOf(this.held) : -1
    this.range.max = data.epsilons.length - 1
    this.range.value = held >= 0 ? held : data.index
    this.root.querySelector(".ntk-chart").setAttribute("aria-label", data.alt)
    this.show()
    loadPlotly(data.plotly).then(
      (plotly) => { this.plotly = plotly; return this.draw() },
      () => {
        this.root.dataset.state = "failed"
        this.plot.textContent = "The chart could not load; the knob and its numbers work all the same."
      },
    )
  }

  get index() { return Number(this.range.value) }

  /** Readout and markers at the knob's place: all that happens while it is dragged. */
  show() {
    const { epsilons, series } = this.data
    const i = this.index
    this.held = epsilons[i]
    this.root.querySelector(".ntk-eps").textContent = `ε = ${short(epsilons[i])}`
    const said = series.map(({ name, points }) =>
      points[i] ? `${name} ${percent(points[i][0])} zeros, ${percent(points[i][1])} right` : `${name} not solved yet`)
    this.range.setAttribute("aria-valuetext", [short(epsilons[i]), ...said].join("; "))
    this.readout(i)
    cancelAnimationFrame(this.frame)
    this.frame = requestAnimationFrame(() => this.place())
  }

  readout(i) {
    const body = this.root.querySelector(".ntk-readout tbody")
    const { series } = this.data
    const colors = themeOf(this.root).colors
    const look = JSON.stringify([colors, series.map(({ name }) => name)])
    if (this.look !== look) {
      this.look = look
      body.replaceChildren(...series.map(({ name, style }) => {
        const row = document.createElement("tr")
        row.innerHTML = `<td><svg viewBox="-19 -8 38 16" aria-hidden="true">
          <line x1="-19" x2="19" stroke="${colors[style]}" stroke-width="2.5" stroke-dasharray="${dash(style) === "solid" ? "" : dash(style).replaceAll("px", "")}"/>
          <path d="${SHAPES[style]}" transform="scale(.7)" fill="${colors[style]}"/></svg><span></span></td><td></td><td></td>`
        row.querySelector("span").textContent = name
        return row
      }))
    }
    series.forEach(({ points }, k) => {
      const [, zeros, right] = body.children[k].children
      zeros.textContent = points[i] ? `${percent(points[i][0])} zeros` : "not solved yet"
      zeros.classList.toggle("ntk-wait", !points[i])
      right.textContent = points[i] ? `${percent(points[i][1])} right` : ""
    })
  }

  /** One drawing at a time: Plotly works in steps, and a step must not find the plot purged or drawn anew. */
  draw() {
    return (this.drawing = this.drawing.then(() => this.drawNow()))
  }

  async drawNow() {
    if (this.closed) return
    const theme = themeOf(this.root)
    const narrow = this.root.clientWidth < 560
    const { series, dense, epsilons } = this.data
    const wanted = JSON.stringify([theme, narrow, this.root.clientWidth, series, dense, epsilons])
    if (this.drawn === wanted || this.closed || !this.plotly) return
    this.drawn = wanted
    const [traces, layout] = figure(this.data, theme, narrow)
    await this.plotly.react(this.plot, traces, layout, CONFIG)
    if (this.closed) return
    this.markers.innerHTML = series.map(({ style }) =>
      `<g><path d="${SHAPES[style]}" fill="${theme.colors[style]}" stroke="${theme.background}" stroke-width="2.5"/></g>`).join("")
    this.listen()
    this.root.dataset.state = "ready"
    this.show()
  }

  listen() {
    for (const event of ["plotly_click", "plotly_doubleclick", "plotly_relayout", "plotly_relayouting", "plotly_afterplot"]) {
      this.plot.removeAllListeners(event)
    }
    this.plot.on("plotly_afterplot", () => this.place())
    // while it is panned, the plot is only translated and its axes answer for the range before
    this.plot.on("plotly_relayouting", () => { this.markers.style.visibility = "hidden" })
    this.plot.on("plotly_relayout", () => { this.markers.style.visibility = ""; this.place() })
    let resetAt = -Infinity
    this.plot.on("plotly_doubleclick", () => { clearTimeout(this.click); resetAt = performance.now() })
    this.plot.on("plotly_click", ({ points }) => {
      if (!points.length || performance.now() - resetAt < 400) return
      clearTimeout(this.click) // a double click resets the zoom and leaves epsilon alone
      this.click = setTimeout(() => { this.range.value = points[0].customdata[1]; this.show(); this.commit() }, 320)
    })
  }

  /** Markers onto their curve points, with the chart's own conversion. */
  place() {
    const layout = this.plot._fullLayout
    if (!layout || this.closed || this.markers.children.length !== this.data.series.length) return
    const { xaxis: X, yaxis: Y } = layout
    this.data.series.forEach(({ points }, k) => {
      const marker = this.markers.children[k]
      const point = points[this.index]
      const x = point ? X._offset + X.d2p(point[0]) : NaN
      const y = point ? Y._offset + Y.d2p(point[1]) : NaN
      const inside = x >= X._offset - 1 && x <= X._offset + X._length + 1 && y >= Y._offset - 1 && y <= Y._offset + Y._length + 1
      marker.style.display = inside ? "" : "none"
      if (inside) marker.setAttribute("transform", `translate(${x} ${y})`)
    })
  }

  commit() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => { this.timer = 0; this.send(this.data.epsilons[this.index]) }, COMMIT_AFTER)
  }

  close() {
    this.closed = true
    cancelAnimationFrame(this.frame)
    this.observer.disconnect()
    this.resizer.disconnect()
    this.drawing.then(() => this.plotly?.purge(this.plot))
  }
}

const knobs = new WeakMap()
/**
 * Streamlit may call for data that newer data has already followed, even after the call for the newer; it takes such a
 * call back at once, by its clean-up, while the element stays. So a call counts only if it still stands a turn later.
 */
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".ntk")
  let counts = false
  const turn = setTimeout(() => {
    counts = true
    if (!knobs.has(root)) knobs.set(root, new Knob(root))
    knobs.get(root).update(data, (epsilon) => setTriggerValue("eps", epsilon))
  })
  return () => {
    clearTimeout(turn)
    if (!counts) return
    knobs.get(root)?.close()
    knobs.delete(root)
  }
}
