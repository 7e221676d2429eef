/* Contrast (WCAG 2.1, 1.4.3 and 1.4.11) of what stands on a page, shadow roots and SVG included.

Returns what has less than it needs: 4.5 for text, 3 for large text, icons and the marks of controls.
What is disabled needs none. */
() => {
  const parse = (colour) => {
    const n = (colour.match(/-?[\d.]+(e-?\d+)?/g) || []).map(Number);
    const scale = colour.startsWith("color(") ? 255 : 1;
    return { rgb: n.slice(0, 3).map((value) => value * scale), alpha: n.length > 3 ? n[3] : 1 };
  };
  const over = (top, alpha, bottom) => top.map((value, k) => alpha * value + (1 - alpha) * bottom[k]);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  const parentOf = (element) => element.assignedSlot || element.parentElement || element.getRootNode().host;
  const ancestors = function* (element) {
    for (let at = element; at; at = parentOf(at)) yield at;
  };
  /* The colour behind an element, and whether a picture stands there. */
  const behind = (element) => {
    const layers = [];
    const { left, top, width, height } = element.getBoundingClientRect();
    const [x, y] = [left + width / 2, top + height / 2];
    for (const at of ancestors(element)) {
      const box = at.getBoundingClientRect();
      const beside = x < box.left || x > box.right || y < box.top || y > box.bottom;
      if (beside && box.width < 64) continue; // a label outside the mark that carries it
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none") return null;
      const { rgb, alpha } = parse(style.backgroundColor);
      if (alpha) layers.push([rgb, alpha]);
      if (alpha === 1) break;
    }
    return layers.reduceRight((below, [rgb, alpha]) => over(rgb, alpha, below), [255, 255, 255]);
  };
  const fading = (element) => {
    let share = 1;
    for (const at of ancestors(element)) share *= Number(getComputedStyle(at).opacity);
    return share;
  };
  const shown = (element) => {
    const box = element.getBoundingClientRect();
    const large = box.width > 1 && box.height > 1;
    return large && element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  };
  const disabled = (element) => {
    for (const at of ancestors(element)) {
      if (at.matches("[disabled], [aria-disabled=true], [inert], label:has(:disabled)")) return true;
      if (at.matches("[data-testid=stElementContainer]:has(:disabled)")) {
        if (!at.querySelector("input:enabled, button:enabled, textarea:enabled")) return true;
      }
    }
    return false;
  };
  const found = [];
  const tell = (element, what, has, needs) => {
    if (has >= needs - 0.005) return;
    const place = [...ancestors(element)].find((at) => at.dataset && at.dataset.testid);
    found.push(`${has.toFixed(2)} of ${needs}: ${what} in ${place ? place.dataset.testid : "page"}`);
  };

  const checkText = (node) => {
    const element = node.parentElement || node.getRootNode().host;
    const words = node.textContent.trim();
    if (!words || !shown(element) || disabled(element)) return;
    if (element.closest("style, script, option, .bartext-inside, .heatmap-label, [aria-hidden=true] .katex")) return;
    const style = getComputedStyle(element);
    const isSvg = element instanceof SVGElement;
    const { rgb, alpha } = parse(isSvg ? style.fill : style.color);
    const ground = behind(element);
    if (!ground) return;
    const size = parseFloat(style.fontSize);
    const icon = style.fontFamily.includes("Material");
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const has = ratio(over(rgb, alpha * fading(element) * (isSvg ? Number(style.fillOpacity) : 1), ground), ground);
    tell(element, `"${words.slice(0, 50)}"`, has, icon || large ? 3 : 4.5);
  };

  /* The strongest edge or surface that sets a part apart from what is behind it. */
  const standsOut = (part, ground) => {
    const style = getComputedStyle(part);
    const edged = parseFloat(style.borderTopWidth) > 0 && style.borderTopStyle !== "none";
    const colours = edged ? [style.borderTopColor, style.backgroundColor] : [style.backgroundColor];
    if (part instanceof SVGElement) colours.push(style.stroke, style.fill);
    const share = fading(part);
    const ratios = colours
      .filter((colour) => colour !== "none")
      .map(parse)
      .map(({ rgb, alpha }) => ratio(over(rgb, alpha * share, ground), ground));
    return Math.max(1, ...ratios);
  };
  /* The colour of a slider's thumb, a pseudo-element that has no computed style. */
  const thumbOf = (slider) => {
    const root = slider.getRootNode();
    const sheets = [...root.styleSheets, ...root.adoptedStyleSheets];
    const rule = sheets
      .flatMap((sheet) => [...sheet.cssRules])
      .find((one) => (one.selectorText || "").endsWith("::-webkit-slider-thumb"));
    if (slider.type !== "range" || !rule) return null;
    const probe = document.createElement("i");
    probe.style.background = rule.style.background;
    slider.after(probe);
    const { rgb } = parse(getComputedStyle(probe).backgroundColor);
    probe.remove();
    return rgb;
  };
  const checkControl = (control) => {
    if (disabled(control)) return;
    const label = control.matches("[type=radio], [type=checkbox]") && control.closest("label");
    const box = label || control.closest("[data-testid=stElementContainer]") || control;
    const ground = behind(box);
    if (!ground || !shown(box)) return;
    let parts = label ? [...label.querySelectorAll("*")] : [...ancestors(control)].slice(0, 6);
    if (!label) parts = parts.filter((part) => part === control || (part !== box && box.contains(part)));
    let has = Math.max(1, ...parts.filter(shown).map((part) => standsOut(part, ground)));
    const thumb = thumbOf(control);
    if (thumb) has = Math.max(has, ratio(thumb, ground));
    const name = control.getAttribute("aria-label") || box.textContent || control.type;
    tell(control, `the control "${name.trim().slice(0, 40)}"`, has, 3);
  };

  const visit = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) checkText(node);
      else {
        if (node.shadowRoot) visit(node.shadowRoot);
        if (node.matches("input:not([type=file], [type=hidden]), textarea, select")) checkControl(node);
      }
    }
  };
  visit(document.body);
  return [...new Set(found)];
}
