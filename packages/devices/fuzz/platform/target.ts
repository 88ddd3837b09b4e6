import type { FuzzTarget } from '../../../../tools/fuzz/target.ts';
import { type AccessSize, createBusAccess } from '../../src/index.ts';
import { decode, describeProgram, encode, mutateProgram, Op, type Step, step } from '../guest/program.ts';
import { FLASH_BLOCK, PlatformMachine, PVPANIC_BAR, RANGES, type RangeName } from './machine.ts';

const NAMES = Object.keys(RANGES) as RangeName[];
const WIDTHS = [1, 2, 4, 8] as const;

/** Of a step that accesses a device: which one is in `a`, the offset in `c`, the width in `b`, the value in `e` and `f`. */
const OFFSETS = [
  0, 1, 2, 4, 8, 0x18, 0x24, 0x2c, 0x30, 0x34, 0x38, 0x3c, 0x44, 0x48, 0x100, 0x1000, 0x8000, 0x8010,
];
const VALUES = [0x10, 0x20, 0x40, 0x50, 0x70, 0x80, 0x83, 0xd0, 0xe8, 0xfe, 0xff, 0x8000_0800, 0x2400];

/** UART, clocks, power management, firmware's devices and PCI without virtio, driven through their registers. */
export const platformTarget: FuzzTarget = {
  seeds: async () => seeds().map(encode),
  mutate: (input, other, random) => mutateProgram(input, other, random, [...OFFSETS, ...VALUES].map(BigInt)),
  describe: describeProgram,
  async exercise(bytes) {
    using machine = new PlatformMachine();
    const cpu = new Cpu(machine);
    for (const part of decode(bytes)) cpu.execute(part);
    cpu.check();
  },
};

/** Accesses devices as a guest would. */
class Cpu {
  readonly #machine: PlatformMachine;
  readonly #access = createBusAccess();

  constructor(machine: PlatformMachine) {
    this.#machine = machine;
  }

  execute({ op, a, b, c, d, e, f }: Step): void {
    const machine = this.#machine;
    machine.drain();
    if (op === Op.turn) {
      machine.pass(Number(BigInt.asIntN(a % 3 === 0 ? 40 : 16, d)));
    } else if (op === Op.host) {
      if (a % 4 === 0) machine.input.write(new Uint8Array((b % 32) + 1).fill(c));
      else if (a % 4 === 1) machine.power.pressPowerButton();
      else if (a % 4 === 2) machine.power.raiseGpe(b % 256);
      else machine.power.wake();
    } else {
      const name = NAMES[a % NAMES.length] ?? 'uart';
      const { start, length } = RANGES[name];
      const size = WIDTHS[b & 3] ?? 1;
      const address = start + (c % length);
      if (op % 2 === 1) this.#write(address, size, e, f);
      else this.#read(address, size);
    }
  }

  /** @throws Error when a device does not do what it should for a proper driver */
  check(): void {
    this.#checkSerial();
    this.#checkMemories();
    this.#checkPci();
  }

  #checkSerial(): void {
    const { uart, pl011, debugcon } = RANGES;
    // Divisor latch off, polled, no loopback.
    for (const [offset, value] of [
      [3, 3],
      [1, 0],
      [4, 3],
      [2, 7],
    ] as const)
      this.#write(uart.start + offset, 1, value);
    this.#machine.drain();
    this.#write(uart.start, 1, 0x41);
    this.#write(pl011.start + 0x30, 4, 0x301);
    this.#write(pl011.start, 4, 0x42);
    this.#write(debugcon.start, 1, 0x43);
    this.#expect('serial output', this.#machine.drain(), 'ABC');
  }

  #checkMemories(): void {
    const { cmos, fwCfg, flash, pl030 } = RANGES;
    this.#write(cmos.start, 1, 0x40);
    this.#write(cmos.start + 1, 1, 0x5a);
    this.#expect('memory of the clock', this.#read(cmos.start + 1, 1), 0x5a);
    this.#write(fwCfg.start, 2, 0);
    const signature = Array.from({ length: 4 }, () => String.fromCharCode(this.#read(fwCfg.start + 1, 1)));
    this.#expect('the signature of fw_cfg', signature.join(''), 'QEMU');
    // Whatever command was under way, words for different blocks end it.
    const block = flash.start + FLASH_BLOCK;
    for (const address of [block, flash.start, block]) this.#write(address, 1, 0xff);
    // Erase, program, read.
    for (const value of [0xff, 0x50, 0x20, 0xd0]) this.#write(block, 1, value);
    this.#write(block + 4, 1, 0x10);
    this.#write(block + 4, 1, 0x7e);
    this.#write(block, 1, 0xff);
    this.#expect('flash memory', [this.#read(block, 1), this.#read(block + 4, 1)].join(), '255,126');
    // The counter takes the value with its next second.
    this.#write(pl030.start + 0xc, 4, 1000);
    this.#expect('a counter of seconds', this.#read(pl030.start, 4), 999);
  }

  #checkPci(): void {
    const { pciPorts, ecam } = RANGES;
    const device = 1 << 15;
    this.#write(ecam.start + device + 0x10, 4, PVPANIC_BAR);
    this.#write(ecam.start + device + 4, 2, 2);
    this.#expect('what pvpanic knows', this.#read(PVPANIC_BAR, 1), 3);
    this.#write(pciPorts.start, 4, 0x8000_0800);
    this.#expect('the id of pvpanic', this.#read(pciPorts.start + 4, 4), 0x0011_1b36);
  }

  #expect(what: string, found: number | string, expected: number | string): void {
    if (found !== expected) throw new Error(`${what} is ${found} instead of ${expected}`);
  }

  #read(address: number, size: AccessSize): number {
    this.#access.size = size;
    this.#machine.bus.read(address, this.#access);
    const { low, high } = this.#access;
    if (low !== low >>> 0 || high !== high >>> 0 || low >= 2 ** Math.min(32, 8 * size)) {
      throw new Error(`${size} bytes at 0x${address.toString(16)} read as ${high}:${low}`);
    }
    return low;
  }

  #write(address: number, size: AccessSize, low: number, high = 0): void {
    this.#access.size = size;
    this.#access.low = low;
    this.#access.high = high;
    this.#machine.bus.write(address, this.#access);
  }
}

/** Every device at every offset that matters, and values that are commands somewhere. */
function seeds(): Step[][] {
  const reads = (a: number) => OFFSETS.map((c, index) => step(Op.readBar, { a, b: index, c }));
  const writes = (a: number, values: readonly number[]) =>
    values.flatMap((e, index) => [
      step(Op.writeBar, { a, b: index % 3, c: OFFSETS[index % OFFSETS.length] ?? 0, e }),
      step(Op.readBar, { a, b: index % 4, c: OFFSETS[index % OFFSETS.length] ?? 0 }),
    ]);
  return NAMES.map((_, a) => [
    ...reads(a),
    ...writes(a, VALUES),
    step(Op.host, { a, b: 5 }),
    step(Op.turn, { a: 1, d: 1500n }),
    ...writes(a, VALUES.toReversed()),
    ...reads(a),
  ]);
}
