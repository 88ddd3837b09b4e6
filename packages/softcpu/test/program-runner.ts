import { SoftMemory } from '../src/core/memory.ts';
import { Hart, type HartOptions } from '../src/riscv64/hart.ts';
import type { HartHost, PhysicalAccess } from '../src/riscv64/hart-host.ts';
import { readElf } from './elf-image.ts';

/** Where programs are and run unless they say otherwise. */
export const RAM_BASE = 0x8000_0000;

/** A word at this physical address ends the program: its value is the result. SiFive's test device is at the same place. */
export const EXIT_ADDRESS = 0x10_0000;

export interface ProgramOptions extends HartOptions {
  readonly ramSize?: number;
  /** `ecall` from S-mode; without it, it ends the program with the result 0. */
  readonly supervisorCall?: (hart: Hart) => void;
}

/**
 * A machine of one hart, RAM, and a register that ends the program: enough to run bare-metal programs in tests.
 *
 *     const machine = new ProgramRunner();
 *     machine.loadWords(RAM_BASE, [0x00100513, …]);
 *     machine.run(RAM_BASE);
 *     machine.hart.register(10);
 */
export class ProgramRunner implements HartHost {
  readonly memory: SoftMemory;
  readonly hart: Hart;
  /** What was written to {@link EXIT_ADDRESS}, if that is how the program ended. */
  exitValue: number | undefined;
  /** Accesses to physical addresses where nothing else is: answered with all ones, or refused if false is returned. */
  onMmio: ((access: PhysicalAccess, write: boolean) => boolean) | undefined;
  time = 0;
  readonly #supervisorCall: ((hart: Hart) => void) | undefined;

  constructor(options: ProgramOptions = {}) {
    const { ramSize = 64 << 20, supervisorCall } = options;
    this.memory = SoftMemory.create({ harts: 1, ramBase: RAM_BASE, ramSize, codeSize: 8 << 20 });
    this.#supervisorCall = supervisorCall;
    this.hart = new Hart(this.memory, 0, this, options);
  }

  /** Writes words to guest RAM at a physical address. */
  loadWords(address: number, words: Iterable<number>): void {
    let index = (this.memory.ramOffset + address - RAM_BASE) >>> 2;
    for (const word of words) {
      this.memory.i32[index++] = word;
    }
  }

  /** Loads an ELF executable. @returns its entry point */
  loadElf(file: Uint8Array): number {
    const { entry, segments } = readElf(file);
    for (const { physicalAddress, data } of segments) {
      this.memory.ram.set(data, physicalAddress - RAM_BASE);
    }
    return entry;
  }

  /** Runs from `pc` in S-mode until the program ends. @returns what it wrote to {@link EXIT_ADDRESS} */
  run(pc: number): number | undefined {
    this.exitValue = undefined;
    this.hart.reset(pc, 0, 0);
    this.hart.run();
    return this.exitValue;
  }

  /** x0–x31 as unsigned 64-bit numbers. */
  registers(): bigint[] {
    return Array.from({ length: 32 }, (_, register) => {
      return (BigInt(this.hart.registerHigh(register)) << 32n) | BigInt(this.hart.registerLow(register));
    });
  }

  mmioRead(access: PhysicalAccess): boolean {
    access.low = 0xffff_ffff;
    access.high = 0xffff_ffff;
    return this.onMmio?.(access, false) ?? true;
  }

  mmioWrite(access: PhysicalAccess): boolean {
    if (access.address === EXIT_ADDRESS) {
      this.exitValue = access.low;
      this.hart.requestStop();
      return true;
    }
    return this.onMmio?.(access, true) ?? true;
  }

  supervisorCall(hart: Hart): void {
    if (this.#supervisorCall === undefined) {
      hart.requestStop();
    } else {
      this.#supervisorCall(hart);
    }
  }

  readTime(): number {
    return this.time;
  }

  millisecondsUntil(): number {
    return Number.POSITIVE_INFINITY;
  }
}
