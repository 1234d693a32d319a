// Layer by layer: zeros, and how much of the tolerance was used. Python sends {stops, index, layers, methods, near}.
class Bars extends Picture {
  update(data) {
    this.data = data
    const body = this.root.querySelector("tbody")
    const look = JSON.stringify([data.layers, data.methods.map(({ name }) => name)])
    if (this.look !== look) {
      this.look = look
      body.replaceChildren(...data.layers.flatMap((layer, l) => data.methods.map((method, k) => {
        const row = element(`<table><tr>${k ? "" : `<th scope="rowgroup" rowspan="${data.methods.length}"><span></span><small></small></th>`}
          <td></td><td><span></span><div class="ntp-bar"><i></i></div></td><td><span></span><div class="ntp-bar"><i></i></div></td></tr></table>`).querySelector("tr")
        if (!k) [...row.querySelectorAll("th > *")].forEach((node, j) => { node.textContent = [layer.name, layer.about][j] })
        row.querySelector("td").textContent = method.name
        return row
      })))
    }
    this.ready = true
    this.themed()
  }

  themed() {
    const { colors } = themeOf(this.root)
    const { methods } = this.data
    this.root.querySelectorAll("tbody tr").forEach((row, r) => {
      row.querySelectorAll("i").forEach((bar) => { bar.style.background = colors[methods[r % methods.length].style] })
    })
    this.show(this.index)
  }

  show(i) {
    const { methods, near } = this.data
    const rows = this.root.querySelectorAll("tbody tr")
    rows.forEach((row, r) => {
      const k = r % methods.length
      const at = near[k][i] === null ? null : methods[k].values[near[k][i]]
      const figures = at && at[Math.floor(r / methods.length)]
      const [zeros, used] = [...row.querySelectorAll("td")].slice(1)
      const set = (cell, text, part) => {
        cell.querySelector("span").textContent = text
        cell.querySelector("i").style.width = `${100 * Math.min(Math.max(part, 0), 1)}%`
      }
      set(zeros, figures ? figures.zeros : near[k][i] === null ? "nothing to compare" : "not solved yet", figures ? figures.sparsity : 0)
      set(used, figures ? figures.text : "", figures ? figures.used : 0)
    })
  }
}

export default mount(".ntp-bars", Bars)
