import { parentPort, workerData } from 'node:worker_threads';
import { GuestMemory, type GuestMemoryDescriptor } from '@tsvmm/vm-memory';
import { attachVcpu } from '../attach.ts';
import type { ExitAccess, ExitHandler, VcpuStop } from '../vcpu.ts';
import type { VcpuDescriptor } from '../vm.ts';
import type { LoggedExit } from './exit-log.ts';

export interface ConformanceWorkerData {
  readonly vcpu: VcpuDescriptor;
  readonly memory: GuestMemoryDescriptor;
  readonly registers: Readonly<Record<string, bigint>>;
  /** What loads from devices give. */
  readonly readValue: bigint;
  /** How often to call `run`. */
  readonly runs: number;
}

export type ConformanceEvent =
  | { readonly kind: 'exit'; readonly exit: LoggedExit }
  | { readonly kind: 'stop'; readonly stop: VcpuStop; readonly registers: Readonly<Record<string, bigint>> };

const data: ConformanceWorkerData = workerData;
const memory = GuestMemory.attach(data.memory);

function post(event: ConformanceEvent): void {
  parentPort?.postMessage(event);
}

function log(exit: LoggedExit): void {
  post({ kind: 'exit', exit });
}

function mask(size: number): bigint {
  return (1n << BigInt(size * 8)) - 1n;
}

function answer(kind: 'read' | 'in', access: ExitAccess): void {
  const value = data.readValue & mask(access.size);
  access.low = Number(value & 0xffff_ffffn);
  access.high = Number(value >> 32n);
  log({ kind, address: access.address, size: access.size, value });
}

function tell(kind: 'write' | 'out', access: ExitAccess): void {
  const value = ((BigInt(access.high) << 32n) | BigInt(access.low)) & mask(access.size);
  log({ kind, address: access.address, size: access.size, value });
}

/** Answers loads with one value, and tells the main thread of everything. */
const handler: ExitHandler = {
  mmioRead: (access) => answer('read', access),
  mmioWrite: (access) => tell('write', access),
  pioRead: (access) => answer('in', access),
  pioWrite: (access) => tell('out', access),
  debugConsoleWrite(address: number, length: number) {
    log({ kind: 'debug', bytes: [...memory.bytes(address, length)] });
    return length;
  },
  debugConsoleWriteByte(byte: number) {
    log({ kind: 'debug', bytes: [byte] });
  },
};

using vcpu = await attachVcpu(data.vcpu);
for (const [name, value] of Object.entries(data.registers)) {
  vcpu.registers.set(name, value);
}
for (let run = 0; run < data.runs; run++) {
  const stop = vcpu.run(handler);
  const registers = Object.fromEntries(
    vcpu.registers.names().map((name) => [name, vcpu.registers.get(name)]),
  );
  post({ kind: 'stop', stop, registers });
}
