import { PAYLOADS as AARCH64, WIRED_PAYLOADS } from '../../src/conformance/aarch64-machine.ts';
import type { ConformanceMachine, MachineSetup } from '../../src/conformance/machine.ts';
import type { Payloads } from '../../src/conformance/payloads.ts';
import { PAYLOADS as RISCV64 } from '../../src/conformance/riscv64-machine.ts';
import { idle, spinHere, sti } from '../../src/conformance/x86_64-assembler.ts';
import {
  enableLocalApic,
  LOCAL_APIC,
  loadTables,
  MODE_32,
  onInterrupt,
  routePin,
  tellDevice,
  DEVICE as X86_DEVICE,
} from '../../src/conformance/x86_64-machine.ts';
import type { InterruptTarget } from '../../src/vm.ts';

/** A program that makes ready for an interrupt, stores to the device, waits, and stores what has come. */
export interface InterruptProgram {
  readonly name: string;
  readonly setup: MachineSetup;
  prepare(machine: ConformanceMachine): {
    readonly code: readonly number[];
    readonly target: InterruptTarget;
    readonly told: number;
  };
}

/** What tests of KVM itself run on the host's architecture. */
export interface HostPrograms {
  readonly setup: MachineSetup;
  /** Machines that have their interrupt controllers elsewhere. */
  readonly otherSetups?: readonly MachineSetup[];
  /** Stores to the device, then spins. */
  readonly tellAndSpin: readonly number[];
  /** Somewhere without memory and devices, for regions and I/O events. */
  readonly freeAddress: number;
  readonly interrupts: readonly InterruptProgram[];
}

function fromPayloads(payloads: Payloads, ...more: readonly Payloads[]): HostPrograms {
  const { setup, store, device, spin, assemble, freeAddress } = payloads;
  const tell = store(device, 1, 4);
  const line = (from: Payloads, name: string): InterruptProgram => ({
    name,
    setup: from.setup,
    prepare(machine) {
      const source = from.sources[0];
      const { enable, told } = from.line(machine, source);
      const code = assemble(enable, tell, from.waitAndTell(machine, device + 8), spin);
      return { code: [...code], target: { kind: 'line', source }, told: Number(told) };
    },
  });
  const message: InterruptProgram = {
    name: 'a message, where there are any',
    setup,
    prepare(machine) {
      const expected = payloads.message(machine);
      if (expected === undefined) return line(payloads, '').prepare(machine);
      const code = assemble(expected.enable, tell, payloads.waitAndTell(machine, device + 8), spin);
      return { code: [...code], target: { kind: 'msi', ...expected.message }, told: Number(expected.told) };
    },
  };
  return {
    setup,
    tellAndSpin: [...assemble(tell, spin)],
    freeAddress,
    interrupts: [
      line(payloads, 'a wired interrupt'),
      message,
      ...more.map((other) => line(other, 'a wired interrupt without messages')),
    ],
  };
}

/** Only the local APICs in the kernel. */
const SPLIT: MachineSetup = { ...MODE_32, options: { ...MODE_32.options, irqchip: 'split' } };

function x86Interrupt(
  name: string,
  target: InterruptTarget,
  vector: number,
  route: readonly number[],
  setup = MODE_32,
): InterruptProgram {
  return {
    name,
    setup,
    prepare(machine) {
      loadTables(machine, MODE_32);
      onInterrupt(machine, vector);
      return { code: [...enableLocalApic, ...route, ...tellDevice, ...sti, ...idle], target, told: vector };
    },
  };
}

const X86: HostPrograms = {
  setup: MODE_32,
  otherSetups: [SPLIT],
  tellAndSpin: [...tellDevice, ...spinHere],
  freeAddress: X86_DEVICE + 0x10_0000,
  interrupts: [
    x86Interrupt('a wired interrupt', { kind: 'line', source: 5 }, 0x32, routePin(5, 0x32)),
    x86Interrupt('a message', { kind: 'msi', addressLow: LOCAL_APIC, addressHigh: 0, data: 0x31 }, 0x31, []),
    x86Interrupt(
      'a wired interrupt of split controllers',
      { kind: 'line', source: 5 },
      0x32,
      routePin(5, 0x32, true),
      SPLIT,
    ),
  ],
};

const PROGRAMS: Readonly<Partial<Record<NodeJS.Architecture, HostPrograms>>> = {
  x64: X86,
  arm64: fromPayloads(AARCH64, WIRED_PAYLOADS),
  riscv64: fromPayloads(RISCV64),
};

/** @throws Error on a host that KVM does not run on */
export function hostPrograms(): HostPrograms {
  const programs = PROGRAMS[process.arch];
  if (programs === undefined) throw new Error(`there are no programs for ${process.arch}`);
  return programs;
}
