// Proof of work, away from the page's own thread. It finds the decimal `answer` for which SHA-256 of
// `challenge + ":" + answer` begins with `difficulty` zero bits. SHA-256 is written out here because the browser's own
// is asynchronous, many times slower for short inputs, and absent without TLS.

const K = new Int32Array(64);
const START = new Int32Array(8);
for (let n = 2, i = 0; i < 64; n++) {
  let prime = true;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
  if (!prime) continue;
  if (i < 8) START[i] = (n ** 0.5 % 1) * 2 ** 32;
  K[i++] = (Math.cbrt(n) % 1) * 2 ** 32;
}

const W = new Int32Array(64);

/** Folds the 64 bytes of `block` at `offset` into `state`. */
function compress(state, block, offset) {
  for (let i = 0; i < 16; i++) {
    const p = offset + i * 4;
    W[i] = (block[p] << 24) | (block[p + 1] << 16) | (block[p + 2] << 8) | block[p + 3];
  }
  for (let i = 16; i < 64; i++) {
    const x = W[i - 15];
    const y = W[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    W[i] = (W[i - 16] + s0 + W[i - 7] + s1) | 0;
  }
  let a = state[0],
    b = state[1],
    c = state[2],
    d = state[3],
    e = state[4],
    f = state[5],
    g = state[6],
    h = state[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

/** Leading zero bits of a digest. */
function zeros(state) {
  let i = 0;
  while (i < 7 && state[i] === 0) i++;
  return i * 32 + Math.clz32(state[i]);
}

/** A function from an answer's digits to leading zero bits. It folds the full blocks of the prefix only once. */
function hasher(prefix) {
  const bytes = new TextEncoder().encode(prefix);
  const whole = bytes.length - (bytes.length % 64);
  const middle = START.slice();
  for (let i = 0; i < whole; i += 64) compress(middle, bytes, i);
  const tail = bytes.subarray(whole);
  const block = new Uint8Array(128);
  const state = new Int32Array(8);
  return (digits) => {
    block.fill(0);
    block.set(tail);
    let length = tail.length;
    for (let i = 0; i < digits.length; i++) block[length++] = digits.charCodeAt(i);
    block[length] = 0x80;
    const end = length < 56 ? 64 : 128;
    const bits = (whole + length) * 8;
    for (let i = 0; i < 4; i++) block[end - 1 - i] = bits >>> (8 * i);
    state.set(middle);
    compress(state, block, 0);
    if (end === 128) compress(state, block, 64);
    return zeros(state);
  };
}

// Workers share the work: each tries every `step`-th answer, from its own `from` on.
addEventListener("message", ({ data: { challenge, difficulty, from, step } }) => {
  const bits = hasher(`${challenge}:`);
  for (let tried = 0; ; tried++) {
    const answer = String(from + tried * step);
    if (bits(answer) >= difficulty) return postMessage({ tried, answer });
    if (tried % 8192 === 0) postMessage({ tried });
  }
});
