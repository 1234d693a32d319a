// What a network still looks at. Python sends {stops, index, methods, near, kind, ...}: with kind "usage" the masks of a
// first layer and {inputs, outputs, shape}; with kind "regions" maps of predicted classes and {side, dense, palette}.
class Sight extends Picture {
  async update(data) {
    this.data = data
    this.ready = false
    const grid = this.root.querySelector(".ntp-panels")
    try {
      const frames = await Promise.all(data.methods.map(framesOf))
      const dense = data.dense ? (await framesOf({ url: data.dense, present: [true] }))[0] : null
      if (this.closed || this.data !== data) return
      Object.assign(this, { frames, dense })
    } catch (error) {
      grid.textContent = `The pictures could not be loaded: ${error.message}`
      return
    }
    const names = [...(this.dense ? ["Dense network"] : []), ...data.methods.map(({ name }) => name)]
    const look = JSON.stringify([names, data.shape])
    if (this.look !== look) {
      this.look = look
      grid.replaceChildren(...names.map((name) => {
        const panel = element(`<figure><strong></strong><canvas role="img" width="${data.shape[1]}" height="${data.shape[0]}"></canvas><figcaption></figcaption></figure>`)
        panel.querySelector("strong").textContent = name
        return panel
      }))
    }
    this.ready = true
    this.themed()
  }

  themed() {
    if (!this.ready) return
    this.theme = themeOf(this.root)
    if (this.dense) {
      const panel = this.root.querySelector("figure")
      this.paint(panel, this.dense, (p) => this.region(this.dense, p))
      this.say(panel, "the plane of the two inputs, coloured by class")
    }
    this.show(this.index)
  }

  show(i) {
    const { methods, near } = this.data
    const panels = [...this.root.querySelectorAll("figure")].slice(this.dense ? 1 : 0)
    methods.forEach((method, k) => {
      const frame = near[k][i] === null ? null : this.frames[k][near[k][i]]
      const panel = panels[k]
      if (!frame) {
        const canvas = panel.querySelector("canvas")
        canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height)
        this.say(panel, near[k][i] === null ? "nothing here that could be compared" : "not solved here yet")
      } else if (this.data.kind === "usage") this.usage(panel, frame, method)
      else this.regions(panel, frame)
    })
  }

  usage(panel, frame, { style }) {
    const { inputs, outputs } = this.data
    const left = new Uint16Array(inputs)
    for (let i = 0, bit = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++, bit++) left[i] += (frame[bit >> 3] >> (7 - (bit & 7))) & 1
    }
    const [low, high] = [rgb(this.theme.card), rgb(this.theme.colors[style])]
    const colors = Array.from({ length: outputs + 1 }, (_, count) => packed(mixed(low, high, Math.sqrt(count / outputs))))
    this.paint(panel, left, (i) => colors[left[i]])
    this.say(panel, `${left.filter((count) => count > 0).length} of ${inputs} inputs still used`)
  }

  region(frame, p) {
    const { palette } = this.data
    const color = rgb(palette[frame[p] % palette.length])
    return packed(mixed(rgb(this.theme.background), color, frame[p] === this.dense[p] ? 0.35 : 1))
  }

  regions(panel, frame) {
    const palette = this.data.palette.map((color) => rgb(color))
    const ground = rgb(this.theme.background)
    const strong = palette.map((color) => packed(color))
    const pale = palette.map((color) => packed(mixed(ground, color, 0.35)))
    let changed = 0
    this.paint(panel, frame, (p) => {
      const kind = frame[p] % palette.length
      if (frame[p] === this.dense[p]) return pale[kind]
      changed++
      return strong[kind]
    })
    this.say(panel, `${((100 * changed) / frame.length).toFixed(1)} % of the plane changed class (full colour)`)
  }

  paint(panel, cells, color) {
    const canvas = panel.querySelector("canvas")
    const pen = canvas.getContext("2d")
    const picture = pen.createImageData(canvas.width, canvas.height)
    const pixels = new Uint32Array(picture.data.buffer)
    const { upwards } = this.data // the second input grows upwards
    const width = canvas.width
    for (let p = 0; p < cells.length; p++) {
      const row = upwards ? canvas.height - 1 - Math.floor(p / width) : Math.floor(p / width)
      pixels[row * width + (p % width)] = color(p)
    }
    pen.putImageData(picture, 0, 0)
  }

  say(panel, text) {
    panel.querySelector("figcaption").textContent = text
    panel.querySelector("canvas").setAttribute("aria-label", `${panel.querySelector("strong").textContent}: ${text}`)
  }
}

export default mount(".ntp-sight", Sight)
