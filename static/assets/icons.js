// The icons: line drawings on a square of 24, in the colour of the text around them.

const DRAWINGS = {
  brand:
    '<path d="M3 5c0 7 4 10 9 10s9-3 9-10c3.5 5.5 1 11-4.5 12.5L14.4 22H9.6l-2.1-4.5C2 16-.5 10.5 3 5z" fill="currentColor"/>',
  go: '<path d="M4 12h15M13 6l6 6-6 6" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round"/>',
  search:
    '<path d="M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L21 21" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round"/>',
  warn: '<path d="M12 3L2 21h20z" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round"/><path d="M12 9.5v5" stroke="currentColor" stroke-width="2.2" stroke-linecap="round"/><circle cx="12" cy="17.8" r="1.3" fill="currentColor"/>',
  clock:
    '<path d="M10 2h4M12 2v3M19 6l-1.5 1.5" stroke="currentColor" stroke-width="2" stroke-linecap="round"/><circle cx="12" cy="13.5" r="8" fill="none" stroke="currentColor" stroke-width="2"/><path d="M12 9v4.5l3 2" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"/>',
  flag: '<path d="M5 22V3" stroke="currentColor" stroke-width="2.2" stroke-linecap="round"/><path d="M5 4h15v10H5z" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="M5 4h5v5H5zM15 4h5v5h-5zM10 9h5v5h-5z" fill="currentColor"/>',
  check:
    '<circle cx="12" cy="12" r="10" fill="currentColor"/><path d="M7 12.5l3.5 3.5L17 9" fill="none" stroke="var(--tick, #fff)" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round"/>',
  pause: '<path d="M8 5v14M16 5v14" stroke="currentColor" stroke-width="4"/>',
  again:
    '<path d="M20 12a8 8 0 1 1-2.5-5.8M20 3v5h-5" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round"/>',
  plus: '<path d="M12 5v14M5 12h14" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"/>',
  minus: '<path d="M5 12h14" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"/>',
  person:
    '<circle cx="12" cy="7.5" r="4" fill="none" stroke="currentColor" stroke-width="2"/><path d="M4 21c0-5 3.5-7.5 8-7.5s8 2.5 8 7.5" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"/>',
  stack:
    '<path d="M12 3l9 5-9 5-9-5zM3 12.5l9 5 9-5M3 17l9 5 9-5" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linejoin="round"/>',
  queue:
    '<path d="M3 6h18M3 12h18M3 18h18" stroke="currentColor" stroke-width="2" stroke-linecap="round"/><circle cx="17" cy="6" r="2.6" fill="currentColor"/><circle cx="12" cy="12" r="2.6" fill="currentColor"/><circle cx="7" cy="18" r="2.6" fill="currentColor"/>',
  bolt: '<path d="M13 2L5 13.5h6L10 22l9-12h-6.5z" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round"/>',
  receipt:
    '<path d="M5 2v20l2.5-2 2.3 2 2.2-2 2.2 2 2.3-2L19 22V2l-2.5 2-2.3-2L12 4 9.8 2 7.5 4z" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linejoin="round"/><path d="M9 9h6M9 13h6" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"/>',
};

/** Draws the icon `name` into `svg`. */
export function drawIcon(svg, name) {
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.innerHTML = DRAWINGS[name] ?? "";
  return svg;
}
