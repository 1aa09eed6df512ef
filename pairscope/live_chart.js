// Redraws a Plotly figure in place: the node, the zoom and the hover of the user outlive every refresh.
//
// Streamlit calls the function at the bottom anew for each refresh, with the same parentElement for the same chart.

const charts = new WeakMap(); // parentElement -> Chart

const RETRY_MS = 2000;
const CONFIG = {
  displaylogo: false,
  doubleClick: "autosize", // back to following the data
  modeBarButtons: [["zoom2d", "pan2d", "autoScale2d", "toImage"]],
};

/** Load plotly.js once a page, however many charts wait for it; after a failure the next call tries again. */
function loadPlotly(url) {
  window.pairscopePlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const fail = () => {
      script.remove();
      delete window.pairscopePlotly;
      reject(new Error(`plotly.js could not be loaded from ${url}`));
    };
    script.src = url;
    script.onload = () => (window.Plotly ? resolve(window.Plotly) : fail());
    script.onerror = fail;
    document.head.append(script);
  });
  return window.pairscopePlotly;
}

function element(name, style) {
  const made = document.createElement(name);
  made.style.cssText = style;
  return made;
}

function sameBytes(a, b) {
  return a?.length === b.length && a.every((byte, index) => byte === b[index]);
}

class Chart {
  constructor(parent) {
    this.parent = parent;
    this.turn = 0; // how often Streamlit has called
    this.waiting = null; // the newest figure, until it is drawn
    this.held = false; // the user is dragging
    this.pointer = null; // the last move over the chart

    this.box = element("div", "position:relative; width:100%; height:100%");
    this.node = element("div", "width:100%; height:100%");
    this.node.className = "pairscope-chart";
    this.note = element("p", "position:absolute; inset:0; margin:0; padding:1rem; text-align:center");
    this.note.setAttribute("role", "status");
    this.box.append(this.node, this.note);
    parent.append(this.box);
    this.say("");
    this.listen();
  }

  listen() {
    this.listening = new AbortController();
    const { signal } = this.listening;
    const listen = (target, name, act) => target.addEventListener(name, act, { signal, capture: true });
    listen(this.node, "pointerdown", () => (this.held = true));
    listen(window, "pointerup", () => this.release());
    listen(window, "pointercancel", () => this.release());
    listen(this.node, "mousemove", (event) => {
      this.pointer = event;
      if (!event.buttons) this.release(); // let go outside the window
    });
    this.box.onmouseleave = () => (this.pointer = null); // of the box alone: not caught on the way to its children
    this.sizes = new ResizeObserver(() => this.fit());
    this.sizes.observe(this.node);
  }

  /** Take the bytes of one refresh: JSON with the address of plotly.js and the figure. */
  take(bytes) {
    this.turn += 1;
    if (!sameBytes(this.bytes, bytes)) {
      this.bytes = bytes;
      const { source, figure } = JSON.parse(new TextDecoder().decode(bytes));
      this.waiting = figure;
      if (this.turn === 1) this.load(source);
      else this.schedule();
    }
    return this.turn;
  }

  async load(source) {
    try {
      this.plotly = await loadPlotly(source);
      this.schedule();
    } catch (error) {
      this.say(`The chart cannot be drawn: ${error.message}. Trying again.`);
      if (!this.closed) this.retry = setTimeout(() => this.load(source), RETRY_MS);
    }
  }

  /** Draw in the next frame: a burst of figures is drawn once, a hidden tab draws nothing. */
  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  async draw() {
    // A redraw would tear the selection out of the user's hand; a node without width (an unselected tab) has no scale.
    if (!this.waiting || !this.plotly || this.held || this.closed || !this.node.clientWidth) return;
    const { data, layout } = this.waiting;
    this.waiting = null;
    const page = getComputedStyle(this.node).getPropertyValue("--st-background-color"); // the user may have changed it
    if (page) layout.paper_bgcolor = layout.plot_bgcolor = page;
    try {
      await this.plotly.react(this.node, data, layout, CONFIG);
      this.say("");
    } catch (error) {
      this.say(`The chart cannot be drawn: ${error.message}`);
      throw error;
    }
    this.hover();
  }

  /** Show the hover again, of the new data: a redraw takes it from under a pointer that rests. */
  hover() {
    this.pointer?.target.dispatchEvent(new MouseEvent("mousemove", this.pointer));
  }

  fit() {
    if (!this.node.clientWidth) return;
    if (this.waiting) this.schedule();
    else if (this.node.layout) this.plotly.Plots.resize(this.node);
  }

  release() {
    if (!this.held) return;
    this.held = false;
    if (this.waiting) this.schedule();
  }

  say(text) {
    this.note.textContent = text;
    this.note.hidden = !text;
  }

  close() {
    this.closed = true;
    this.listening.abort();
    this.sizes.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.retry);
    this.plotly?.purge(this.node);
    this.box.remove();
    charts.delete(this.parent);
  }
}

export default function liveChart({ data, parentElement }) {
  if (!charts.has(parentElement)) charts.set(parentElement, new Chart(parentElement));
  const chart = charts.get(parentElement);
  const turn = chart.take(data);
  // When refreshes overtake each other, Streamlit runs the cleanup of the older one after the newer one has begun.
  return () => {
    if (turn === chart.turn) chart.close();
  };
}
