import type { ConformanceMachine, MachineSetup } from './machine.ts';

/** Machine code. */
export type Code = readonly number[];

/** An interrupt that a payload has set up, and what it tells the device when it has come. */
export interface Expected {
  /** Code that enables it. */
  readonly enable: Code;
  /** What {@link Payloads.waitAndTell} writes. */
  readonly told: bigint;
}

export interface ExpectedMessage extends Expected {
  readonly message: {
    readonly addressLow: number;
    readonly addressHigh: number;
    readonly data: number;
    readonly deviceId?: number;
  };
}

/**
 * What the cases that all architectures share are made of: pieces of one architecture's machine code, which use registers as
 * they like.
 */
export interface Payloads {
  readonly setup: MachineSetup;
  /** Nothing is here: loads and stores leave the vCPU. The 4 KiB that follow are like it. */
  readonly device: number;
  /** No memory is here either: regions may be added. */
  readonly freeAddress: number;
  readonly programCounter: string;
  /** A general register of 64 bits that no piece of code uses. */
  readonly untouched: string;
  /** Bytes of the code's memory image. */
  assemble(...parts: readonly Code[]): Uint8Array;
  /** Stores a value below 2^31. */
  store(address: number, value: number, size: 1 | 2 | 4 | 8): Code;
  /** Loads, and stores the 8 bytes of the register elsewhere. */
  loadAndTell(from: number, size: 1 | 2 | 4 | 8, to: number): Code;
  /** Jumps to itself. */
  readonly spin: Code;
  /** Waits for interrupts for ever. */
  readonly idle: Code;
  readonly powerOff: Code;
  /** Waits for an interrupt, claims and ends it, and writes its number to an address, in 4 bytes. */
  waitAndTell(machine: ConformanceMachine, address: number): Code;
  /** Makes ready for a message; undefined for a machine that takes none. */
  message(machine: ConformanceMachine): ExpectedMessage | undefined;
  /** Enables an edge-triggered line. */
  line(machine: ConformanceMachine, source: number): Expected;
  /** Two lines that the machine has, and numbers next to them that it has not. */
  readonly sources: readonly [number, number];
  readonly missingSources: readonly number[];
  /** Starts vCPU 1 at an address. It finds `argument` in a register, from which {@link tellArgument} stores it. */
  startSecond(machine: ConformanceMachine, address: number, argument: number): Code;
  tellArgument(address: number): Code;
}
