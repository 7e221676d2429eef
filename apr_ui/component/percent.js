
// A probability in per cent; near the ends, where most edits move it, to a tenth.
function finePercent(p) {
  if (p > 0 && p < 0.0005) return "<0.1%";
  if (p >= 0.9995 && p < 1) return ">99.9%";
  return `${(100 * p).toFixed(p < 0.02 || p > 0.98 ? 1 : 0)}%`;
}
