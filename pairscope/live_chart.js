// Redraws a Plotly figure in place: the node, the zoom and the hover of the user outlive every refresh.
//
// Streamlit calls the function at the bottom anew for each refresh, with the same parentElement for the same element.
// A chart is two elements: a base, which is a whole figure, and a patch that makes the newest figure of it. Either may
// come first, and a chart waits for the base that its patch names. A small line is one element.

const elements = new WeakMap(); // parentElement -> Base, Chart or Spark
const bases = new Map(); // chart's key -> Base
const charts = new Map(); // chart's key -> Chart

const SVG = "http://www.w3.org/2000/svg";
const RETRY_MS = 2000;
const LOOK_MS = 150; // a zoom is told when it has lasted so long
const CONFIG = {
  displaylogo: false,
  doubleClick: "autosize", // back to following the data
  modeBarButtons: [["zoom2d", "pan2d", "autoScale2d", "toImage"]],
};
const ARRAYS = {
  f4: Float32Array, f8: Float64Array, i1: Int8Array, u1: Uint8Array,
  i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array,
}; // prettier-ignore

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

/** Read JSON whose arrays of numbers are base64. */
function read(bytes) {
  return JSON.parse(new TextDecoder().decode(bytes), (_, value) => {
    if (typeof value?.bdata !== "string" || value.shape) return value; // plotly.js reads tables itself
    const text = atob(value.bdata);
    const raw = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    return new ARRAYS[value.dtype](raw.buffer);
  });
}

/** Make the newest figure of a base (see charts/patches.py); nothing of the base but its arrays is handed out. */
function patched(old, patch) {
  if (patch && "new" in patch) return patch.new;
  if (patch && "keep" in patch) return spliced(old, patch);
  if (typeof old !== "object" || old === null || ArrayBuffer.isView(old)) return old;
  const made = Array.isArray(old) ? [] : {};
  for (const name of Object.keys({ ...old, ...patch?.at })) {
    const part = patch?.at[name];
    if (part !== null) made[name] = patched(old[name], part);
  }
  return made;
}

function spliced(old, { drop, keep, head = [], tail = [] }) {
  const made = new old.constructor(head.length + keep + tail.length);
  made.set(head);
  made.set(old.subarray(drop, drop + keep), head.length);
  made.set(tail, head.length + keep);
  return made;
}

function element(name, style) {
  const made = document.createElement(name);
  made.style.cssText = style;
  return made;
}

/**
 * Write every time of a figure as a text without a zone, in place: on a date axis, plotly.js reads a number by the
 * clock of the browser, which skips an hour in spring, and a text as it stands.
 */
function tellTimes({ data, layout }) {
  const dated = (axis = "x") => layout[`xaxis${axis.slice(1)}`]?.type === "date";
  for (const trace of data) if (trace.x && dated(trace.xaxis)) trace.x = Array.from(trace.x, timeText);
  for (const mark of [...(layout.shapes ?? []), ...(layout.annotations ?? [])]) {
    for (const end of ["x", "x0", "x1"]) if (end in mark && dated(mark.xref)) mark[end] = timeText(mark[end]);
  }
  for (const [name, axis] of Object.entries(layout)) {
    if (!/^xaxis\d*$/.test(name) || axis.type !== "date") continue;
    for (const ends of [axis.range, axis.autorangeoptions]) for (const end in ends) ends[end] = timeText(ends[end]);
  }
}

function timeText(time) {
  return Number.isFinite(time) ? new Date(time).toISOString().slice(0, -1) : time;
}

function same(a, b) {
  return a === b || (a?.length === b?.length && !!a?.every((each, index) => each === b[index]));
}

class Base {
  constructor(parent) {
    this.parent = parent;
  }

  take({ data }) {
    if (same(this.bytes, data)) return;
    this.bytes = data;
    Object.assign(this, read(data)); // chart, name, figure
    bases.set(this.chart, this);
    charts.get(this.chart)?.schedule();
  }

  close() {
    if (bases.get(this.chart) === this) bases.delete(this.chart);
    elements.delete(this.parent);
  }
}

/** A small line without axes, with a dot at its end. */
class Spark {
  constructor(parent) {
    this.parent = parent;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("aria-hidden", "true"); // the number beside it says what it comes to
    svg.setAttribute("preserveAspectRatio", "none");
    svg.style.cssText = "display:block; width:100%; height:100%; overflow:visible; color:var(--st-primary-color)";
    this.line = this.path(svg, 1.5);
    this.dot = this.path(svg, 5);
    this.svg = svg;
    parent.append(svg);
  }

  path(svg, width) {
    const made = document.createElementNS(SVG, "path");
    const look = { fill: "none", stroke: "currentColor", "stroke-width": width, "stroke-linecap": "round" };
    look["stroke-linejoin"] = "round";
    look["vector-effect"] = "non-scaling-stroke";
    for (const [name, value] of Object.entries(look)) made.setAttribute(name, value);
    svg.append(made);
    return made;
  }

  take({ data }) {
    const { line, steps } = read(data);
    this.svg.setAttribute("viewBox", `0 0 ${Math.max(line.length - 1, 1)} ${steps}`);
    this.line.setAttribute("d", line.map((height, place) => `${place ? "L" : "M"}${place} ${height}`).join(""));
    this.dot.setAttribute("d", line.length ? `M${line.length - 1} ${line.at(-1)}h0` : "");
  }

  close() {
    this.svg.remove();
    elements.delete(this.parent);
  }
}

class Chart {
  constructor(parent) {
    this.parent = parent;
    this.waiting = null; // the newest patch, until it is drawn
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

  /** Take one refresh: the base and what to make of it, the address of plotly.js, and what the desk knows is seen. */
  take({ data, setStateValue }) {
    this.setStateValue = setStateValue;
    if (same(this.bytes, data)) return;
    this.bytes = data;
    this.waiting = read(data);
    if (this.key) {
      this.schedule();
      return;
    }
    this.key = this.waiting.chart;
    this.told = this.waiting.seen;
    charts.set(this.key, this);
    this.load(this.waiting.plotly);
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
    const base = bases.get(this.key);
    if (base?.name !== this.waiting.base) return; // it comes, and asks again
    const figure = patched(base.figure, this.waiting.patch);
    const { data, layout } = figure;
    tellTimes(figure);
    this.watched = this.waiting.watched;
    this.waiting = null;
    const page = getComputedStyle(this.node).getPropertyValue("--st-background-color"); // the user may have changed it
    if (page) layout.paper_bgcolor = layout.plot_bgcolor = page;
    const first = !this.node.layout;
    try {
      await this.plotly.react(this.node, data, layout, CONFIG);
      this.say("");
    } catch (error) {
      this.say(`The chart cannot be drawn: ${error.message}`);
      throw error;
    }
    if (first) this.node.on("plotly_relayout", () => this.look());
    this.hover();
    this.look();
  }

  /** Tell the desk which part of the x axis is seen, once that has changed and rests: finer points come for it. */
  look() {
    clearTimeout(this.looking);
    if (this.watched && !same(this.seen(), this.told)) this.looking = setTimeout(() => this.tell(), LOOK_MS);
  }

  tell() {
    if (this.held || this.closed) return; // a redraw follows, and looks again
    this.told = this.seen();
    this.setStateValue("seen", this.told);
  }

  seen() {
    const axis = this.node._fullLayout?.xaxis;
    return !axis || axis.autorange ? null : axis.range.map((each) => axis.r2l(each));
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
    else this.look();
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
    clearTimeout(this.looking);
    this.plotly?.purge(this.node);
    this.box.remove();
    if (charts.get(this.key) === this) charts.delete(this.key);
    elements.delete(this.parent);
  }
}

export default function liveChart(given) {
  const { data, parentElement } = given;
  if (!elements.has(parentElement)) {
    const kind = read(data);
    const Kind = "figure" in kind ? Base : "line" in kind ? Spark : Chart;
    elements.set(parentElement, new Kind(parentElement));
  }
  const shown = elements.get(parentElement);
  shown.take(given);
  // When refreshes overtake each other, Streamlit calls this for the older one although the element stays.
  return () => setTimeout(() => parentElement.isConnected || shown.close());
}
