// A proof of work, shared among workers so that the page stays quick.

/** Most workers: more heat a phone, and leave nothing for other programs. */
const MOST_WORKERS = 4;

/**
 * Begins to work on `challenge`. `watch(then)` calls `then({share, answer, failed})` now and after every step: `share` is
 * how likely it was to have ended by now, because luck decides when it ends. `stop()` ends the work.
 */
export function work(challenge) {
  // One core stays free for the page.
  const count = Math.max(1, Math.min(MOST_WORKERS, (navigator.hardwareConcurrency ?? 2) - 1));
  const tried = Array(count).fill(0);
  const workers = tried.map(() => new Worker("/assets/pow.js"));
  const stand = { share: 0, answer: null, failed: false };
  let tell = () => {};
  const stop = () => {
    for (const worker of workers) worker.terminate();
  };
  workers.forEach((worker, from) => {
    worker.onmessage = ({ data }) => {
      if (stand.answer) return;
      tried[from] = data.tried;
      const all = tried.reduce((sum, some) => sum + some);
      stand.answer = data.answer ?? null;
      stand.share = data.answer ? 1 : 1 - Math.exp(-all / 2 ** challenge.difficulty);
      if (data.answer) stop();
      tell(stand);
    };
    worker.onerror = () => {
      stand.failed = true;
      stop();
      tell(stand);
    };
    worker.postMessage({ challenge: challenge.challenge, difficulty: challenge.difficulty, from, step: count });
  });
  return {
    stop,
    watch: (then) => {
      tell = then;
      then(stand);
    },
  };
}
