import { beforeEach, describe, expect, it } from 'vitest';
import { HartStates } from '../src/soft/hart-states.ts';
import { type FenceRange, Sbi, type SbiHart } from '../src/soft/sbi.ts';

const RAM_START = 0x8000_0000;
const RAM_SIZE = 0x1000_0000;

class Machine {
  readonly hartCount = 3;
  readonly states = new HartStates(new SharedArrayBuffer(HartStates.stateSize(3)));
  readonly log: unknown[] = [];

  raiseSoftwareInterrupt(hart: number): void {
    this.log.push(['ipi', hart]);
  }

  remoteFence(harts: readonly number[], fence: FenceRange): void {
    this.log.push(['fence', [...harts], fence.kind, fence.asid]);
  }

  shutdown(reason: string): void {
    this.log.push(['shutdown', reason]);
  }

  debugConsoleWrite(address: number, length: number): number | undefined {
    this.log.push(['write', address, length]);
    return this.isGuestMemory(address, length) ? length : undefined;
  }

  debugConsoleWriteByte(byte: number): void {
    this.log.push(['byte', byte]);
  }

  isGuestMemory(address: number, length: number): boolean {
    return address >= RAM_START && address + length <= RAM_START + RAM_SIZE;
  }
}

class Caller implements SbiHart {
  readonly id = 0;
  readonly registers = new BigUint64Array(32);
  readonly log: unknown[] = [];

  registerLow(number: number): number {
    return Number((this.registers[number] ?? 0n) & 0xffff_ffffn);
  }

  registerHigh(number: number): number {
    return Number((this.registers[number] ?? 0n) >> 32n);
  }

  setRegister(number: number, low: number, high: number): void {
    this.registers[number] = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  }

  setTimer(low: number, high: number): void {
    this.log.push(['timer', low, high]);
  }

  waitForInterrupt(): void {
    this.log.push('wait');
  }

  restart(pc: number, opaqueLow: number): void {
    this.log.push(['restart', pc, opaqueLow]);
  }

  park(): void {
    this.log.push('park');
  }
}

// Extension and function ids of the SBI 2.0 specification, written out again.
const BASE = 0x10n;
const TIME = 0x54494d45n;
const IPI = 0x735049n;
const RFENCE = 0x52464e43n;
const HSM = 0x48534dn;
const SRST = 0x53525354n;
const DBCN = 0x4442434en;
const EVERYONE = (1n << 64n) - 1n;

describe('Sbi', () => {
  let machine: Machine;
  let hart: Caller;

  beforeEach(() => {
    machine = new Machine();
    machine.states.stopAll();
    machine.states.set(0, 0);
    hart = new Caller();
  });

  /** @returns [error, value] as signed numbers */
  function call(extension: bigint, fid: bigint, ...args: bigint[]): [bigint, bigint] {
    args.forEach((value, index) => {
      hart.registers[10 + index] = BigInt.asUintN(64, value);
    });
    hart.registers[16] = fid;
    hart.registers[17] = extension;
    new Sbi(machine).call(hart);
    return [BigInt.asIntN(64, hart.registers[10] ?? 0n), BigInt.asIntN(64, hart.registers[11] ?? 0n)];
  }

  it('is version 2.0 and has the extensions it has', () => {
    expect(call(BASE, 0n)).toEqual([0n, 0x0200_0000n]);
    for (const extension of [BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN]) {
      expect(call(BASE, 3n, extension)).toEqual([0n, 1n]);
    }
    for (const extension of [0n, 1n, 0x535553504n, 0x504d55n, 1n << 40n]) {
      expect(call(BASE, 3n, extension)).toEqual([0n, 0n]);
    }
  });

  it('does not support what it does not have', () => {
    expect(call(0x504d55n, 0n)[0]).toBe(-2n);
    for (const extension of [BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN]) {
      expect(call(extension, 99n)[0]).toBe(-2n);
    }
  });

  it('sets the timer', () => {
    expect(call(TIME, 0n, 0x1234_5678_9abcn)[0]).toBe(0n);
    expect(hart.log).toEqual([['timer', 0x5678_9abc, 0x1234]]);
  });

  it('resolves hart masks', () => {
    expect(call(IPI, 0n, 0b101n, 0n)[0]).toBe(0n);
    expect(call(IPI, 0n, 0b1n, 2n)[0]).toBe(0n);
    expect(call(IPI, 0n, 0n, EVERYONE)[0]).toBe(0n);
    expect(machine.log).toEqual([0, 2, 2, 0, 1, 2].map((id) => ['ipi', id]));
    expect(call(IPI, 0n, 0b1000n, 0n)[0]).toBe(-3n);
    expect(call(IPI, 0n, 1n, 1n << 40n)[0]).toBe(-3n);
  });

  it('has fences executed by the harts of the mask', () => {
    expect(call(RFENCE, 0n, 0b110n, 0n)[0]).toBe(0n);
    expect(call(RFENCE, 2n, 0b010n, 0n, 0n, 0n, 7n)[0]).toBe(0n);
    expect(machine.log).toEqual([
      ['fence', [1, 2], 'fence.i', -1],
      ['fence', [1], 'sfence.vma', 7],
    ]);
  });

  it('starts stopped harts, once', () => {
    expect(call(HSM, 2n, 1n)).toEqual([0n, 1n]);
    expect(call(HSM, 0n, 1n, BigInt(RAM_START + 0x1000), 42n)[0]).toBe(0n);
    expect(call(HSM, 2n, 1n)).toEqual([0n, 2n]);
    expect(call(HSM, 0n, 1n, BigInt(RAM_START), 0n)[0]).toBe(-6n);
    expect(machine.states.takeStart(1)).toEqual({
      address: RAM_START + 0x1000,
      opaqueLow: 42,
      opaqueHigh: 0,
    });
    expect(call(HSM, 2n, 1n)).toEqual([0n, 0n]);
    expect(call(HSM, 0n, 3n, BigInt(RAM_START), 0n)[0]).toBe(-3n);
    expect(call(HSM, 0n, 2n, 0x1000n, 0n)[0]).toBe(-5n);
    expect(call(HSM, 0n, 2n, EVERYONE, 0n)[0]).toBe(-5n);
  });

  it('suspends retentively and not', () => {
    expect(call(HSM, 3n, 0n)[0]).toBe(0n);
    call(HSM, 3n, 0x8000_0000n, BigInt(RAM_START + 8), 5n);
    expect(hart.log).toEqual(['wait', 'wait', ['restart', RAM_START + 8, 5]]);
    expect(call(HSM, 3n, 1n)[0]).toBe(-3n);
    expect(call(HSM, 3n, 0x1000_0000n)[0]).toBe(-2n);
    call(HSM, 1n);
    expect(hart.log.at(-1)).toBe('park');
  });

  it('tells shutdown, reboot and failure apart', () => {
    call(SRST, 0n, 0n, 0n);
    call(SRST, 0n, 1n, 0n);
    call(SRST, 0n, 2n, 0n);
    call(SRST, 0n, 0n, 1n);
    expect(machine.log).toEqual(
      ['shutdown', 'reset', 'reset', 'crash'].map((reason) => ['shutdown', reason]),
    );
    expect(call(SRST, 0n, 3n, 0n)[0]).toBe(-3n);
  });

  it('writes to the debug console from guest memory only', () => {
    expect(call(DBCN, 0n, 5n, BigInt(RAM_START), 0n)).toEqual([0n, 5n]);
    expect(call(DBCN, 0n, 5n, 0x1000n, 0n)[0]).toBe(-3n);
    expect(call(DBCN, 0n, 5n, BigInt(RAM_START), 1n)[0]).toBe(-3n);
    expect(call(DBCN, 2n, 0x141n)[0]).toBe(0n);
    expect(machine.log.at(-1)).toEqual(['byte', 0x41]);
  });
});

describe('HartStates', () => {
  it('does not lose an event between looking and waiting', () => {
    const states = new HartStates(new SharedArrayBuffer(HartStates.stateSize(1)));
    const seen = states.events(0);
    states.wake(0);
    states.waitForEvent(0, seen); // returns: the counter has moved
    expect(states.events(0)).toBe(seen + 1);
  });
});
