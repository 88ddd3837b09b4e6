import { Worker } from 'node:worker_threads';
import { type EventFd, mapInto, programUrl, reasonOf } from '@tsvmm/base';
import { Request, SoftMemory, startTranslation, type TranslationThread } from '@tsvmm/softcpu';
import { GuestMemory } from '@tsvmm/vm-memory';
import { HypervisorError } from '../errors.ts';
import type { RamRegion, VmOptions } from '../hypervisor.ts';
import type { AiaOptions } from '../interrupt-controllers.ts';
import { checkIoEvent } from '../io-event.ts';
import type {
  InterruptsDescriptor,
  InterruptTarget,
  IoEvent,
  MemoryRegion,
  VcpuControl,
  VcpuDescriptor,
  Vm,
} from '../vm.ts';
import { Aplic } from './aplic.ts';
import { Deadlines } from './clock.ts';
import type { ClockWorkerData } from './clock-worker.ts';
import { HartStates } from './hart-states.ts';
import { type IoEventEntry, IoEventTable } from './io-event-table.ts';
import { SoftInterrupts, type SoftMachineDescriptor } from './machine.ts';
import { SOFT_PLATFORM } from './platform.ts';
import { HartState } from './sbi.ts';
import type { SoftVcpuBackEnd } from './soft-vcpu.ts';

/** A riscv64 machine whose harts are software. */
export class SoftVm implements Vm {
  readonly kind = 'soft';
  readonly architecture = 'riscv64';
  readonly memory: GuestMemory;
  readonly platform = SOFT_PLATFORM;
  readonly interrupts: SoftInterrupts;
  readonly #machine: SoftMachineDescriptor;
  readonly #softMemory: SoftMemory;
  readonly #states: HartStates;
  readonly #deadlines: Deadlines;
  readonly #ioEvents: IoEventTable;
  readonly #stopRequests: Int32Array;
  readonly #backEnd: Omit<SoftVcpuBackEnd, 'translator'>;
  readonly #translation: TranslationThread;
  readonly #watches = new Set<Disposable>();
  readonly #clock: Worker;
  readonly #clockEnded: Promise<void>;
  #nextVcpu = 0;

  constructor(options: VmOptions & { readonly aia: AiaOptions }) {
    const { vcpuCount, aia } = options;
    const [ram] = options.ram;
    if (ram === undefined || options.ram.length !== 1) {
      throw new HypervisorError(
        'UNSUPPORTED',
        'a software machine has its RAM in one piece: give one region',
      );
    }
    const { regions = [] } = options;
    this.#softMemory = createSoftMemory(vcpuCount, ram, regions);
    this.memory = GuestMemory.create({
      regions: [{ base: ram.guestAddress, size: ram.size }],
      memory: this.#softMemory.memory,
      memoryOffset: this.#softMemory.ramOffset,
    });
    mapRegions(this.#softMemory, regions);
    const shared = {
      hartStates: new SharedArrayBuffer(HartStates.stateSize(vcpuCount)),
      deadlines: new SharedArrayBuffer(Deadlines.stateSize(vcpuCount)),
      ioEvents: new SharedArrayBuffer(IoEventTable.stateSize),
      stopRequests: new SharedArrayBuffer(vcpuCount * 4),
      epoch: process.hrtime.bigint(),
    };
    this.#machine = {
      memory: this.#softMemory.descriptor(),
      vcpuCount,
      aia,
      aplic: new SharedArrayBuffer(Aplic.stateSize),
    };
    this.interrupts = new SoftInterrupts(this.#machine, this.#softMemory);
    this.#states = new HartStates(shared.hartStates);
    this.#states.stopAll();
    this.#states.set(0, HartState.started);
    this.#deadlines = new Deadlines(shared.deadlines);
    this.#deadlines.clear();
    this.#ioEvents = new IoEventTable(shared.ioEvents);
    this.#stopRequests = new Int32Array(shared.stopRequests);
    this.#backEnd = { ...shared, machine: this.#machine, guestMemory: this.memory.descriptor() };
    this.#translation = startTranslation(this.#softMemory);
    const clockData: ClockWorkerData = {
      memory: this.#machine.memory,
      deadlines: shared.deadlines,
      epoch: shared.epoch,
    };
    this.#clock = new Worker(programUrl('clock-worker', import.meta.url), {
      name: 'tsvmm-clock',
      workerData: clockData,
    });
    this.#clock.unref();
    this.#clockEnded = new Promise((resolve, reject) => {
      this.#clock.once('exit', () => resolve());
      this.#clock.once('error', reject);
    });
  }

  interruptsDescriptor(): InterruptsDescriptor {
    return { kind: 'soft', architecture: 'riscv64', backEnd: this.#machine };
  }

  createVcpu(id: number): VcpuControl {
    if (id !== this.#nextVcpu || id >= this.#machine.vcpuCount) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `vCPU ${id} cannot be created: the next is ${this.#nextVcpu}, and the machine is for ${this.#machine.vcpuCount}`,
      );
    }
    this.#nextVcpu++;
    const translator = this.#translation.port(id);
    const backEnd: SoftVcpuBackEnd = { ...this.#backEnd, translator };
    const descriptor: VcpuDescriptor = { kind: 'soft', architecture: 'riscv64', id, backEnd };
    return { id, descriptor, transfer: [translator], requestStop: () => this.#requestStop(id) };
  }

  addMemoryRegion(): number {
    throw new HypervisorError(
      'UNSUPPORTED',
      'the software hypervisor has no memory but what it was created with: check has("memory-regions") first',
    );
  }

  removeMemoryRegion(slot: number): never {
    throw new HypervisorError('INVALID_ARGUMENT', `there is no memory region ${slot}`);
  }

  regionDescriptor(slot: number): never {
    return this.removeMemoryRegion(slot);
  }

  registerIoEvent(event: IoEvent): void {
    this.#ioEvents.add(ioEventEntry(event));
  }

  unregisterIoEvent(event: IoEvent): void {
    if (!this.#ioEvents.remove(ioEventEntry(event))) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `no I/O event is registered at 0x${event.address.toString(16)} with that length and value`,
      );
    }
  }

  registerInterruptEvent(event: EventFd, target: InterruptTarget): Disposable {
    const raise = this.#raiser(target);
    const watcher = event.onReadable(raise);
    this.#watches.add(watcher);
    return {
      [Symbol.dispose]: () => {
        if (this.#watches.delete(watcher)) {
          watcher[Symbol.dispose]();
        }
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watcher of this.#watches) {
      watcher[Symbol.dispose]();
    }
    this.#watches.clear();
    this.#clock.ref();
    this.#deadlines.end();
    await this.#clockEnded;
    await this.#translation[Symbol.asyncDispose]();
    this.memory[Symbol.dispose]();
  }

  #requestStop(id: number): void {
    Atomics.store(this.#stopRequests, id, 1);
    this.#states.wake(id);
    this.#softMemory.request(id, Request.stop);
  }

  #raiser(target: InterruptTarget): () => void {
    if (target.kind === 'msi') {
      const { addressLow, addressHigh, data } = target;
      return () => this.interrupts.msi.send(addressLow, addressHigh, data);
    }
    if (target.resample !== undefined) {
      throw new HypervisorError(
        'UNSUPPORTED',
        'the software hypervisor does not resample interrupts: check has("interrupt-resampling") first',
      );
    }
    // A line that is raised by an event pulses, as KVM's irqfd without a resampling event does.
    const line = this.interrupts.line(target.source);
    return () => {
      line.set(true);
      line.set(false);
    };
  }
}

/** @throws HypervisorError NO_RESOURCES when not all of it has room in 32-bit addresses, or regions overlap */
function createSoftMemory(harts: number, ram: RamRegion, regions: readonly MemoryRegion[]): SoftMemory {
  try {
    return SoftMemory.create({
      harts,
      ramBase: ram.guestAddress,
      ramSize: ram.size,
      regions: regions.map(({ guestAddress: base, size, readOnly }) => ({ base, size, readOnly })),
    });
  } catch (cause) {
    throw new HypervisorError('NO_RESOURCES', `no memory for the guest: ${reasonOf(cause)}`, { cause });
  }
}

/** @throws HypervisorError INVALID_ARGUMENT for what cannot be mapped */
function mapRegions({ memory, regions: placed }: SoftMemory, regions: readonly MemoryRegion[]): void {
  for (const [index, { size, descriptor, descriptorOffset, readOnly }] of regions.entries()) {
    const { offset = 0 } = placed[index] ?? {};
    try {
      mapInto(memory.buffer, offset, size, descriptor, descriptorOffset, { readOnly });
    } catch (cause) {
      throw new HypervisorError('INVALID_ARGUMENT', reasonOf(cause), { cause });
    }
  }
}

function ioEventEntry(event: IoEvent): IoEventEntry {
  checkIoEvent(event);
  if (event.space !== 'mmio') {
    throw new HypervisorError('UNSUPPORTED', 'riscv64 has no I/O ports: register the event in MMIO space');
  }
  return {
    address: event.address,
    length: event.length,
    match: event.match,
    descriptor: event.event.descriptor.number,
  };
}
