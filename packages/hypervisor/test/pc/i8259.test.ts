import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { I8259Pair, i8259PairState } from '../../src/pc/i8259.ts';

// Expectations are those of the 8259A's data sheet (order number 231468), whose sections and figures they name.

const FIRST = 0x20;
const SECOND = 0xa0;
const ELCR = 0x4d0;
/** Vectors that a PC's firmware gives them. */
const FIRST_BASE = 0x08;
const SECOND_BASE = 0x70;

interface Pair {
  readonly pics: I8259Pair;
  readonly ended: number[];
}

/** Both initialized as on a PC; `icw4` of the first. */
function initialized(icw4 = 0x01): Pair {
  const state = i8259PairState.attach(new SharedArrayBuffer(i8259PairState.size));
  const ended: number[] = [];
  const pics = new I8259Pair(state, (source) => ended.push(source));
  for (const [port, words] of [
    [FIRST, [0x11, FIRST_BASE, 1 << 2, icw4]],
    [SECOND, [0x11, SECOND_BASE, 2, 0x01]],
  ] as const) {
    for (const [index, word] of words.entries()) pics.write(index === 0 ? port : port + 1, word);
  }
  return { pics, ended };
}

function raise(pics: I8259Pair, ...sources: readonly number[]): void {
  for (const source of sources) {
    pics.setInput(source, true);
    pics.setInput(source, false);
  }
}

/** Vectors in the order in which the processor gets them, with an end of each before the next. */
function takeAll(pics: I8259Pair): number[] {
  const vectors: number[] = [];
  while (pics.hasRequest) {
    const announced = pics.vector;
    const vector = pics.acknowledge();
    expect(vector).toBe(announced);
    vectors.push(vector);
    if (vector >= SECOND_BASE) pics.write(SECOND, 0x20);
    pics.write(FIRST, 0x20);
  }
  return vectors;
}

const readIsr = (pics: I8259Pair, port = FIRST) => {
  pics.write(port, 0x0b);
  return pics.read(port);
};
const readIrr = (pics: I8259Pair, port = FIRST) => {
  pics.write(port, 0x0a);
  return pics.read(port);
};

describe('initialization', () => {
  it('clears masks and in-service levels, and wants edges again (ICW1)', () => {
    const { pics } = initialized();
    pics.write(FIRST + 1, 0xf0);
    pics.setInput(1, true);
    raise(pics, 0);
    for (const word of [0x11, FIRST_BASE, 4, 1]) pics.write(word === 0x11 ? FIRST : FIRST + 1, word);
    expect([pics.read(FIRST + 1), readIsr(pics), readIrr(pics)]).toEqual([0, 0, 0]);
    expect(pics.hasRequest).toBe(false);
    pics.setInput(1, false);
    pics.setInput(1, true);
    expect(pics.acknowledge()).toBe(FIRST_BASE + 1);
  });

  it('takes as many words as ICW1 says', () => {
    const { pics } = initialized();
    // Single, without ICW4: one word, then masks.
    pics.write(FIRST, 0x12);
    pics.write(FIRST + 1, 0x4f);
    pics.write(FIRST + 1, 0xa5);
    expect(pics.read(FIRST + 1)).toBe(0xa5);
    pics.write(FIRST + 1, 0);
    raise(pics, 3);
    expect(pics.acknowledge()).toBe(0x4b);
  });
});

describe('priorities', () => {
  it('are those of the levels, the second chip in place of input 2 (fully nested mode)', () => {
    const { pics } = initialized();
    raise(pics, 15, 7, 3, 8, 0, 1, 12);
    expect(takeAll(pics)).toEqual([0x08, 0x09, 0x70, 0x74, 0x77, 0x0b, 0x0f]);
  });

  it('keep what is in service from being interrupted by its own level and those below', () => {
    const { pics } = initialized();
    raise(pics, 4);
    pics.acknowledge();
    raise(pics, 4, 5);
    expect(pics.hasRequest).toBe(false);
    raise(pics, 1);
    expect(pics.acknowledge()).toBe(0x09);
    expect(readIsr(pics)).toBe(0b10010);
  });

  /** Figure 8, operation command word 2: with levels 2 and 5 in service and level 3 in the command's lower bits. */
  it.each([
    { command: 0x23, what: 'non-specific end', isr: 0b100000, highest: 0 },
    { command: 0x65, what: 'specific end of level 5', isr: 0b000100, highest: 0 },
    { command: 0xa3, what: 'rotation on non-specific end', isr: 0b100000, highest: 3 },
    { command: 0xe5, what: 'rotation on specific end of level 5', isr: 0b000100, highest: 6 },
    { command: 0xc3, what: 'level 3 gets the lowest priority', isr: 0b100100, highest: 4 },
    { command: 0x43, what: 'no operation', isr: 0b100100, highest: 0 },
  ])('change by a command: $what', ({ command, isr, highest }) => {
    const { pics } = initialized();
    raise(pics, 5);
    pics.acknowledge();
    // The second chip's input; it has ended its own.
    raise(pics, 9);
    pics.acknowledge();
    pics.write(SECOND, 0x20);
    pics.write(FIRST, command);
    expect(readIsr(pics)).toBe(isr);
    // Whatever is in service ends, and all other levels are requested at once: the first to come has the highest priority.
    for (const level of [2, 5]) pics.write(FIRST, 0x60 | level);
    raise(pics, 0, 1, 3, 4, 5, 6, 7);
    expect(pics.acknowledge()).toBe(FIRST_BASE + highest);
  });

  it('rotate by themselves in automatic rotating mode', () => {
    const { pics } = initialized(0x03);
    pics.write(FIRST, 0x80);
    raise(pics, 1, 4);
    expect(pics.acknowledge()).toBe(0x09);
    raise(pics, 0, 1);
    expect([pics.acknowledge(), pics.acknowledge(), pics.acknowledge()]).toEqual([0x0c, 0x08, 0x09]);
    expect(readIsr(pics)).toBe(0);
  });

  it('are given up for levels that are masked while in service (special mask mode)', () => {
    const { pics } = initialized();
    raise(pics, 1);
    pics.acknowledge();
    raise(pics, 6);
    expect(pics.hasRequest).toBe(false);
    pics.write(FIRST + 1, 1 << 1);
    pics.write(FIRST, 0x68);
    expect(pics.acknowledge()).toBe(0x0e);
    pics.write(FIRST, 0x48);
    raise(pics, 7);
    expect(pics.hasRequest).toBe(false);
  });

  it("let the second chip's higher levels through in special fully nested mode", () => {
    const nested = initialized(0x11).pics;
    const usual = initialized().pics;
    for (const pics of [nested, usual]) {
      raise(pics, 12);
      pics.acknowledge();
      raise(pics, 9);
    }
    expect([nested.hasRequest, usual.hasRequest]).toEqual([true, false]);
    expect(nested.acknowledge()).toBe(SECOND_BASE + 1);
  });
});

describe('inputs', () => {
  it('are edges: one that stays high interrupts once', () => {
    const { pics } = initialized();
    pics.setInput(3, true);
    expect(takeAll(pics)).toEqual([0x0b]);
    expect(pics.hasRequest).toBe(false);
  });

  it('are levels where the edge/level control register says so', () => {
    const { pics } = initialized();
    pics.write(ELCR, 1 << 5);
    pics.write(ELCR + 1, 1 << 2);
    for (const [source, vector] of [
      [5, 0x0d],
      [10, 0x72],
    ] as const) {
      pics.setInput(source, true);
      expect(pics.acknowledge()).toBe(vector);
      if (source >= 8) pics.write(SECOND, 0x20);
      pics.write(FIRST, 0x20);
      expect(pics.acknowledge()).toBe(vector);
      pics.setInput(source, false);
      if (source >= 8) pics.write(SECOND, 0x20);
      pics.write(FIRST, 0x20);
      expect(pics.hasRequest).toBe(false);
    }
  });

  it('of timer, keyboard, cascade, clock and coprocessor are always edges', () => {
    const { pics } = initialized();
    pics.write(ELCR, 0xff);
    pics.write(ELCR + 1, 0xff);
    expect([pics.read(ELCR), pics.read(ELCR + 1)]).toEqual([0xf8, 0xde]);
  });

  it('that fell before they were acknowledged are level 7', () => {
    const { pics } = initialized();
    pics.write(ELCR, 1 << 5);
    pics.setInput(5, true);
    pics.setInput(5, false);
    expect(pics.hasRequest).toBe(false);
    expect(pics.acknowledge()).toBe(FIRST_BASE + 7);
    expect(readIsr(pics)).toBe(0);
  });
});

describe('registers', () => {
  it('are IRR and ISR as OCW3 chooses, and the mask', () => {
    const { pics } = initialized();
    pics.write(SECOND + 1, 0x81);
    raise(pics, 9, 11, 8);
    pics.acknowledge();
    expect([readIrr(pics, SECOND), readIsr(pics, SECOND), pics.read(SECOND + 1)]).toEqual([
      0b1001, 0b0010, 0x81,
    ]);
  });

  it('answer a poll with the level, which is an acknowledge', () => {
    const { pics } = initialized();
    raise(pics, 6);
    pics.write(FIRST, 0x0c);
    expect(pics.read(FIRST)).toBe(0x86);
    expect(readIsr(pics)).toBe(1 << 6);
    pics.write(FIRST, 0x0c);
    expect(pics.read(FIRST)).toBe(0);
  });
});

describe('the end of an interrupt', () => {
  it('is told once, with its source', () => {
    const { pics, ended } = initialized();
    raise(pics, 12, 3);
    takeAll(pics);
    // The second chip's own end, and that of the input it has.
    expect(ended).toEqual([12, 2, 3]);
    pics.write(FIRST, 0x20);
    expect(ended).toHaveLength(3);
  });
});

describe('whatever happens', () => {
  const source = fc.constantFrom(...Array.from({ length: 16 }, (_, n) => n).filter((n) => n !== 2));

  it('takes each edge of an input that is not masked once, in the order of priorities', () => {
    fc.assert(
      fc.property(fc.uniqueArray(source), fc.nat(0xffff), (sources, mask) => {
        const { pics } = initialized();
        pics.write(FIRST + 1, mask & 0xff & ~4);
        pics.write(SECOND + 1, mask >>> 8);
        raise(pics, ...sources);
        const rank = (n: number) => (n < 2 ? n : n >= 8 ? n - 6 : n + 7);
        const expected = sources
          .filter((n) => (mask & (1 << n)) === 0)
          .toSorted((a, b) => rank(a) - rank(b))
          .map((n) => (n < 8 ? FIRST_BASE + n : SECOND_BASE + n - 8));
        expect(takeAll(pics)).toEqual(expected);
      }),
    );
  });

  it('is quiet after an end of everything, and answers bytes', () => {
    const step = fc.oneof(
      fc.record({ source: fc.nat(15), level: fc.boolean() }),
      fc.record({ port: fc.constantFrom(0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1), value: fc.nat(255) }),
      fc.constant('acknowledge'),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { pics } = initialized();
        for (const what of steps) {
          if (typeof what === 'string') expect(pics.acknowledge()).toBeLessThan(256);
          else if ('source' in what) pics.setInput(what.source, what.level);
          else {
            pics.write(what.port, what.value);
            const answer = pics.read(what.port);
            expect(answer).toBe(answer & 0xff);
          }
        }
        for (let n = 0; n < 16; n++) pics.setInput(n, false);
        for (const port of [FIRST, SECOND]) {
          for (const [index, word] of [0x11, 0x20, 2, 1].entries())
            pics.write(index === 0 ? port : port + 1, word);
        }
        expect(pics.hasRequest).toBe(false);
      }),
    );
  });
});
