import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IO_APIC_PINS, IoApic, ioApicState, resetIoApic } from '../../src/pc/io-apic.ts';

// Expectations are those of the 82093AA's data sheet (order number 290566) and, for messages, of the Intel SDM 3A, section 11.11.

const MASKED = 1 << 16;
const LEVEL = 1 << 15;
const REMOTE_IRR = 1 << 14;

class Chip {
  readonly sent: { address: number; data: number }[] = [];
  readonly expected: { pin: number; data: number }[] = [];
  readonly ended: number[] = [];
  readonly ioApic: IoApic;

  constructor() {
    const state = ioApicState.attach(new SharedArrayBuffer(ioApicState.size));
    resetIoApic(state);
    this.ioApic = new IoApic(state, {
      send: (address, data) => this.sent.push({ address, data }),
      expectEnd: (pin, _address, data) => this.expected.push({ pin, data }),
      ended: (pin) => this.ended.push(pin),
    });
  }

  read(register: number): number {
    this.ioApic.write(0x00, register);
    return this.ioApic.read(0x10) >>> 0;
  }

  write(register: number, value: number): void {
    this.ioApic.write(0x00, register);
    this.ioApic.write(0x10, value);
  }

  entry(pin: number, low: number, high = 0): void {
    this.write(0x11 + 2 * pin, high);
    this.write(0x10 + 2 * pin, low);
  }

  /** How many messages have gone since the last call. */
  take(): number {
    return this.sent.splice(0).length;
  }
}

describe('registers (section 3.2)', () => {
  it('are those of an I/O APIC with 24 masked entries and an EOI register after a reset', () => {
    const chip = new Chip();
    expect([0, 1, 2].map((register) => chip.read(register))).toEqual([0, 0x0017_0020, 0]);
    for (let pin = 0; pin < IO_APIC_PINS; pin++) {
      expect([chip.read(0x10 + 2 * pin), chip.read(0x11 + 2 * pin)]).toEqual([MASKED, 0]);
    }
    expect([chip.read(0x40), chip.read(0xff), chip.ioApic.read(0x20)]).toEqual([0, 0, 0]);
  });

  it('have read-only and reserved bits', () => {
    const chip = new Chip();
    chip.write(0, 0xffff_ffff);
    chip.write(1, 0xffff_ffff);
    chip.entry(3, 0xffff_ffff, 0xffff_ffff);
    expect([chip.read(0), chip.read(1)]).toEqual([0x0f00_0000, 0x0017_0020]);
    // Delivery status and remote IRR stay as they are.
    expect([chip.read(0x16), chip.read(0x17)]).toEqual([0x0001_afff, 0xffff_ffff]);
    chip.write(0x40, 0);
    expect(chip.read(0x40)).toBe(0);
  });
});

describe('messages', () => {
  it.each([
    { what: 'fixed to APIC 0', low: 0x31, high: 0, address: 0xfee0_0000, data: 0x31 },
    {
      what: 'lowest priority to a logical set',
      low: 0x931,
      high: 0x0300_0000,
      address: 0xfee0_3004,
      data: 0x131,
    },
    { what: 'NMI to APIC 5', low: 0x400, high: 0x0500_0000, address: 0xfee0_5000, data: 0x400 },
    { what: 'level-triggered', low: 0x8077, high: 0xff00_0000, address: 0xfeef_f000, data: 0xc077 },
    { what: 'active low, which makes no difference', low: 0x2042, high: 0, address: 0xfee0_0000, data: 0x42 },
  ])('have destination, mode, trigger and vector: $what', ({ low, high, address, data }) => {
    const chip = new Chip();
    chip.entry(9, low, high);
    chip.ioApic.setInput(9, true);
    expect(chip.sent).toEqual([{ address, data }]);
  });
});

describe('an edge-triggered input', () => {
  it('sends one message for each edge, and none for one while it is masked', () => {
    const chip = new Chip();
    chip.entry(4, 0x44);
    for (const level of [true, true, false, true]) chip.ioApic.setInput(4, level);
    expect(chip.take()).toBe(2);
    chip.ioApic.setInput(4, false);
    chip.entry(4, 0x44 | MASKED);
    chip.ioApic.setInput(4, true);
    chip.entry(4, 0x44);
    expect(chip.take()).toBe(0);
    expect(chip.expected).toEqual([]);
  });
});

describe('a level-triggered input', () => {
  it('sends one message until its end, and another if it still has its level then', () => {
    const chip = new Chip();
    chip.entry(10, 0x55 | LEVEL);
    expect(chip.expected.at(-1)).toEqual({ pin: 10, data: 0xc055 });
    chip.ioApic.setInput(10, true);
    expect([chip.take(), chip.read(0x24)]).toEqual([1, 0x55 | LEVEL | REMOTE_IRR]);
    chip.ioApic.setInput(10, true);
    chip.entry(10, 0x55 | LEVEL);
    expect(chip.take()).toBe(0);
    chip.ioApic.endOfInterrupt(0x54);
    expect([chip.take(), chip.ended]).toEqual([0, []]);
    chip.ioApic.endOfInterrupt(0x55);
    expect([chip.take(), chip.ended]).toEqual([1, [10]]);
    chip.ioApic.setInput(10, false);
    // The same by the register that I/O APICs of version 0x20 have.
    chip.ioApic.write(0x40, 0x55);
    expect([chip.take(), chip.ended, chip.read(0x24)]).toEqual([0, [10, 10], 0x55 | LEVEL]);
  });

  it('sends what was kept back by a mask', () => {
    const chip = new Chip();
    chip.entry(10, 0x55 | LEVEL | MASKED);
    chip.ioApic.setInput(10, true);
    expect(chip.take()).toBe(0);
    chip.entry(10, 0x55 | LEVEL);
    expect(chip.take()).toBe(1);
  });

  it('forgets that it waits for an end when it is made edge-triggered, as Linux does where it was missed', () => {
    const chip = new Chip();
    chip.entry(10, 0x55 | LEVEL);
    chip.ioApic.setInput(10, true);
    chip.entry(10, 0x55 | MASKED);
    expect(chip.read(0x24)).toBe(0x55 | MASKED);
    chip.entry(10, 0x55 | LEVEL);
    expect(chip.take()).toBe(2);
  });

  it('shares an end with others of its vector', () => {
    const chip = new Chip();
    chip.entry(10, 0x55 | LEVEL);
    chip.entry(11, 0x55 | LEVEL);
    for (const pin of [10, 11]) chip.ioApic.setInput(pin, true);
    chip.ioApic.endOfInterrupt(0x55);
    expect([chip.ended, chip.take()]).toEqual([[10, 11], 4]);
  });
});

describe('whatever a guest does', () => {
  const step = fc.oneof(
    fc.record({ pin: fc.nat(23), level: fc.boolean() }),
    fc.record({ offset: fc.constantFrom(0, 0x10, 0x40, 0x20), value: fc.nat(0xffff_ffff) }),
    fc.record({ pin: fc.nat(23), low: fc.nat(0x1_ffff) }),
    fc.record({ vector: fc.nat(255) }),
  );

  it('has every level that is not masked either sent or waiting for its end', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const chip = new Chip();
        const inputs = Array.from({ length: IO_APIC_PINS }, () => false);
        for (const what of steps) {
          if ('offset' in what) chip.ioApic.write(what.offset, what.value);
          else if ('vector' in what) chip.ioApic.endOfInterrupt(what.vector);
          else if ('low' in what) chip.entry(what.pin, what.low);
          else {
            chip.ioApic.setInput(what.pin, what.level);
            inputs[what.pin] = what.level;
          }
          for (const [pin, isHigh] of inputs.entries()) {
            const entry = chip.read(0x10 + 2 * pin);
            const isLevel = (entry & (LEVEL | MASKED)) === LEVEL;
            if (isHigh && isLevel) expect(entry & REMOTE_IRR).toBe(REMOTE_IRR);
            if ((entry & LEVEL) === 0) expect(entry & REMOTE_IRR).toBe(0);
          }
        }
        for (const { address, data } of chip.sent) {
          expect([address >>> 20, data & ~0xc7ff]).toEqual([0xfee, 0]);
        }
      }),
    );
  });
});
