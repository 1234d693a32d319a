// The knob and its chart. Python sends {stops, symbol, index, series, x, y, dense, alt, plotly}; one trigger "at" goes
// back on release, with the index of the stop.
const HEIGHT = 320
const COMMIT_AFTER = 120 // ms: held arrow keys are one message
const STEP = 130 // ms a stop while it plays; reduced motion takes longer steps
const LABEL_GAP = 17 // pixels between the names at the ends of the curves

function figure(data, theme, narrow) {
  const hover = (series) => series.curve.filter(Boolean).map((point) => point.hover)
  const main = data.series.map((series) => {
    const at = series.curve.map((point, i) => [point, i]).filter(([point]) => point)
    const points = at.map(([point]) => point)
    const color = theme.colors[series.style]
    return {
      type: "scatter",
      mode: "lines+markers",
      name: series.name,
      x: points.map((point) => point.x),
      y: points.map((point) => point.y),
      customdata: at.map(([, i]) => [data.stops[i], i]),
      text: hover(series),
      line: { color, width: 2.5, dash: dash(series.style) },
      marker: {
        size: 6,
        color,
        symbol: points.map((point) => SYMBOLS[series.style] + (point.quality === "certified" ? "" : "-open")),
        opacity: points.map((point) => (point.quality === "rough" ? 0.5 : 1)),
      },
      hovertemplate: "%{text}<extra></extra>",
    }
  })
  const bands = data.series.flatMap((series) => {
    const points = series.curve.filter((point) => point && point.low !== null)
    if (points.length < 2) return []
    const color = `rgba(${rgb(theme.colors[series.style]).join()},0.14)`
    return [{
      type: "scatter",
      mode: "lines",
      x: [...points.map((point) => point.x), ...points.map((point) => point.x).reverse()],
      y: [...points.map((point) => point.high), ...points.map((point) => point.low).reverse()],
      fill: "toself",
      fillcolor: color,
      line: { width: 0 },
      hoverinfo: "skip",
    }]
  })
  const axis = (of) => ({
    gridcolor: theme.grid,
    zeroline: false,
    linecolor: theme.border,
    ticks: "outside",
    tickcolor: theme.border,
    ticklen: 4,
    nticks: narrow ? 5 : 8,
    type: of.log ? "log" : "linear",
    title: { text: of.title, standoff: 8 },
    tickformat: of.ticks,
    ...(of.log ? { dtick: narrow ? undefined : "D2" } : {}),
    ...(of.range ? { range: of.range } : {}),
  })
  const dense = data.dense === null ? {} : {
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: data.dense.y, y1: data.dense.y,
      line: { color: theme.text, width: 1, dash: "dot" } }],
    annotations: [{ xref: "paper", x: 0, y: data.dense.y, text: data.dense.text, showarrow: false,
      xanchor: "left", yanchor: "top", font: { size: 12 * theme.zoom, color: theme.text } }],
  }
  const layout = {
    height: HEIGHT * theme.zoom,
    margin: { l: (narrow ? 56 : 64) * theme.zoom, r: (narrow ? 18 : 104) * theme.zoom, t: 14, b: 48 * theme.zoom },
    paper_bgcolor: theme.background,
    plot_bgcolor: theme.background,
    showlegend: false,
    hovermode: "closest",
    uirevision: JSON.stringify([data.series.map((series) => series.name), data.x.title, data.y.title]),
    dragmode: narrow ? false : "zoom",
    font: { family: theme.font, color: theme.text, size: 13 * theme.zoom },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: theme.text, activecolor: theme.text },
    hoverlabel: { bgcolor: theme.card, bordercolor: theme.border, font: { color: theme.text, family: theme.font, size: 13 * theme.zoom }, align: "left" },
    xaxis: axis(data.x),
    yaxis: axis(data.y),
    ...dense,
  }
  return [[...main, ...bands], layout]
}

class Knob extends Part {
  constructor(root) {
    super(root)
    this.plot = root.querySelector(".ntk-plot")
    this.markers = root.querySelector(".ntk-markers")
    this.range = root.querySelector("input")
    this.drawn = null
    this.drawing = Promise.resolve()
    this.timer = 0
    this.range.oninput = () => this.show()
    this.range.onchange = () => this.commit()
    root.querySelector(".ntk-play").onclick = () => (this.playing ? this.pause() : this.play())
    root.querySelector(".ntk-copy").onclick = () => this.copy()
    this.resizer = new ResizeObserver(() => this.drawn && this.draw())
    this.resizer.observe(root)
  }

  update(data, setTriggerValue) {
    this.data = data
    this.send = (index) => setTriggerValue("at", index)
    const busy = this.range.matches(":active") || this.timer || this.playing
    const held = busy && this.held !== undefined ? data.stops.indexOf(this.held) : -1
    this.range.max = data.stops.length - 1
    this.range.value = held >= 0 ? held : data.index
    this.root.querySelector(".ntk-chart").setAttribute("aria-label", data.alt)
    this.root.querySelector("label").textContent = data.label
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

  themed() { if (this.drawn) this.draw() }

  /** Readout and markers at the knob's place, and word to the pictures: all that happens while it is dragged. */
  show() {
    const { stops, symbol, series } = this.data
    const i = this.index
    this.held = stops[i]
    this.root.querySelector(".ntk-value").textContent = `${symbol} = ${stops[i]}`
    const said = series.map(({ name, said }) => `${name} ${said[i].filter(Boolean).join(", ")}`)
    this.range.setAttribute("aria-valuetext", [stops[i], ...said].join("; "))
    this.readout(i)
    cancelAnimationFrame(this.frame)
    this.frame = requestAnimationFrame(() => this.place())
    tell(i)
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
          <path d="${SHAPES[style]}" transform="scale(.7)" fill="${colors[style]}"/></svg><span></span></td><td></td><td></td><td></td>`
        row.querySelector("span").textContent = name
        return row
      }))
    }
    series.forEach(({ said, places }, k) => {
      const cells = [...body.children[k].children].slice(1)
      cells.forEach((cell, c) => { cell.textContent = said[i][c] ?? "" })
      cells[0].classList.toggle("ntk-wait", !places[i])
    })
  }

  /** One drawing at a time: Plotly works in steps, and a step must not find the plot purged or drawn anew. */
  draw() {
    return (this.drawing = this.drawing.then(() => this.drawNow()))
  }

  async drawNow() {
    if (this.closed) return
    const theme = themeOf(this.root)
    const narrow = this.root.clientWidth < 480
    const { series, dense, stops, x, y } = this.data
    const wanted = JSON.stringify([theme, narrow, this.root.clientWidth, series.map(({ curve }) => curve), dense, stops, x, y])
    if (this.drawn === wanted || this.closed || !this.plotly) return
    this.drawn = wanted
    this.zoom = theme.zoom
    const [traces, layout] = figure(this.data, theme, narrow)
    await this.plotly.react(this.plot, traces, layout, PLOTLY_CONFIG)
    if (this.closed) return
    this.markers.replaceChildren(...series.flatMap(({ style, name }) => {
      const marker = document.createElementNS("http://www.w3.org/2000/svg", "g")
      marker.innerHTML = `<path d="${SHAPES[style]}" fill="${theme.colors[style]}" stroke="${theme.background}" stroke-width="2.5"/>`
      return [marker]
    }), ...(narrow ? [] : series.map(({ style, name }) => {
      const label = document.createElementNS("http://www.w3.org/2000/svg", "text")
      label.setAttribute("fill", theme.text)
      label.innerHTML = `<tspan fill="${theme.colors[style]}">■</tspan> `
      label.append(name)
      return label
    })))
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
      const point = points.find(({ customdata }) => customdata)
      if (!point || performance.now() - resetAt < 400) return
      clearTimeout(this.click) // a double click resets the zoom and leaves the knob alone
      this.click = setTimeout(() => { this.range.value = point.customdata[1]; this.show(); this.commit() }, 320)
    })
  }

  /** Markers onto their places and names to the ends of the curves, with the chart's own conversion. */
  place() {
    const layout = this.plot._fullLayout
    const { series } = this.data
    if (!layout || this.closed || this.markers.children.length < series.length) return
    const { xaxis: X, yaxis: Y } = layout
    const clamp = (value, axis) => Math.min(Math.max(value, axis._offset), axis._offset + axis._length)
    series.forEach(({ places }, k) => {
      const marker = this.markers.children[k]
      const point = places[this.index]
      marker.style.display = point ? "" : "none"
      if (!point) return
      const x = X._offset + X.d2p(point.x)
      const y = Y._offset + Y.d2p(point.y)
      const [cx, cy] = [clamp(x, X), clamp(y, Y)] // outside of what is shown: pale, at the edge
      marker.setAttribute("opacity", Math.hypot(cx - x, cy - y) > 1 ? 0.35 : 1)
      marker.setAttribute("transform", `translate(${cx} ${cy})`)
    })
    if (this.markers.children.length === 2 * series.length) this.label(X, Y, clamp)
  }

  label(X, Y, clamp) {
    const { series } = this.data
    const gap = LABEL_GAP * this.zoom
    const ends = series
      .map(({ curve }, k) => ({ k, end: curve.filter(Boolean).sort((a, b) => a.x - b.x).at(-1) }))
      .filter(({ end, k }) => {
        this.markers.children[series.length + k].style.display = end ? "" : "none"
        return end
      })
      .map(({ k, end }) => ({ k, y: clamp(Y._offset + Y.d2p(end.y), Y) }))
      .sort((a, b) => a.y - b.y)
    ends.forEach((end, i) => { if (i) end.y = Math.max(end.y, ends[i - 1].y + gap) })
    const over = (ends.at(-1)?.y ?? 0) - (Y._offset + Y._length)
    if (over > 0) ends.reverse().forEach((end, i) => { end.y = Math.min(end.y, Y._offset + Y._length - i * gap) })
    for (const { k, y } of ends) {
      const label = this.markers.children[series.length + k]
      label.setAttribute("x", X._offset + X._length + 8)
      label.setAttribute("y", y + 4)
    }
  }

  commit() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => { this.timer = 0; this.send(this.index) }, COMMIT_AFTER)
  }

  /** From where the knob is to the end, or from the start if it is there. */
  play() {
    const slow = window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 4 : 1
    if (this.index === this.data.stops.length - 1) this.range.value = 0
    this.playing = setInterval(() => {
      if (this.index >= this.data.stops.length - 1) return this.pause()
      this.range.value = this.index + 1
      this.show()
    }, STEP * slow)
    this.pressed(true)
    this.show()
  }

  pause() {
    clearInterval(this.playing)
    this.playing = 0
    this.pressed(false)
    this.commit()
  }

  pressed(on) {
    const button = this.root.querySelector(".ntk-play")
    button.setAttribute("aria-pressed", on)
    button.textContent = on ? "Stop" : "Play"
  }

  async copy() {
    const button = this.root.querySelector(".ntk-copy")
    try {
      await navigator.clipboard.writeText(location.href)
      button.textContent = "Link copied"
    } catch {
      button.textContent = "Copy it from the address bar" // no clipboard without https or leave
    }
    setTimeout(() => { button.textContent = "Copy link" }, 2500)
  }

  close() {
    super.close()
    clearInterval(this.playing)
    delete shared.index
    this.resizer.disconnect()
    this.drawing.then(() => this.plotly?.purge(this.plot))
  }
}

export default mount(".ntk", Knob)
