import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeI8254, I8254, I8254_FREQUENCY, SystemControlPort } from '../../src/index.ts';
import { recordingLine, registersOf } from '../support/registers.ts';

// Expectations are those of the 8254's data sheet (order number 231164), whose sections and figures they name.

const CONTROL = 3;
/** Control words: counter, both bytes, mode. */
const word = (counter: number, mode: number, bcd = false) =>
  (counter << 6) | 0x30 | (mode << 1) | (bcd ? 1 : 0);

function machine() {
  const clock = { ticks: 1_000_000 };
  let pulses = 0;
  const recorded = recordingLine();
  const line = {
    set(level: boolean) {
      recorded.set(level);
      if (level) pulses++;
    },
  };
  const descriptor = describeI8254({ interrupt: 0 });
  // Half a tick more, so that rounding does not make it one less.
  const timer = new I8254(
    structuredClone(descriptor),
    line,
    () => ((clock.ticks + 0.5) * 1e9) / I8254_FREQUENCY,
  );
  const ports = registersOf(timer);
  const system = registersOf(new SystemControlPort(timer));
  /** Reads what a counter is at, by the counter latch command. */
  const count = (counter: number) => {
    ports.write(CONTROL, counter << 6);
    return ports.read(counter) | (ports.read(counter) << 8);
  };
  const start = (counter: number, control: number, value: number) => {
    ports.write(CONTROL, control);
    ports.write(counter, value & 0xff);
    ports.write(counter, value >>> 8);
  };
  /** The output, by the read-back command (figure 10). */
  const status = (counter: number) => {
    ports.write(CONTROL, 0xe0 | (2 << counter));
    return ports.read(counter);
  };
  const isHigh = (counter: number) => (status(counter) & 0x80) !== 0;
  /** Lets the clock go on, and looks at what happened. @returns how often there was an interrupt */
  const pass = (ticks: number) => {
    clock.ticks += ticks;
    pulses = 0;
    timer.tick();
    return pulses;
  };
  return { ...ports, system, timer, clock, count, start, status, isHigh, pass };
}

describe('modes', () => {
  /** Outputs at ticks after a count of 4 was written, and for modes 1 and 5 after the gate's edge (figures 15 to 20). */
  test.each([
    { mode: 0, name: 'interrupt on terminal count', outputs: '00001111', counts: [4, 3, 2, 1, 0, 0xffff] },
    {
      mode: 1,
      name: 'hardware retriggerable one-shot',
      outputs: '00001111',
      counts: [4, 3, 2, 1, 0, 0xffff],
    },
    { mode: 2, name: 'rate generator', outputs: '11101110', counts: [4, 3, 2, 1, 4, 3] },
    { mode: 3, name: 'square wave mode', outputs: '11001100', counts: [4, 2, 4, 2, 4, 2] },
    { mode: 4, name: 'software triggered strobe', outputs: '11110111', counts: [4, 3, 2, 1, 0, 0xffff] },
    { mode: 5, name: 'hardware triggered strobe', outputs: '11110111', counts: [4, 3, 2, 1, 0, 0xffff] },
    { mode: 6, name: 'mode 2 again', outputs: '11101110', counts: [4, 3, 2, 1, 4, 3] },
    { mode: 7, name: 'mode 3 again', outputs: '11001100', counts: [4, 2, 4, 2, 4, 2] },
  ])('$mode: $name', ({ mode, outputs, counts }) => {
    const { start, system, count, isHigh, clock } = machine();
    const isTriggered = mode === 1 || mode === 5;
    if (!isTriggered) system.write(0, 1);
    start(2, word(2, mode), 4);
    if (isTriggered) system.write(0, 1);
    const first = clock.ticks;
    const seen = Array.from(outputs, (_, tick) => {
      clock.ticks = first + tick;
      return isHigh(2) ? '1' : '0';
    });
    expect(seen.join('')).toBe(outputs);
    const counted = counts.map((_, tick) => {
      clock.ticks = first + tick;
      return count(2);
    });
    expect(counted).toEqual(counts);
  });

  test('3 with an odd count is high for one tick longer than low', () => {
    const { start, system, isHigh, clock } = machine();
    system.write(0, 1);
    start(2, word(2, 3), 5);
    const seen = Array.from('1110011100', () => {
      const output = isHigh(2) ? '1' : '0';
      clock.ticks++;
      return output;
    });
    expect(seen.join('')).toBe('1110011100');
  });

  test('have a gate that stops, or starts anew (table of gate pin operations)', () => {
    for (const mode of [0, 4]) {
      const { start, system, count, clock } = machine();
      system.write(0, 1);
      start(2, word(2, mode), 100);
      clock.ticks += 30;
      system.write(0, 0);
      clock.ticks += 1000;
      expect(count(2)).toBe(70);
      system.write(0, 1);
      clock.ticks += 10;
      expect(count(2)).toBe(60);
    }
    for (const mode of [2, 3]) {
      const { start, system, count, isHigh, clock } = machine();
      system.write(0, 1);
      start(2, word(2, mode), 100);
      clock.ticks += 99;
      system.write(0, 0);
      expect(isHigh(2)).toBe(true);
      clock.ticks += 1000;
      system.write(0, 1);
      expect(count(2)).toBe(100);
    }
  });
});

describe('counts', () => {
  test('are decimal where the control word says so', () => {
    const { start, count, clock } = machine();
    start(0, word(0, 2, true), 0x1234);
    clock.ticks += 35;
    expect(count(0)).toBe(0x1199);
    start(0, word(0, 2, true), 0);
    clock.ticks += 1;
    expect(count(0)).toBe(0x9999);
  });

  test('of 0 are the largest', () => {
    const { start, count, clock, pass } = machine();
    start(0, word(0, 2), 0);
    clock.ticks += 1;
    expect(count(0)).toBe(0xffff);
    expect([pass(0xfffe), pass(1)]).toEqual([0, 1]);
  });

  test('are written and read a byte at a time as the control word says (figure 7)', () => {
    const { read, write, clock } = machine();
    write(CONTROL, 0x14);
    write(0, 0x80);
    clock.ticks += 1;
    expect([read(0), read(0)]).toEqual([0x7f, 0x7f]);
    write(CONTROL, 0x24);
    write(0, 0x12);
    expect([read(0), read(0)]).toEqual([0x12, 0x12]);
  });

  test('that were latched stay until they are read, also when latched again', () => {
    const { read, write, start, clock } = machine();
    start(0, word(0, 2), 0x1000);
    clock.ticks += 0x10;
    write(CONTROL, 0);
    clock.ticks += 0x20;
    write(CONTROL, 0);
    expect([read(0), read(0)]).toEqual([0xf0, 0x0f]);
    expect([read(0), read(0)]).toEqual([0xd0, 0x0f]);
  });
});

describe('the read-back command', () => {
  test('latches status and count of several counters, status first (figures 10 and 11)', () => {
    const { read, write, start, clock, status } = machine();
    start(0, word(0, 2), 0x0203);
    start(1, word(1, 3, true), 0x0010);
    write(CONTROL, word(2, 4));
    clock.ticks += 1;
    write(CONTROL, 0xc0 | (1 << 1) | (1 << 2));
    clock.ticks += 5;
    expect([read(0), read(0), read(0)]).toEqual([0x80 | 0x34, 0x02, 0x02]);
    expect([read(1), read(1), read(1)]).toEqual([0x80 | 0x37, 0x08, 0x00]);
    // Nothing was written to it: a null count.
    expect(status(2)).toBe(0x80 | 0x40 | 0x38);
  });
});

describe('interrupts', () => {
  test('are one for each period that somebody looks in, until another mode is set', () => {
    const { start, pass, timer, write } = machine();
    start(0, word(0, 2), 1000);
    expect([pass(999), pass(1), pass(999), pass(1), pass(5000), pass(0)]).toEqual([0, 1, 0, 1, 1, 0]);
    expect(timer.nextDeadline()).toBeCloseTo((1000 / I8254_FREQUENCY) * 1000, 6);
    write(CONTROL, word(0, 2));
    expect(timer.nextDeadline()).toBeUndefined();
    expect(pass(5000)).toBe(0);
  });

  test('come once at a terminal count', () => {
    const { start, pass, timer } = machine();
    start(0, word(0, 0), 50);
    expect([pass(49), pass(1), pass(100_000)]).toEqual([0, 1, 0]);
    expect(timer.nextDeadline()).toBeUndefined();
  });
});

describe('port 0x61', () => {
  test('has gate and sound, the output of counter 2, and a bit that toggles', () => {
    const { system, start, clock } = machine();
    system.write(0, 0xff);
    expect(system.read(0) & 0x0f).toBe(0x03);
    start(2, word(2, 0), 100);
    expect(system.read(0) & 0x20).toBe(0);
    clock.ticks += 100;
    expect(system.read(0) & 0x20).toBe(0x20);
    const refresh = Array.from({ length: 40 }, () => {
      clock.ticks += 9;
      return system.read(0) & 0x10;
    });
    expect(new Set(refresh)).toEqual(new Set([0, 0x10]));
  });
});

test('whatever a guest writes, ports answer bytes, and deadlines are not in the past', () => {
  const step = fc.record({
    port: fc.nat(4),
    value: fc.nat(255),
    ticks: fc.oneof(fc.nat(10), fc.nat(200_000)),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { read, write, system, pass, timer } = machine();
      for (const { port, value, ticks } of steps) {
        if (port === 4) system.write(0, value);
        else write(port, value);
        expect(pass(ticks)).toBeLessThanOrEqual(1);
        expect(timer.nextDeadline() ?? 0).toBeGreaterThanOrEqual(0);
        for (const answer of [read(0), read(1), read(2), read(3), system.read(0)]) {
          expect(answer).toBe(answer & 0xff);
        }
      }
    }),
  );
});
