import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeviceProcessError } from '../src/index.ts';
import { checkEvent } from '../src/protocol.ts';

test('whatever a process says is an event, or refused with an error of ours', () => {
  const kinds = fc.constantFrom(
    'open',
    'ready',
    'failed',
    'log',
    'broken',
    'disconnected',
    'finished',
    '__proto__',
  );
  const events = fc.record(
    {
      kind: fc.oneof(kinds, fc.string()),
      id: fc.jsonValue(),
      path: fc.jsonValue(),
      writable: fc.jsonValue(),
      lock: fc.jsonValue(),
      direct: fc.jsonValue(),
      reason: fc.jsonValue(),
      message: fc.jsonValue(),
      problem: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(events, fc.jsonValue()), (value) => {
      try {
        expect(checkEvent(value)).toBe(value);
      } catch (error) {
        expect(error).toBeInstanceOf(DeviceProcessError);
      }
    }),
  );
});

test.each([
  [
    { kind: 'open', id: 1, path: '/a', writable: true, lock: 'yes', direct: false },
    'open without a proper lock',
  ],
  [{ kind: 'failed' }, 'failed without a proper reason'],
  [{ kind: 'exec' }, 'an unknown event'],
  [null, 'no event'],
])('%j is refused', (value, problem) => {
  expect(() => checkEvent(value)).toThrow(problem);
});
