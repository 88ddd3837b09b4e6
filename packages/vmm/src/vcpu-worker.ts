import { parentPort, workerData } from 'node:worker_threads';
import {
  attachBus,
  type Bus,
  type BusAccess,
  type BusDescriptor,
  ByteRing,
  createBusAccess,
} from '@tsvmm/devices';
import {
  attachInterrupts,
  attachVcpu,
  type ExitAccess,
  type ExitHandler,
  type InterruptsDescriptor,
  type VcpuDescriptor,
  type VcpuStop,
} from '@tsvmm/hypervisor';
import { GuestMemory, type GuestMemoryDescriptor } from '@tsvmm/vm-memory';

/** What a vCPU thread is started with. */
export interface VcpuWorkerData {
  readonly vcpu: VcpuDescriptor;
  readonly interrupts: InterruptsDescriptor;
  readonly memory: GuestMemoryDescriptor;
  readonly mmio: BusDescriptor;
  /** Registers to set before the first instruction, by name. */
  readonly registers: Readonly<Record<string, bigint>>;
  readonly debugConsole: SharedArrayBuffer | undefined;
}

/** What a vCPU thread says, once, when it ends. */
export interface VcpuWorkerEvent {
  readonly kind: 'stopped';
  readonly stop: VcpuStop;
}

/** Carries a vCPU's exits to the bus, on the vCPU's thread. */
class BusExits implements ExitHandler {
  readonly #bus: Bus;
  readonly #memory: GuestMemory;
  readonly #debugConsole: ByteRing | undefined;
  readonly #access: BusAccess = createBusAccess();

  constructor(bus: Bus, memory: GuestMemory, debugConsole: ByteRing | undefined) {
    this.#bus = bus;
    this.#memory = memory;
    this.#debugConsole = debugConsole;
  }

  mmioRead(exit: ExitAccess): void {
    const access = this.#access;
    access.size = exit.size;
    this.#bus.read(exit.address, access);
    exit.low = access.low;
    exit.high = access.high;
  }

  mmioWrite(exit: ExitAccess): void {
    const access = this.#access;
    access.size = exit.size;
    access.low = exit.low;
    access.high = exit.high;
    this.#bus.write(exit.address, access);
  }

  pioRead(exit: ExitAccess): void {
    exit.low = 0xffff_ffff;
    exit.high = 0xffff_ffff;
  }

  pioWrite(): void {}

  debugConsoleWrite(address: number, length: number): number {
    for (const byte of this.#memory.bytes(address, length)) {
      this.debugConsoleWriteByte(byte);
    }
    return length;
  }

  debugConsoleWriteByte(byte: number): void {
    while (this.#debugConsole !== undefined && !this.#debugConsole.push(byte)) {
      this.#debugConsole.waitForRoom();
    }
  }
}

const data: VcpuWorkerData = workerData;
using vcpu = attachVcpu(data.vcpu);
using memory = GuestMemory.attach(data.memory);
const bus = attachBus(data.mmio, { interrupts: attachInterrupts(data.interrupts) });
const debugConsole = data.debugConsole && new ByteRing(data.debugConsole);
for (const [name, value] of Object.entries(data.registers)) {
  vcpu.registers.set(name, value);
}
const event: VcpuWorkerEvent = {
  kind: 'stopped',
  stop: vcpu.run(new BusExits(bus, memory, debugConsole)),
};
parentPort?.postMessage(event);
