// Which weights of a layer are left, every weight a cell. Python sends {stops, index, methods, near, layout, title}.
class Mask extends Picture {
  constructor(root) {
    super(root)
    this.canvas = root.querySelector("canvas")
    this.choice = root.querySelector(".ntp-choice")
    this.caption = root.querySelector("figcaption")
    this.shown = ""
  }

  async update(data) {
    this.data = data
    this.ready = false
    try {
      const frames = await Promise.all(data.methods.map(framesOf))
      if (this.closed || this.data !== data) return
      this.frames = frames
    } catch (error) {
      this.caption.textContent = `The picture could not be loaded: ${error.message}`
      return
    }
    this.lay(data.layout)
    this.offer(data.methods)
    this.ready = true
    this.themed()
  }

  /** The bit that each cell of the picture shows, -1 for the gaps between tiles. */
  lay({ inputs, outputs, tile: [height, width], across, gap, shape: [rows, columns] }) {
    const cells = height * width
    const parts = inputs / cells
    this.cells = new Int32Array(rows * columns).fill(-1)
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        const tile = o * parts + Math.floor(i / cells)
        const y = Math.floor(tile / across) * (height + gap) + Math.floor((i % cells) / width)
        const x = (tile % across) * (width + gap) + (i % width)
        this.cells[y * columns + x] = i * outputs + o
      }
    }
    this.canvas.width = columns
    this.canvas.height = rows
    this.canvas.style.width = `min(100%, ${Math.max(columns, Math.min(columns * 12, 620 - (620 % columns)))}px)`
    this.picture = this.canvas.getContext("2d").createImageData(columns, rows)
    this.pixels = new Uint32Array(this.picture.data.buffer)
  }

  /** One method's mask, or two against each other. */
  offer(methods) {
    const options = methods.map(({ name }, k) => [String(k), name])
    if (methods.length > 1) options.unshift(["both", `${methods[0].name} and ${methods[1].name}`])
    if (!options.some(([value]) => value === this.shown)) this.shown = options[0][0]
    const look = JSON.stringify(options)
    if (this.look === look) return
    this.look = look
    this.choice.replaceChildren(...options.map(([value, name]) => {
      const label = element(`<label><input type="radio" name="${this.root.dataset.name}" value="${value}"> <span></span></label>`)
      label.querySelector("span").textContent = name
      label.querySelector("input").checked = value === this.shown
      label.querySelector("input").onchange = () => { this.shown = value; this.themed() }
      return label
    }))
    this.choice.hidden = options.length < 2
  }

  themed() {
    if (!this.ready) return
    const theme = themeOf(this.root)
    const { methods } = this.data
    const color = (k) => packed(rgb(theme.colors[methods[k].style]))
    const [a, b] = this.shown === "both" ? [0, 1] : [Number(this.shown), Number(this.shown)]
    const both = this.shown === "both" ? packed(mixed(rgb(theme.background), rgb(theme.text), 0.62)) : color(a)
    this.colors = [packed(rgb(theme.card)), color(a), color(b), both] // by what is left: nothing, of a, of b, of both
    this.show(this.index)
  }

  show(i) {
    const { methods, near, layout } = this.data
    const [a, b] = this.shown === "both" ? [0, 1] : [Number(this.shown), Number(this.shown)]
    const [one, two] = [a, b].map((k) => (near[k][i] === null ? null : this.frames[k][near[k][i]]))
    const pen = this.canvas.getContext("2d")
    if (!one || !two) {
      pen.clearRect(0, 0, this.canvas.width, this.canvas.height)
      const lacking = [a, b].find((k) => near[k][i] === null)
      this.caption.textContent = lacking === undefined
        ? "Not solved here yet."
        : `${methods[lacking].name} has no point here that could be compared. Pick one method above.`
      return
    }
    const counts = [0, 0, 0, 0]
    const { cells, pixels, colors } = this
    for (let p = 0; p < cells.length; p++) {
      const bit = cells[p]
      if (bit < 0) { pixels[p] = 0; continue }
      const shift = 7 - (bit & 7)
      const left = ((one[bit >> 3] >> shift) & 1) | (((two[bit >> 3] >> shift) & 1) << 1)
      counts[left]++
      pixels[p] = colors[left]
    }
    pen.putImageData(this.picture, 0, 0)
    const total = (layout.inputs * layout.outputs).toLocaleString("en")
    const n = (value) => value.toLocaleString("en")
    this.caption.textContent = this.shown === "both"
      ? `Of ${total} weights both keep ${n(counts[3])}, only ${methods[0].name} ${n(counts[1])}, only ${methods[1].name} ${n(counts[2])}.`
      : `${methods[a].name} keeps ${n(counts[3])} of ${total} weights.`
  }
}

export default mount(".ntp-mask", Mask)
