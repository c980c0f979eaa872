"use strict";
const STAGES = ["detect", "crop", "infer", "track", "view", "end to end"];
const AGAIN_MS = 5000; // between two requests for the picture
const page = Math.random().toString(36).slice(2); // by it the events tell whether this page's picture is being sent
const get = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)} %`;
let seconds = [];
let paused = false;
let watched = 0; // when the picture was asked for
let below = 0.5;

if (location.search) history.replaceState(null, "", "/"); // the token leaves the address

function make(name, text, kind) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function watch() {
  watched = performance.now();
  get("live").src = paused || document.hidden ? "data:," : `/live.mjpg?page=${page}&at=${watched}`;
}

function showFace(box, face) {
  if (!box.rows) {
    box.heading = box.appendChild(make("h3"));
    box.rows = {};
    for (const name of Object.keys(face.probabilities)) {
      const row = box.appendChild(make("div", undefined, "row"));
      row.append(make("span", name));
      const fill = row.appendChild(make("div", undefined, "track")).appendChild(make("div", undefined, "fill"));
      box.rows[name] = [fill, row.appendChild(make("span"))];
    }
  }
  const doubt = face.emotion === "uncertain";
  box.className = doubt ? "face uncertain" : "face";
  box.heading.textContent = doubt
    ? `Face ${face.track}: uncertain (no answer reaches ${percent(below)})`
    : `Face ${face.track}: ${face.emotion} ${percent(face.probabilities[face.emotion])}`;
  for (const [name, share] of Object.entries(face.probabilities)) {
    box.rows[name][0].style.width = `${100 * share}%`;
    box.rows[name][1].textContent = percent(share);
  }
}

function showFaces(faces) {
  const holder = get("faces");
  const present = new Set(faces.map((face) => `face-${face.track}`));
  for (const box of [...holder.children]) if (!present.has(box.id)) box.remove();
  for (const face of [...faces].sort((a, b) => a.track - b.track)) {
    let box = get(`face-${face.track}`);
    if (!box) {
      box = holder.appendChild(make("div"));
      box.id = `face-${face.track}`;
    }
    showFace(box, face);
  }
  get("no-faces").hidden = faces.length > 0;
}

function drawn(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return get("chart").appendChild(element);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function showLatency() {
  get("chart").replaceChildren();
  const body = get("latency").tBodies[0];
  body.replaceChildren();
  if (!seconds.length) return;
  const last = seconds[seconds.length - 1].second;
  const top = Math.max(1, ...seconds.flatMap((entry) => Object.values(entry.median_ms)));
  const x = (second) => 590 - (560 * (last - second)) / 59, y = (ms) => 175 - (160 * ms) / top;
  drawn("text", { x: 4, y: 18 }, `${top.toFixed(top < 10 ? 1 : 0)} ms`);
  drawn("text", { x: 4, y: 179 }, "0");
  drawn("text", { x: 30, y: 195 }, "60 s ago");
  drawn("text", { x: 565, y: 195 }, "now");
  STAGES.forEach((stage, index) => {
    const has = seconds.filter((entry) => stage in entry.median_ms);
    if (!has.length) return;
    let points = [];
    const flush = () => {
      if (points.length === 1) points.push(points[0]);
      if (points.length) drawn("polyline", { class: `s${index}`, points: points.join(" ") });
      points = [];
    };
    for (const entry of seconds) {
      if (stage in entry.median_ms) points.push(`${x(entry.second).toFixed(1)},${y(entry.median_ms[stage]).toFixed(1)}`);
      else flush();
    }
    flush();
    const row = body.insertRow();
    const head = make("th", stage, `s${index}`);
    head.scope = "row";
    row.append(head, make("td", has[has.length - 1].median_ms[stage].toFixed(2)));
    row.append(make("td", median(has.map((entry) => entry.median_ms[stage])).toFixed(2)));
  });
}

function showSource(source) {
  const down = !["live", "starting"].includes(source.state);
  get("status").textContent = down ? `Camera ${source.state}: ${source.text}` : source.state;
  get("status").className = down ? "bad" : "";
}

function show(state) {
  // A browser does not tell that the server let a picture go (it took nothing for long, asleep perhaps).
  if (!state.picture && !paused && !document.hidden && performance.now() - watched > AGAIN_MS) watch();
  showSource(state.source);
  get("viewers").textContent = `${state.viewers.now} of ${state.viewers.most} viewers`;
  showFaces(state.reading && ["live", "starting"].includes(state.source.state) ? state.reading.faces : []);
  if (state.seconds.length) {
    seconds = [...seconds, ...state.seconds].slice(-60);
    showLatency();
  }
}

async function begin() {
  try {
    const answer = await fetch("/api/state");
    if (!answer.ok) throw new Error(await answer.text());
    const state = await answer.json();
    below = state.about.uncertain_below;
    get("model").textContent = `Model ${state.about.model.name} (${state.about.model.recipe}), accuracy ${state.accuracy}; detector ${state.about.detector}; source ${state.about.source}.`;
    get("notice").textContent = state.notice;
    get("use").textContent = `For: ${state.intended_use} Not for: ${state.not_for}`;
    seconds = [];
    listen();
  } catch (error) {
    again(`No connection to fer-edge (${error.message.trim()}); trying again.`);
  }
}

function again(text) {
  get("status").textContent = text;
  get("status").className = "bad";
  setTimeout(begin, 3000);
}

function listen() {
  const events = new EventSource(`/api/events?page=${page}`);
  events.onmessage = (message) => show(JSON.parse(message.data));
  events.onerror = () => {
    events.close();
    again("No connection to fer-edge, or too many viewers; trying again.");
  };
  watch();
}

async function sendStill(file) {
  get("still-status").textContent = "Reading …";
  get("still-status").className = "";
  try {
    const answer = await fetch(`/api/image?picture=1&name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    const faces = found.reading.faces;
    get("still-status").textContent = faces.length
      ? faces.map((face) => `${face.emotion} ${percent(face.probabilities[face.emotion])}`).join(", ")
      : "No face found.";
    get("still").src = found.picture;
    get("still-json").textContent = JSON.stringify(found.reading, null, 1);
    get("still").hidden = get("still-json").hidden = false;
  } catch (error) {
    get("still-status").textContent = error.message;
    get("still-status").className = "bad";
  }
}

get("pause").addEventListener("click", () => {
  paused = !paused;
  get("pause").setAttribute("aria-pressed", String(paused));
  watch();
});
get("file").addEventListener("change", (event) => event.target.files[0] && sendStill(event.target.files[0]));
document.addEventListener("visibilitychange", watch);
window.addEventListener("load", begin);
