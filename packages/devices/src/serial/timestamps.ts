import type { SerialSink } from './sinks.ts';

const NEWLINE = 10;

/** The host's time in UTC as crosvm writes it: `[ 2026-01-31 23:59:59.123000000 ]: `. */
function stamp(time: number): Buffer {
  const [day = '', rest = ''] = new Date(time).toISOString().split('T');
  return Buffer.from(`[ ${day} ${rest.slice(0, -1)}000000 ]: `);
}

/**
 * A sink that writes in front of each line when its first byte came. It takes the other one over.
 * @param now milliseconds since 1970
 */
export function withTimestamps(sink: SerialSink, now: () => number = Date.now): SerialSink {
  let isAtStart = true;
  return {
    name: sink.name,
    async write(bytes) {
      const time = stamp(now());
      const parts: Uint8Array[] = [];
      for (let start = 0; start < bytes.length; ) {
        const newline = bytes.indexOf(NEWLINE, start);
        const end = newline < 0 ? bytes.length : newline + 1;
        if (isAtStart) parts.push(time);
        parts.push(bytes.subarray(start, end));
        isAtStart = newline >= 0;
        start = end;
      }
      await sink.write(Buffer.concat(parts));
    },
    [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose](),
  };
}
