// The third part of the page: pictures of two pixels, as points in the plane.

import { SHAPES, centres, density, follow, PIXELS } from "./cloud.js";
import { HeatPath } from "./heat.js";
import { fill } from "./paint.js";
import { named, onTheme, player, slider } from "./ui.js";

const EXTENT = 3; // the plane is shown from −3 to 3
const PARTICLES = 150;
const STEPS = 60;
const MOST = 150; // data points
const APART = 0.14; // between points of one stroke

export function startCloud(part) {
  const get = named(part);
  const canvas = get("plane");
  const context = canvas.getContext("2d");
  const heatMap = document.createElement("canvas");
  let data = SHAPES.spiral();
  let frames = [];
  let cursor = [0, 0];
  let hasCursor = false;
  let isDrawing = false;

  const r = () => Number(get("blur").value);
  const t = () => Number(get("time").value);
  const colour = (name) => getComputedStyle(canvas).getPropertyValue(name).trim();
  const across = (x) => (x / EXTENT + 1) / 2 * canvas.width;
  const down = (y) => (1 - y / EXTENT) / 2 * canvas.height;

  function dot([x, y], radius) {
    context.beginPath();
    context.arc(across(x), down(y), radius, 0, 2 * Math.PI);
  }

  function paintDensity(unit) {
    const [red, green, blue] = colour("--play-density").split(" ").map(Number);
    const values = density(data, { r: r(), t: t(), extent: EXTENT });
    const grid = Math.sqrt(values.length);
    fill(heatMap, grid, grid, (i) => [red, green, blue, 210 * Math.sqrt(values[i])]);
    context.imageSmoothingEnabled = true;
    context.drawImage(heatMap, 0, 0, canvas.width, canvas.height);
    context.fillStyle = colour("--play-centre");
    for (const centre of centres(new HeatPath(...PIXELS, r()), data, t())) {
      dot(centre, 2 * unit);
      context.fill();
    }
  }

  function paintAxes(unit) {
    context.strokeStyle = colour("--play-line");
    context.lineWidth = unit;
    context.setLineDash([4 * unit, 4 * unit]);
    for (const [x, y] of [[EXTENT, EXTENT], [EXTENT, -EXTENT]]) {
      context.beginPath();
      context.moveTo(across(-x), down(-y));
      context.lineTo(across(x), down(y));
      context.stroke();
    }
    context.setLineDash([]);
    context.fillStyle = colour("color");
    context.font = `${12 * unit}px sans-serif`;
    context.textAlign = "right";
    context.fillText("mean", across(EXTENT) - 26 * unit, down(EXTENT) + 16 * unit);
    context.fillText("difference", across(EXTENT) - 26 * unit, down(-EXTENT) - 8 * unit);
  }

  function paintParticles(unit) {
    const place = t() * STEPS;
    const whole = Math.min(Math.floor(place), STEPS - 1);
    const rest = place - whole;
    context.strokeStyle = context.fillStyle = colour("--play-particle");
    context.lineWidth = 0.8 * unit;
    for (let p = 0; p < PARTICLES; p++) {
      const [a, b] = [frames[whole][p], frames[whole + 1][p]];
      const now = [a[0] + rest * (b[0] - a[0]), a[1] + rest * (b[1] - a[1])];
      context.globalAlpha = 0.4;
      context.beginPath();
      context.moveTo(across(frames[0][p][0]), down(frames[0][p][1]));
      for (let n = 1; n <= whole; n++) context.lineTo(across(frames[n][p][0]), down(frames[n][p][1]));
      context.lineTo(across(now[0]), down(now[1]));
      context.stroke();
      context.globalAlpha = 1;
      dot(now, 2.2 * unit);
      context.fill();
    }
  }

  function show() {
    const side = Math.round(canvas.clientWidth * Math.min(2, window.devicePixelRatio || 1)) || 720;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const unit = side / (canvas.clientWidth || side);
    context.clearRect(0, 0, side, side);
    if (data.length) paintDensity(unit);
    paintAxes(unit);
    if (frames.length) paintParticles(unit);
    context.strokeStyle = colour("color");
    context.lineWidth = 1.4 * unit;
    for (const point of data) {
      dot(point, 4 * unit);
      context.stroke();
    }
    if (hasCursor) {
      dot(cursor, 9 * unit);
      context.stroke();
    }
    get("told").textContent = data.length
      ? `${data.length} data points · t = ${t().toFixed(2)} · at this time the difference of the two `
        + `pixels is multiplied by ${(t() ** (1 + r() * (Math.PI / 2) ** 2)).toFixed(2)}, `
        + `their mean by ${t().toFixed(2)}`
      : "No data yet: draw some points.";
  }

  function change(points) {
    data = points;
    frames = data.length ? follow(data, { r: r(), particles: PARTICLES, steps: STEPS }) : [];
    show();
  }

  function add(point, apart = 0) {
    const last = data[data.length - 1];
    const isNear = last && Math.hypot(point[0] - last[0], point[1] - last[1]) < apart;
    if (isNear || data.length >= MOST) return;
    data = [...data, point];
    if (isDrawing) show(); // particles wait for the end of the stroke
    else change(data);
  }

  function pointed(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width * 2 - 1) * EXTENT,
            (1 - (event.clientY - box.top) / box.height * 2) * EXTENT];
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    isDrawing = true;
    add(pointed(event));
  });
  canvas.addEventListener("pointermove", (event) => isDrawing && add(pointed(event), APART));
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => {
      isDrawing = false;
      change(data);
    });

  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (move) cursor = cursor.map((c, i) => Math.min(EXTENT, Math.max(-EXTENT, c + 0.15 * move[i])));
    else if (event.key === "Enter" || event.key === " ") add([...cursor]);
    else if (event.key === "Backspace") change(data.slice(0, -1));
    else return;
    event.preventDefault();
    show();
  });
  canvas.addEventListener("focus", () => {
    hasCursor = canvas.matches(":focus-visible");
    show();
  });
  canvas.addEventListener("blur", () => {
    hasCursor = false;
    show();
  });

  const timeSlider = slider(get("time"), (value) => value.toFixed(2), show);
  slider(get("blur"), (value) => value.toFixed(2), () => change(data));
  player(get("play"), get("time"), 4, () => {
    timeSlider.show();
    show();
  });
  for (const button of part.querySelectorAll("[data-shape]"))
    button.addEventListener("click", () => change(SHAPES[button.dataset.shape]?.() ?? []));
  new ResizeObserver(show).observe(canvas);
  onTheme(show);
  change(data);
  return { change, state: () => ({ data, frames }) };
}
