// Measures the page it is in, as a reader would see it, and writes what it found into the page.
document.fonts.ready.then(() => {
  const found = { cut: [], overlapping: [], outside: [], contrast: [], figures: [] };
  const told = (element) => (element.textContent || "").slice(0, 40);
  const within = (inner, outer, by) =>
    inner.left >= outer.left - by && inner.right <= outer.right + by &&
    inner.top >= outer.top - by && inner.bottom <= outer.bottom + by;
  // The box of the letters: that of the line is higher.
  const letters = (element) => {
    const box = element.getBoundingClientRect();
    const turned = element.getAttribute("transform");
    const [x, y] = turned ? [box.width * 0.15, 0.5] : [0.5, box.height * 0.15];
    return { left: box.left + x, right: box.right - x, top: box.top + y, bottom: box.bottom - y };
  };
  const meet = (a, b) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

  for (const svg of document.querySelectorAll("svg")) {
    const outer = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((it) => [it, letters(it)]);
    texts.forEach(([it, box], at) => {
      if (!within(box, outer, 1)) found.cut.push("svg: " + told(it));
      for (const [other, its] of texts.slice(at + 1)) {
        if (meet(box, its)) found.overlapping.push(told(it) + " | " + told(other));
      }
    });
    for (const shape of svg.querySelectorAll("rect, polyline, polygon")) {
      if (!within(shape.getBoundingClientRect(), outer, 2.5)) {
        found.outside.push(shape.outerHTML.slice(0, 160));
      }
    }
    const { left, top, width, height } = outer;
    const name = svg.parentElement.className;
    const shapes = svg.querySelectorAll("rect, polyline, polygon").length;
    found.figures.push({ name, left, top: top + scrollY, width, height, shapes });
  }
  // Text of the rest lies within the element that holds it, and that within the page.
  const range = document.createRange();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const channel = (it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) =>
    0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const behind = (element) => {
    for (let it = element; it; it = it.parentElement) {
      const colour = rgb(getComputedStyle(it).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let least = 99;
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const holder = node.parentElement;
    if (!node.data.trim() || holder.closest("script, style")) continue;
    const style = getComputedStyle(holder);
    const inSvg = holder.closest("svg");
    const colour = rgb(inSvg ? style.fill : style.color);
    const [a, b] = [luminance(colour), luminance(behind(holder))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    least = Math.min(least, ratio);
    if (ratio < 4.5) found.contrast.push(ratio.toFixed(2) + " " + told(holder));
    if (inSvg) continue;
    range.selectNodeContents(node);
    const outer = holder.closest("td, th, dd, dt, li, p, caption, h1, h2, h3") || holder;
    for (const box of range.getClientRects()) {
      if (!within(box, outer.getBoundingClientRect(), 2) || box.right > innerWidth) {
        found.cut.push(outer.tagName + ": " + told(holder));
      }
    }
  }
  found.dark = matchMedia("(prefers-color-scheme: dark)").matches;
  found.least_contrast = least;
  found.title = document.title;
  found.font = document.fonts.check("12px 'Roboto page'");
  found.width = innerWidth;
  found.scroll_width = document.documentElement.scrollWidth;
  found.height = document.documentElement.scrollHeight;
  found.outer_resources = performance.getEntriesByType("resource")
    .map((it) => it.name).filter((it) => !it.startsWith("data:"));
  const pre = document.createElement("pre");
  pre.id = "measured";
  pre.textContent = JSON.stringify(found)
    .replace(/[<>&]/g, (it) => "\\u00" + it.charCodeAt(0).toString(16));
  document.body.append(pre);
});
