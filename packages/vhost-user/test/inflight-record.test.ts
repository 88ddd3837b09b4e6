import { writeSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createInflightFile, InflightRecord } from '../src/backend/inflight-record.ts';
import { VhostUserError } from '../src/errors.ts';

const SIZE = 16;

/** What happens to one descriptor's requests: it is taken if it is free, else it is given back. */
const history = fc.array(fc.nat({ max: SIZE - 1 }), { maxLength: 100 });

test('after a crash at any moment, the record has the requests that were not given back, in their order', () => {
  fc.assert(
    fc.property(history, fc.constantFrom('between', 'before use', 'before the note'), (heads, moment) => {
      using file = createInflightFile({ queueSizes: [SIZE, SIZE] });
      const description = InflightRecord.describe(file, 2, SIZE);
      if (!description) throw new Error('there is room for what the file was made for');
      const record = InflightRecord.map(description, file.descriptor).queue(1);
      if (record === undefined) throw new Error('a record of two queues has a second one');
      // A queue that was used before begins anywhere.
      let usedIndex = 0xfff8;
      expect(record.resume(usedIndex)).toEqual([]);
      const taken: number[] = [];
      for (const [at, head] of heads.entries()) {
        const isLast = at === heads.length - 1;
        if (!taken.includes(head)) {
          record.take(head);
          taken.push(head);
          continue;
        }
        record.beforeUse(head);
        if (isLast && moment === 'before use') break;
        usedIndex = (usedIndex + 1) & 0xffff;
        taken.splice(taken.indexOf(head), 1);
        if (isLast && moment === 'before the note') break;
        record.afterUse(head, usedIndex);
      }
      const successor = InflightRecord.map(description, file.descriptor).queue(1);
      expect(successor?.resume(usedIndex)).toEqual(taken);
    }),
  );
});

test('whatever a front end says of a record, it is refused with a VhostUserError or used', () => {
  const number = fc.oneof(fc.nat({ max: 70_000 }), fc.maxSafeNat());
  const half = fc.nat({ max: 0xffff });
  fc.assert(
    fc.property(
      fc.record({ size: number, offset: number, queueCount: half, queueSize: half }),
      fc.uint8Array({ minLength: 4096, maxLength: 4096 }),
      fc.nat({ max: 0xffff }),
      (description, bytes, usedIndex) => {
        using file = createInflightFile({ queueSizes: [1] });
        writeSync(file.descriptor.number, bytes, 0, bytes.length, 0);
        try {
          InflightRecord.map(description, file.descriptor).queue(0)?.resume(usedIndex);
        } catch (error) {
          expect(error).toBeInstanceOf(VhostUserError);
        }
      },
    ),
  );
});
