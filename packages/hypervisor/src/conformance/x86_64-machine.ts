import type { Hypervisor } from '../hypervisor.ts';
import type { ConformanceCase } from './case.ts';
import { ConformanceMachine, type MachineSetup } from './machine.ts';
import { idle, mov32, movAl, outAl, sti, store32, X86 } from './x86_64-assembler.ts';

export const CODE = 0x1000;
/** Code of interrupt handlers; 256 bytes for each that is installed. */
const HANDLERS = 0x3000;
const GDT = 0x500;
const IDT = 0x600;
const STACK = 0x8000;
const PML4 = 0x9000;
const PDPT = 0xa000;
const PAGE_DIRECTORIES = 0xb000;
/** Nothing is here: loads and stores leave the vCPU. */
export const DEVICE = 0xd000_0000;
export const LOCAL_APIC = 0xfee0_0000;
export const IO_APIC = 0xfec0_0000;

const CODE_SELECTOR = 8;
const DATA_SELECTOR = 16;

function segment(name: string, selector: number, type: number, long = false): Record<string, bigint> {
  return {
    [name]: BigInt(selector),
    [`${name}.base`]: 0n,
    [`${name}.limit`]: 0xffff_ffffn,
    [`${name}.type`]: BigInt(type),
    [`${name}.present`]: 1n,
    [`${name}.dpl`]: 0n,
    [`${name}.db`]: long ? 0n : 1n,
    [`${name}.s`]: 1n,
    [`${name}.l`]: long ? 1n : 0n,
    [`${name}.g`]: 1n,
    [`${name}.unusable`]: 0n,
  };
}

const START = { rip: BigInt(CODE), rflags: 2n, rsp: BigInt(STACK) };
/** Without an interrupt table every exception is a triple fault. */
const NO_INTERRUPTS = { 'idtr.base': 0n, 'idtr.limit': 0n };
const FLAT_DATA = {
  ...segment('ds', DATA_SELECTOR, 3),
  ...segment('es', DATA_SELECTOR, 3),
  ...segment('ss', DATA_SELECTOR, 3),
};
const TABLES = { 'gdtr.base': BigInt(GDT), 'gdtr.limit': 23n };

const options: MachineSetup['options'] = {
  architecture: 'x86_64',
  ram: [{ guestAddress: 0, size: 16 * 2 ** 20 }],
};

/** Real mode. */
export const MODE_16: MachineSetup = {
  options,
  codeAddress: CODE,
  registers: { ...START, ...NO_INTERRUPTS, cs: 0n, 'cs.base': 0n },
};

/** Protected mode with flat segments, without paging, with an interrupt table. */
export const MODE_32: MachineSetup = {
  options,
  codeAddress: CODE,
  registers: {
    ...START,
    ...FLAT_DATA,
    ...segment('cs', CODE_SELECTOR, 11),
    ...TABLES,
    'idtr.base': BigInt(IDT),
    'idtr.limit': 0x7ffn,
    cr0: 0x11n,
  },
};

/** Long mode; the first 4 GiB are mapped as they are. */
export const MODE_64: MachineSetup = {
  options,
  codeAddress: CODE,
  registers: {
    ...START,
    ...NO_INTERRUPTS,
    ...FLAT_DATA,
    ...segment('cs', CODE_SELECTOR, 11, true),
    ...TABLES,
    cr0: 0x8000_0011n,
    cr3: BigInt(PML4),
    cr4: 0x20n,
    efer: 0x500n,
  },
};

/** Writes the tables that a mode needs. */
export function loadTables(machine: ConformanceMachine, setup: MachineSetup): void {
  const isLong = setup === MODE_64;
  const code = isLong ? 0x00af_9b00_0000_ffffn : 0x00cf_9b00_0000_ffffn;
  machine.load(new Uint8Array(BigUint64Array.of(0n, code, 0x00cf_9300_0000_ffffn).buffer), GDT);
  if (isLong) {
    const present = 3n;
    const large = 0x83n;
    const directories = BigInt(PAGE_DIRECTORIES);
    const pointers = BigUint64Array.from({ length: 4 }, (_, n) => directories + BigInt(n * 0x1000) + present);
    const pages = BigUint64Array.from({ length: 2048 }, (_, n) => BigInt(n) * 0x20_0000n + large);
    machine.load(new Uint8Array(BigUint64Array.of(BigInt(PDPT) + present).buffer), PML4);
    machine.load(new Uint8Array(pointers.buffer), PDPT);
    machine.load(new Uint8Array(pages.buffer), PAGE_DIRECTORIES);
  }
}

/** A machine with the tables that its mode needs. */
export async function createMachine(
  hypervisor: Hypervisor,
  setup: MachineSetup,
  vcpuCount = 1,
): Promise<ConformanceMachine> {
  const machine = await ConformanceMachine.create(hypervisor, setup, vcpuCount);
  loadTables(machine, setup);
  return machine;
}

/** A case that has a machine to itself. */
export function withMachine(
  setup: MachineSetup,
  body: (machine: ConformanceMachine) => Promise<void>,
  vcpuCount = 1,
): ConformanceCase['run'] {
  return async (hypervisor) => {
    await using machine = await createMachine(hypervisor, setup, vcpuCount);
    await body(machine);
  };
}

/** Stores a number of 32 bits, in 32- and 64-bit code. */
export function poke(address: number, value: number): number[] {
  return [...mov32(X86.bx, address), ...mov32(X86.ax, value), ...store32(X86.bx)];
}

/** Tells the main thread that the code has come this far. */
export const tellDevice = poke(DEVICE, 1);

/** Turns the local APIC on (spurious vector 0xff). */
export const enableLocalApic = poke(LOCAL_APIC + 0xf0, 0x1ff);

/** Writes a byte to a port. */
export function outByte(port: number, value: number): number[] {
  return [...mov32(X86.dx, port), ...movAl(value), ...outAl];
}

/** Masks all inputs of the two 8259s, which are wired to the same lines. */
const maskPics = [0x21, 0xa1].flatMap((port) => outByte(port, 0xff));

/** Gives the 8259s vectors from 0x20 on, and lets inputs 4 and 10 through; the local APIC takes what they have. */
export const enablePics = [
  ...[0x11, 0x20, 0x04, 0x01].flatMap((word, index) => outByte(index === 0 ? 0x20 : 0x21, word)),
  ...[0x11, 0x28, 0x02, 0x01].flatMap((word, index) => outByte(index === 0 ? 0xa0 : 0xa1, word)),
  ...outByte(0x21, 0xff & ~(1 << 4) & ~(1 << 2)),
  ...outByte(0xa1, 0xff & ~(1 << 2)),
  // LINT0: ExtINT.
  ...poke(LOCAL_APIC + 0x350, 0x700),
];

/** Sends what comes in at a pin of the I/O APIC to vCPU 0, and only there. */
export function routePin(pin: number, vector: number, levelTriggered = false): number[] {
  return [
    ...maskPics,
    ...poke(IO_APIC, 0x11 + 2 * pin),
    ...poke(IO_APIC + 0x10, 0),
    ...poke(IO_APIC, 0x10 + 2 * pin),
    ...poke(IO_APIC + 0x10, vector | (levelTriggered ? 0x8000 : 0)),
  ];
}

/**
 * Installs a handler in a machine of {@link MODE_32}: it runs `first`, tells the device the vector, ends the interrupt, and
 * waits for the next (without `iret`, which KVM does not emulate in protected mode where the CPU does not run it).
 */
export function onInterrupt(
  machine: ConformanceMachine,
  vector: number,
  first: readonly number[] = [],
): void {
  const handler = HANDLERS + (vector % 16) * 0x100;
  machine.load(
    Uint8Array.from([...first, ...poke(DEVICE + 8, vector), ...poke(LOCAL_APIC + 0xb0, 0), ...sti, ...idle]),
    handler,
  );
  const gate = Uint16Array.of(handler & 0xffff, CODE_SELECTOR, 0x8e00, handler >>> 16);
  machine.load(new Uint8Array(gate.buffer), IDT + vector * 8);
}
