import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PanicWatch } from '../src/panic-watch.ts';

const LOG =
  '[    0.1] VFS: Cannot open root device "" or unknown-block(0,0): error -6\r\n' +
  '[    0.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n' +
  '[    0.3] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs ]---\r\n';

describe('PanicWatch', () => {
  it('gives the first reason, however the output is cut into pieces', () => {
    const bytes = new TextEncoder().encode(LOG);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 30 }), (cuts) => {
        const watch = new PanicWatch();
        let start = 0;
        for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
          watch.push(bytes.subarray(start, cut));
          start = cut;
        }
        expect(watch.panic).toBe('VFS: Unable to mount root fs on unknown-block(0,0)');
      }),
    );
  });

  it('agrees with a search for the mark in any text', () => {
    const mark = 'Kernel panic - not syncing: ';
    const piece = fc.oneof(fc.constantFrom(mark, 'Kernel ', 'K', 'KKernel panic', '\n'), fc.string());
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const text = pieces.join('').replaceAll(/[^\x20-\x7e\n]/g, '');
        const watch = new PanicWatch();
        watch.push(new TextEncoder().encode(text));
        const found = text.indexOf(mark);
        const end = found < 0 ? -1 : text.indexOf('\n', found + mark.length);
        const reason =
          end < 0
            ? undefined
            : text
                .slice(found + mark.length, end)
                .slice(0, 200)
                .trim();
        if (end < 0 && found >= 0 && text.length - found - mark.length > 200) {
          return;
        }
        expect(watch.panic).toBe(reason);
      }),
    );
  });

  it('says nothing of a log without a panic', () => {
    const watch = new PanicWatch();
    watch.push(new TextEncoder().encode('[    1.0] Run /init as init process\n'));
    expect(watch.panic).toBeUndefined();
  });
});
