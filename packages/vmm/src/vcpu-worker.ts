import { once } from 'node:events';
import { parentPort } from 'node:worker_threads';
import {
  attachBus,
  type Bus,
  type BusAccess,
  type BusDescriptor,
  ByteRing,
  createBusAccess,
  type DeviceEnvironment,
} from '@tsvmm/devices/registers';
import {
  attachInterrupts,
  attachRegion,
  attachVcpu,
  type ExitAccess,
  type ExitHandler,
  type InterruptsDescriptor,
  type RegionDescriptor,
  type VcpuDescriptor,
  type VcpuStop,
} from '@tsvmm/hypervisor';
import { GuestMemory, type GuestMemoryDescriptor } from '@tsvmm/vm-memory';

/** What a vCPU is started with: the first message to its thread. */
export interface VcpuWorkerData {
  readonly vcpu: VcpuDescriptor;
  readonly interrupts: InterruptsDescriptor;
  readonly memory: GuestMemoryDescriptor;
  readonly mmio: BusDescriptor;
  readonly pio: BusDescriptor;
  /** Registers to set before the first instruction, by name. */
  readonly registers: Readonly<Record<string, bigint>>;
  readonly debugConsole: SharedArrayBuffer | undefined;
}

/** What a vCPU thread says. */
export type VcpuWorkerEvent =
  /** The guest changed which addresses PCI functions answer. */
  | { readonly kind: 'pci-decoding-changed' }
  /** Once, when it ends. */
  | { readonly kind: 'stopped'; readonly stop: VcpuStop };

/** Carries a vCPU's exits to the buses, on the vCPU's thread. */
class BusExits implements ExitHandler {
  readonly #mmio: Bus;
  readonly #pio: Bus;
  readonly #memory: GuestMemory;
  readonly #debugConsole: ByteRing | undefined;
  readonly #access: BusAccess = createBusAccess();

  constructor(mmio: Bus, pio: Bus, memory: GuestMemory, debugConsole: ByteRing | undefined) {
    this.#mmio = mmio;
    this.#pio = pio;
    this.#memory = memory;
    this.#debugConsole = debugConsole;
  }

  mmioRead(exit: ExitAccess): void {
    this.#read(this.#mmio, exit);
  }

  mmioWrite(exit: ExitAccess): void {
    this.#write(this.#mmio, exit);
  }

  pioRead(exit: ExitAccess): void {
    this.#read(this.#pio, exit);
  }

  pioWrite(exit: ExitAccess): void {
    this.#write(this.#pio, exit);
  }

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

  #read(bus: Bus, exit: ExitAccess): void {
    const access = this.#access;
    access.size = exit.size;
    bus.read(exit.address, access);
    exit.low = access.low;
    exit.high = access.high;
  }

  #write(bus: Bus, exit: ExitAccess): void {
    const access = this.#access;
    access.size = exit.size;
    access.low = exit.low;
    access.high = exit.high;
    bus.write(exit.address, access);
  }
}

const port = parentPort;
if (!port) throw new Error('This module is the body of VcpuThread: make one of those instead.');
const post = (event: VcpuWorkerEvent) => port.postMessage(event);

const [message] = await once(port, 'message');
const data: VcpuWorkerData = message;
using vcpu = await attachVcpu(data.vcpu);
using memory = GuestMemory.attach(data.memory);
const environment: DeviceEnvironment = {
  interrupts: await attachInterrupts(data.interrupts),
  memory,
  attachRegion: (region) => attachRegion(region as RegionDescriptor),
  reset: (detail) => vcpu.stop({ reason: 'reset', detail }),
  powerOff: (detail) => vcpu.stop({ reason: 'shutdown', detail }),
  pciDecodingChanged: () => post({ kind: 'pci-decoding-changed' }),
};
const mmio = attachBus(data.mmio, environment);
const pio = attachBus(data.pio, environment);
const debugConsole = data.debugConsole && new ByteRing(data.debugConsole);
for (const [name, value] of Object.entries(data.registers)) {
  vcpu.registers.set(name, value);
}
post({ kind: 'stopped', stop: vcpu.run(new BusExits(mmio, pio, memory, debugConsole)) });
