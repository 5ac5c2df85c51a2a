"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("live");
  const tip = document.getElementById("tip");
  const clock = (t) => {
    if (t < 59.95) return t.toFixed(1) + " s";
    const tenths = Math.round(t * 10), h = Math.floor(tenths / 36000), m = Math.floor(tenths / 600) % 60, s = tenths % 600;
    const two = (n) => String(n).padStart(2, "0");
    return h ? `${h}:${two(m)}:${two(Math.floor(s / 10))}` : `${m}:${two(Math.floor(s / 10))}.${s % 10}`;
  };
  const percent = (p) => Math.min(99, Math.max(0, Math.round(100 * p))) + " %";
  const add = (parent, tag, text, kind) => {
    const node = parent.appendChild(document.createElement(tag));
    node.textContent = text;
    if (kind) node.className = kind;
    return node;
  };

  const theme = document.querySelector(".theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  const showTip = (seg) => {
    const { s, e, p, b, r } = seg.dataset;
    const middleTime = (+s + +e) / 2, away = (image) => Math.abs(+image.dataset.t - middleTime);
    const picture = [...seg.closest(".lane").querySelectorAll("img")].sort((one, two) => away(one) - away(two))[0];
    tip.replaceChildren();
    if (picture) { const image = add(tip, "img", ""); image.src = picture.src; image.alt = ""; }
    const text = add(tip, "div", "");
    const unknown = seg.classList.contains("unknown");
    add(text, "b", unknown ? "unknown" : b);
    add(text, "div", `${clock(+s)} to ${clock(+e)}, ${(e - s).toFixed(1)} s`);
    const row = (label, value) => { const line = add(text, "div", "", "row"); add(line, "span", label); add(line, "span", percent(value)); };
    row(unknown ? `at best ${b}` : b, +p);
    for (const other of r ? r.split(";") : []) { const cut = other.lastIndexOf("="); row(other.slice(0, cut), +other.slice(cut + 1)); }
    tip.hidden = false;
    const at = seg.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const middle = Math.max(at.left, 0) / 2 + Math.min(at.right, innerWidth) / 2;
    tip.style.left = Math.min(Math.max(8, middle - own.width / 2), innerWidth - own.width - 8) + "px";
    tip.style.top = (at.top - own.height - 8 > 4 ? at.top - own.height - 8 : at.bottom + 8) + "px";
  };
  const hideTip = () => { tip.hidden = true; };

  for (const source of document.querySelectorAll(".source")) {
    const video = source.querySelector("video"), lanes = source.querySelector(".lanes");
    if (!lanes) continue;
    const start = +source.dataset.start, end = +source.dataset.end, offset = +(source.dataset.offset || 0);
    const head = lanes.querySelector(".playhead"), axis = lanes.querySelector(".axis .track"), scroller = source.querySelector(".scroller");
    const segments = [...lanes.querySelectorAll(".seg")];

    lanes.addEventListener("mouseover", (event) => { const seg = event.target.closest(".seg"); if (seg) showTip(seg); else hideTip(); });
    lanes.addEventListener("mouseleave", hideTip);
    lanes.addEventListener("focusin", (event) => { if (event.target.matches(".seg:focus-visible")) showTip(event.target); });
    lanes.addEventListener("focusout", hideTip);
    scroller.addEventListener("scroll", hideTip, { passive: true });
    lanes.addEventListener("click", (event) => {
      const seg = event.target.closest(".seg");
      if (!seg) return;
      if (!video) { showTip(seg); return; }
      video.currentTime = Math.max(0, +seg.dataset.s - offset + 0.001);
      const box = video.getBoundingClientRect();
      if (box.bottom < 80 || box.top > innerHeight) video.scrollIntoView({ block: "center" });
    });
    lanes.addEventListener("keydown", (event) => {
      const seg = event.target.closest(".seg");
      if (event.key === "Escape") hideTip();
      if (!seg || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const next = event.key === "ArrowRight" ? seg.nextElementSibling : seg.previousElementSibling;
      if (!next) return;
      event.preventDefault();
      seg.tabIndex = -1; next.tabIndex = 0; next.focus();
    });

    let zoom = 1;
    const output = source.querySelector(".zoom output");
    const ticks = () => {
      const span = end - start, most = Math.max(2, axis.clientWidth / 90);
      const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 86400];
      const step = steps.find((candidate) => span / candidate <= most) || 86400;
      axis.replaceChildren();
      for (let i = Math.ceil(start / step - 1e-9); i * step <= end + 1e-9; i++) {
        const share = (i * step - start) / span;
        const node = add(axis, "span", step < 1 ? clock(i * step) : clock(i * step).replace(".0", ""), share > 0.97 ? "edge" : "");
        node.style.left = 100 * share + "%";
      }
    };
    const place = () => {
      if (!video) return;
      const time = video.currentTime + offset, share = (time - start) / (end - start);
      const lane = lanes.querySelector(".lane .track");
      head.hidden = !(share >= 0 && share <= 1);
      head.style.left = lane.offsetLeft + share * lane.clientWidth + "px";
      for (const seg of segments) seg.classList.toggle("now", +seg.dataset.s <= time && time < +seg.dataset.e);
    };
    source.querySelector(".zoom").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const middle = (scroller.scrollLeft + scroller.clientWidth / 2) / scroller.scrollWidth;
      zoom = Math.min(64, Math.max(1, button.dataset.zoom === "in" ? zoom * 2 : zoom / 2));
      output.textContent = zoom + "×";
      lanes.style.setProperty("--zoom", zoom);
      scroller.scrollLeft = middle * scroller.scrollWidth - scroller.clientWidth / 2;
      ticks(); place();
    });
    if (video) {
      let running = false;
      const follow = () => { place(); if (!video.paused) requestAnimationFrame(follow); else running = false; };
      video.addEventListener("play", () => { if (!running) { running = true; follow(); } });
      for (const kind of ["timeupdate", "seeking", "seeked", "loadedmetadata"]) video.addEventListener(kind, place);
      video.addEventListener("error", () => { video.closest("figure").hidden = true; head.hidden = true; });
    }
    new ResizeObserver(() => { ticks(); place(); }).observe(scroller);

    const filter = source.querySelector(".filter input"), rows = [...source.querySelectorAll(".segments tbody tr")];
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" | ").toLowerCase());
    // "person 2" is not person 21, but "wal" may still become "walk".
    const has = (text, phrase) => new RegExp(phrase.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") + (/\d$/.test(phrase) ? "(?!\\d)" : "")).test(text);
    filter.addEventListener("input", () => {
      const phrases = filter.value.toLowerCase().split(",").map((phrase) => phrase.trim()).filter(Boolean);
      rows.forEach((row, i) => { row.hidden = !phrases.every((phrase) => has(texts[i], phrase)); });
    });
  }

  const open = () => { const target = location.hash && document.getElementById(location.hash.slice(1)); if (target && "open" in target) target.open = true; };
  addEventListener("hashchange", open);
  open();
  let closed = [];
  addEventListener("beforeprint", () => { closed = [...document.querySelectorAll("details:not([open])")]; closed.forEach((d) => { d.open = true; }); });
  addEventListener("afterprint", () => closed.forEach((d) => { d.open = false; }));
})();
