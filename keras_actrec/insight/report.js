"use strict";
// The list of clips: which are shown, how one plays, and the line that moves along what was seen. What comes
// from outside is set as text, never as HTML.
(() => {
  const told = JSON.parse(document.getElementById("told").textContent);
  const form = document.getElementById("choice"), list = document.getElementById("list");
  const more = document.getElementById("more"), count = document.getElementById("count");
  const PAGE = 12, WIDTH = 320, LEFT = 32, RIGHT = 8;
  let found = [], shown = 0;

  function make(name, attributes = {}, ...children) {
    const svg = ["svg", "line", "polyline", "rect", "text", "circle"].includes(name);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }
  const percent = share => (100 * share).toFixed(1) + "%";
  const model = () => told.models[form.model.value];
  const isRight = clip => clip.top[0][0] === clip.label;

  // Which clips

  const orders = {
    sure: (a, b) => b.top[0][1] - a.top[0][1],
    unsure: (a, b) => a.top[0][1] - b.top[0][1],
    missed: (a, b) => a.true - b.true,
    path: (a, b) => told.files[a.file].path < told.files[b.file].path ? -1 : 1,
  };

  function fill(select, names) {
    const old = select.value;
    select.replaceChildren(...names.map(([value, text]) => make("option", {value}, text)));
    if (names.some(([value]) => value === old)) select.value = old;
  }

  function choose() {
    const names = model().classes.map((name, label) => [String(label), name]);
    for (const select of [form.label, form.answer]) fill(select, [["", "any"], ...names]);
    const kind = form.kind.value, label = form.label.value, answer = form.answer.value;
    found = model().clips.filter(clip =>
      (kind === "all" || isRight(clip) === (kind === "right"))
      && (label === "" || clip.label === Number(label)) && (answer === "" || clip.top[0][0] === Number(answer)));
    found.sort(orders[form.order.value]);
    list.replaceChildren();
    shown = 0;
    count.textContent = `${found.length} of ${model().clips.length} clips.`;
    document.getElementById("looked").hidden = !model().clips.some(clip => clip.trace && clip.trace.attention);
    showMore();
  }

  function showMore() {
    for (const clip of found.slice(shown, shown + PAGE)) list.append(card(clip));
    const next = list.children[shown];
    shown = list.children.length;
    more.hidden = shown >= found.length;
    return next;
  }

  // One clip

  function card(clip) {
    const names = model().classes, file = told.files[clip.file], right = isRight(clip);
    const node = make("article", {class: "clip"});
    const verdict = make("span", {class: "verdict " + (right ? "right" : "wrong")}, right ? "✓ Right" : "✗ Wrong");
    const title = make("h3", {}, verdict, " true label ", make("bdi", {}, names[clip.label]));
    if (!right) title.append(", answered ", make("bdi", {}, names[clip.top[0][0]]));
    title.append(", " + percent(clip.top[0][1]));
    const path = file.path.split(/(?<=\/)/).flatMap(part => [make("wbr"), part]);  // breaks behind folders
    node.append(title, make("p", {class: "muted"}, make("bdi", {}, ...path)));
    const player = file.video ? video(file) : file.stills ? stills(file) : null;
    if (player) {
      node.append(player.node);
      if (clip.trace) {
        const parts = [timeline(clip, file, player)];
        if (clip.trace.attention) parts.push(attention(clip.trace, player));
        player.follow(time => parts.forEach(part => part(time)));
        node.append(parts[0].node, legend(clip));
      }
    }
    node.append(answers(clip));
    return node;
  }

  function answers(clip) {
    const rows = clip.top.some(([label]) => label === clip.label) ? clip.top : [...clip.top, [clip.label, clip.true]];
    return make("ol", {class: "answers"}, ...rows.map(([label, score]) => {
      const bar = make("span", {}), name = make("bdi", {}, model().classes[label]);
      bar.style.width = percent(score);
      const what = make("span", label === clip.label ? {class: "right"} : {}, name);
      if (label === clip.label) what.append(" (true)");
      return make("li", {}, what, make("span", {}, percent(score)),
        make("span", {class: "bar", "aria-hidden": "true"}, bar));
    }));
  }

  // Players: `node`, `stage` (what lies over the picture goes there), `seek`, and `follow`, which has a function
  // called with each new time

  function video(file) {
    const node = make("video", {controls: "", muted: "", playsinline: "", preload: "auto", src: file.video,
      "aria-label": file.path});
    node.muted = true;
    const stage = make("div", {class: "stage"}, node);
    return {
      node: stage, stage,
      seek: time => { node.currentTime = time; },
      follow: tell => {
        const tick = () => { tell(node.currentTime); if (!node.paused && !node.ended) requestAnimationFrame(tick); };
        for (const name of ["play", "timeupdate", "seeking"]) node.addEventListener(name, tick);
        tell(0);
      },
    };
  }

  function stills(file) {
    const picture = make("img", {alt: file.path}), stage = make("div", {class: "stage"}, picture);
    const button = make("button", {type: "button"}, "Play");
    const slider = make("input", {type: "range", min: 0, max: file.seconds, step: file.seconds / 200, value: 0,
      "aria-label": "time in seconds"});
    let listener = () => {}, began = null;
    const show = time => {
      const last = file.stills.length - 1;
      picture.src = file.stills[Math.min(last, Math.floor(time / file.seconds * (last + 1)))];
      slider.value = time;
      listener(time);
    };
    const stop = () => { began = null; button.textContent = "Play"; };
    const tick = now => {
      if (began === null) return;
      const time = Math.max(0, (now - began) / 1000);  // a frame may have begun before the click
      show(Math.min(time, file.seconds));
      if (time < file.seconds) requestAnimationFrame(tick); else stop();
    };
    button.addEventListener("click", () => {
      if (began !== null) { stop(); return; }
      const from = Number(slider.value) >= file.seconds * 0.99 ? 0 : Number(slider.value);
      began = performance.now() - 1000 * from;
      button.textContent = "Pause";
      requestAnimationFrame(tick);
    });
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    show(0);
    return {
      node: make("div", {}, stage, make("div", {class: "strip"}, button, slider)), stage,
      seek: time => { stop(); show(time); },
      follow: tell => { listener = tell; tell(0); },
    };
  }

  // What was seen when

  const at = (times, time) => Math.max(0, times.findLastIndex(each => each <= time + 1e-3));

  function timeline(clip, file, player) {
    const {times, steps, boundaries, temperature} = clip.trace, seconds = file.seconds || 1;
    const x = time => LEFT + (WIDTH - LEFT - RIGHT) * Math.min(1, time / seconds);
    const svg = make("svg", {class: "chart time", role: "img"}), said = [];
    const ends = [...times.slice(1), seconds];
    let top = 0;
    const text = (words, left, y, anchor = "start") =>
      svg.append(make("text", {x: left, y, "text-anchor": anchor}, words));
    const panel = (title, height) => { text(title, LEFT + 4, top + 12); top += 18; const y = top; top += height + 8; return y; };
    const curve = (values, y, height, low, high, color, dashed) => {
      const place = value => y + height * (1 - (value - low) / (high - low));
      const points = values.map((value, step) => `${x(times[step])},${place(value)}`);
      const line = make("polyline", {points: points.join(" ")}, );
      if (dashed) line.setAttribute("stroke-dasharray", "5 4");
      line.style.stroke = `var(--${color})`;
      svg.append(line, ...values.map((value, step) => {
        const dot = make("circle", {cx: x(times[step]), cy: place(value), r: 2.5});
        dot.style.fill = `var(--${color})`;
        return dot;
      }));
    };
    const rule = y => svg.append(make("line", {x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y, class: "grid"}));

    let y = panel("probability", 60);
    for (const [value, words] of [[0, "0"], [0.5, "0.5"], [1, "1"]]) {
      rule(y + 60 * (1 - value));
      text(words, LEFT - 5, y + 60 * (1 - value) + 4, "end");
    }
    const best = clip.top[0][0];
    curve(steps[clip.label], y, 60, 0, 1, "true", false);
    said.push(`Probability of ${model().classes[clip.label]}: ${steps[clip.label].join(" ")}.`);
    if (best !== clip.label) {
      curve(steps[best], y, 60, 0, 1, "predicted", true);
      said.push(`Probability of ${model().classes[best]}: ${steps[best].join(" ")}.`);
    }
    if (boundaries) {
      y = panel("boundaries, the lowest layer at the bottom", 12 * boundaries.length);
      boundaries.forEach((values, layer) => {
        const from = y + 12 * (boundaries.length - 1 - layer);
        text(String(layer + 1), LEFT - 5, from + 10, "end");
        values.forEach((value, step) => {
          const box = make("rect", {x: x(times[step]), y: from, width: Math.max(1, x(ends[step]) - x(times[step]) - 1),
            height: 10});
          box.style.fill = `color-mix(in srgb, var(--ink) ${100 * value}%, var(--line))`;
          svg.append(box);
        });
        said.push(`Boundaries of layer ${layer + 1}: ${values.join(" ")}.`);
      });
    }
    if (temperature) {
      const middle = (Math.max(...temperature) + Math.min(...temperature)) / 2;
      const half = Math.max(0.05, (Math.max(...temperature) - Math.min(...temperature)) / 2);
      y = panel("temperature", 36);
      for (const [value, place] of [[middle + half, y], [middle - half, y + 36]]) {
        rule(place);
        text(value.toFixed(2), LEFT - 5, place + 4, "end");
      }
      curve(temperature, y, 36, middle - half, middle + half, "ink", false);
      said.push(`Temperature: ${temperature.join(" ")}.`);
    }
    text("0", LEFT, top + 8, "middle");
    text(`${seconds.toFixed(1)} s`, WIDTH - RIGHT, top + 8, "end");
    const now = make("line", {y1: 16, y2: top - 4, class: "now"});
    svg.append(now);
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${top + 12}`);
    svg.setAttribute("aria-label", said.join(" "));
    svg.addEventListener("click", event => {
      const box = svg.getBoundingClientRect(), place = (event.clientX - box.left) / box.width * WIDTH;
      player.seek(seconds * Math.min(1, Math.max(0, (place - LEFT) / (WIDTH - LEFT - RIGHT))));
    });
    const move = time => { now.setAttribute("x1", x(time)); now.setAttribute("x2", x(time)); };
    move.node = svg;
    return move;
  }

  function legend(clip) {
    const names = model().classes, best = clip.top[0][0];
    const node = make("p", {class: "muted"}, make("span", {class: "key right"}, "● ", make("bdi", {}, names[clip.label])));
    if (best !== clip.label) node.append(" ", make("span", {class: "key wrong"}, "■ ", make("bdi", {}, names[best]), " (dashed)"));
    return node;
  }

  function attention(trace, player) {
    const bytes = Uint8Array.from(atob(trace.attention), letter => letter.charCodeAt(0));
    const [height, width] = trace.cells;
    const canvas = make("canvas", {width, height, "aria-hidden": "true", class: "looked"});
    ["left", "top", "width", "height"].forEach((name, number) => { canvas.style[name] = percent(trace.region[number]); });
    player.stage.append(canvas);
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    return time => {
      canvas.hidden = !form.attention.checked;
      const from = at(trace.times, time) * width * height;
      for (let cell = 0; cell < width * height; cell++) {
        const share = bytes[from + cell];
        image.data.set([255, 200, 40, 0.6 * share], 4 * cell);
      }
      context.putImageData(image, 0, 0);
    };
  }

  // The confusion matrix: a cell lists its clips, arrow keys go to the next one that is not empty

  for (const matrix of document.querySelectorAll(".confusion")) {
    matrix.addEventListener("click", event => {
      const cell = event.target.closest("button");
      if (!cell) return;
      form.model.value = matrix.dataset.model;
      form.kind.value = "all";
      form.label.value = form.answer.value = "";
      choose();
      form.label.value = cell.dataset.row;
      form.answer.value = cell.dataset.column;
      choose();
      const heading = document.getElementById("clips");
      heading.scrollIntoView();
      heading.focus({preventScroll: true});
    });
    matrix.addEventListener("keydown", event => {
      const move = {ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0]}[event.key];
      const cell = event.target.closest("button");
      if (!move || !cell) return;
      event.preventDefault();
      const [down, across] = move;
      // The nearest one that lies that way, in the same row or column before others.
      const near = [...matrix.querySelectorAll("button")].map(other => {
        const rows = other.dataset.row - cell.dataset.row, columns = other.dataset.column - cell.dataset.column;
        const ahead = rows * down + columns * across, aside = Math.abs(rows * across) + Math.abs(columns * down);
        return [ahead > 0 ? ahead + 1000 * aside : Infinity, other];
      }).reduce((best, each) => each[0] < best[0] ? each : best, [Infinity, null])[1];
      if (!near) return;
      cell.tabIndex = -1;
      near.tabIndex = 0;
      near.focus();
    });
  }

  fill(form.model, told.models.map((each, number) => [String(number), each.name]));
  if (told.models[0].clips.every(isRight)) form.kind.value = "all";
  form.addEventListener("change", event => {
    if (event.target.name === "model") form.label.value = form.answer.value = "";  // whose numbers are others now
    if (event.target.name !== "attention") { choose(); return; }
    for (const canvas of document.querySelectorAll(".looked")) canvas.hidden = !form.attention.checked;
  });
  form.addEventListener("submit", event => event.preventDefault());
  more.addEventListener("click", () => {
    const next = showMore();
    if (next) { next.tabIndex = -1; next.focus(); }
  });
  form.hidden = false;
  choose();
})();
