// A heat map over the knob and a second setting. Python sends {stops, index, columns, rows, row, values, texts, titles,
// text, plotly}; one trigger "cell" goes back on a click: [row, column].
class Heat extends Picture {
  constructor(root) {
    super(root)
    this.plot = root.querySelector(".ntp-plot")
    this.cursor = root.querySelector(".ntp-cursor")
    this.drawing = Promise.resolve()
    this.resizer = new ResizeObserver(() => this.ready && this.themed())
    this.resizer.observe(root)
  }

  async update(data, setTriggerValue) {
    this.data = data
    this.send = (cell) => setTriggerValue("cell", cell)
    this.root.querySelector(".ntp-frame").setAttribute("aria-label", data.alt)
    this.plotly = await loadPlotly(data.plotly)
    this.ready = true
    this.themed()
  }

  themed() {
    if (this.ready) this.drawing = this.drawing.then(() => this.draw())
  }

  async draw() {
    if (this.closed) return
    const theme = themeOf(this.root)
    const { columns, rows, values, texts, titles, text } = this.data
    const wanted = JSON.stringify([theme, this.root.clientWidth, columns, rows, values])
    if (wanted !== this.drawn) {
      this.drawn = wanted
      const axis = { showgrid: false, zeroline: false, ticks: "", fixedrange: true, linecolor: theme.border }
      const scale = theme.scale.length > 1 ? theme.scale.map((color, k) => [k / (theme.scale.length - 1), color]) : "Blues"
      await this.plotly.react(this.plot, [{
        type: "heatmap", z: values, x: columns.map((_, k) => k), y: rows.map((_, k) => k), text: texts, colorscale: scale,
        xgap: 1, ygap: 1, hovertemplate: "%{text}<extra></extra>", hoverongaps: false,
        colorbar: { title: { text: text.replaceAll(", ", ",<br>"), side: "right" }, tickformat: this.data.ticks, thickness: 12, outlinewidth: 0 },
      }], {
        height: 120 + 26 * rows.length, margin: { l: 84, r: 12, t: 8, b: 52 }, paper_bgcolor: theme.background,
        plot_bgcolor: theme.background, font: { family: theme.font, color: theme.text, size: 13 * theme.zoom },
        hoverlabel: { bgcolor: theme.card, bordercolor: theme.border, font: { color: theme.text, family: theme.font, size: 13 * theme.zoom }, align: "left" },
        xaxis: { ...axis, title: { text: titles[0], standoff: 8 }, ...ticks(columns, this.root.clientWidth < 480 ? 4 : 8) },
        yaxis: { ...axis, title: { text: titles[1], standoff: 8 }, ...ticks(rows, 12) },
      }, { ...PLOTLY_CONFIG, displayModeBar: false })
      if (this.closed) return
      this.plot.removeAllListeners("plotly_click")
      this.plot.on("plotly_click", ({ points }) => this.send([points[0].y, points[0].x]))
      this.root.dataset.state = "ready"
    }
    this.show(this.index)
  }

  show(i) {
    const layout = this.plot._fullLayout
    if (!layout) return
    const { xaxis: X, yaxis: Y } = layout
    const [x0, x1, y0, y1] = [X.d2p(i - 0.5), X.d2p(i + 0.5), Y.d2p(this.data.row + 0.5), Y.d2p(this.data.row - 0.5)]
    Object.assign(this.cursor.style, {
      display: "block", left: `${X._offset + x0}px`, width: `${x1 - x0}px`, top: `${Y._offset + y0}px`, height: `${y1 - y0}px`,
    })
  }

  close() {
    super.close()
    this.resizer.disconnect()
    this.drawing.then(() => this.plotly?.purge(this.plot))
  }
}

/** A few labelled ticks of evenly spaced cells. */
function ticks(labels, most) {
  const step = Math.ceil(labels.length / most)
  const shown = labels.map((label, k) => [label, k]).filter(([, k]) => k % step === 0)
  return { tickvals: shown.map(([, k]) => k), ticktext: shown.map(([label]) => label) }
}

export default mount(".ntp-heat", Heat)
