// recordTimeouts returns the delays that setTimeout gets until the test ends, and the real setTimeout.
export function recordTimeouts(t) {
  const delays = [];
  const real = globalThis.setTimeout;
  t.after(() => (globalThis.setTimeout = real));
  globalThis.setTimeout = (f, ms, ...more) => {
    delays.push(ms);
    return real(f, ms, ...more);
  };
  return { delays, real };
}
