import { type EventFd, reasonOf } from '@tsvmm/base';
import { GuestMemory, GuestMemoryError } from '@tsvmm/vm-memory';
import { HypervisorError } from '../errors.ts';
import type { Architecture, VmOptions } from '../hypervisor.ts';
import type { Platform } from '../platform.ts';
import type {
  DirtyLog,
  InterruptLine,
  InterruptsDescriptor,
  InterruptTarget,
  IoEvent,
  MemoryRegion,
  RegionDescriptor,
  VcpuControl,
  VcpuDescriptor,
  Vm,
} from '../vm.ts';
import type { KernelDevices, KvmArchitecture, KvmState, MachineParts } from './architecture.ts';
import { GsiRoutes } from './gsi-routes.ts';
import { KvmInterrupts, type KvmInterruptsBackEnd } from './interrupts.ts';
import { ioEventStructure } from './io-event.ts';
import type { KvmVcpuBackEnd } from './kvm-vcpu.ts';
import { MemorySlots } from './memory-slots.ts';
import { IRQFD_DEASSIGN, irqFd, KvmMsiEvents } from './msi-events.ts';
import {
  Capability,
  callStructure,
  extension,
  KvmError,
  type NativeSystem,
  type NativeVcpu,
  type NativeVm,
  native,
} from './native.ts';
import type { KvmRegionBackEnd } from './region-switch.ts';

/** KVM_IRQFD_FLAG_RESAMPLE */
const IRQFD_RESAMPLE = 2;

/** A machine of KVM's. */
export class KvmVm implements Vm {
  readonly kind = 'kvm';
  readonly architecture: Architecture;
  readonly memory: GuestMemory;
  readonly interrupts: KvmInterrupts;
  readonly #vm: NativeVm;
  readonly #options: VmOptions;
  readonly #slots: MemorySlots;
  readonly #vcpus: readonly NativeVcpu[];
  readonly #stateRegisters: Uint32Array;
  readonly #devices: KernelDevices;
  readonly #routes: GsiRoutes;
  readonly #msiEvents: KvmMsiEvents | undefined;
  readonly #watchers = new Set<Disposable>();
  /** The id of the vCPU that is asked for next. */
  #nextVcpu = 0;

  constructor(system: NativeSystem, architecture: KvmArchitecture, options: VmOptions) {
    using cleanup = new DisposableStack();
    this.architecture = architecture.name;
    this.#options = options;
    this.#vm = cleanup.adopt(
      native().createVm(system, architecture.machineType(system, options)),
      native().release,
    );
    this.memory = cleanup.use(createMemory(options));
    this.#slots = new MemorySlots(this.#vm);
    const { fd, hostBytes } = this.memory;
    for (const { base, size, fileOffset, hostOffset } of this.memory.regions) {
      if (fd === undefined) {
        this.#slots.addAllocated(base, hostBytes.subarray(hostOffset, hostOffset + size));
      } else {
        const file = { descriptor: fd, descriptorOffset: fileOffset };
        this.#slots.add({ guestAddress: base, size, ...file, readOnly: false });
      }
    }
    for (const region of options.regions ?? []) this.#slots.add(region);
    // All vCPUs now: most interrupt controllers are made for those that are there.
    this.#routes = GsiRoutes.create(this.#vm, extension(this.#vm, Capability.irqRouting, true));
    const parts: MachineParts = { system, vm: this.#vm, options, routes: this.#routes };
    architecture.prepareVm(parts);
    this.#vcpus = Array.from({ length: options.vcpuCount }, (_, id) => {
      const vcpu = cleanup.adopt(native().createVcpu(this.#vm, id), native().release);
      architecture.prepareVcpu(parts, vcpu, id);
      return vcpu;
    });
    this.#stateRegisters = architecture.stateRegisters(system);
    this.#devices = cleanup.use(architecture.completeVm(parts, this.#vcpus));
    const { routes, firstFreeGsi, lines, controllers } = this.#devices;
    this.#routes.reserve(routes, firstFreeGsi);
    const { vcpuCount } = options;
    this.#msiEvents = this.#devices.hasMessages ? new KvmMsiEvents(this.#vm, this.#routes) : undefined;
    this.interrupts = new KvmInterrupts({
      ...{ vm: this.#vm, architecture, lines, vcpuCount, controllers },
      msiEvents: this.#msiEvents,
    });
    cleanup.move();
  }

  get platform(): Platform {
    return this.#devices.platform;
  }

  get dirtyLog(): DirtyLog {
    return this.#slots;
  }

  interruptsDescriptor(): InterruptsDescriptor {
    const backEnd: KvmInterruptsBackEnd = {
      handle: native().handleOf(this.#vm),
      lines: this.#devices.lines,
      vcpuCount: this.#options.vcpuCount,
      controllers: this.#devices.controllers?.descriptor,
      msiEvents: this.#msiEvents && { routes: this.#routes.state, events: this.#msiEvents.state },
    };
    return { kind: 'kvm', architecture: this.architecture, backEnd };
  }

  createVcpu(id: number): VcpuControl {
    const vcpu = this.#vcpus[id];
    if (id !== this.#nextVcpu || vcpu === undefined) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `vCPU ${id} cannot be created: the next is ${this.#nextVcpu}, and the machine is for ${this.#vcpus.length}`,
      );
    }
    this.#nextVcpu++;
    const backEnd: KvmVcpuBackEnd = {
      handle: native().handleOf(vcpu),
      stateRegisters: this.#stateRegisters,
      ram: this.#options.ram,
      controllers: this.#devices.controllers?.descriptor,
    };
    const descriptor: VcpuDescriptor = { kind: 'kvm', architecture: this.architecture, id, backEnd };
    return { id, descriptor, transfer: [], requestStop: () => this.#requestStop(vcpu) };
  }

  addMemoryRegion(region: MemoryRegion): number {
    return this.#slots.add(region);
  }

  removeMemoryRegion(slot: number): void {
    this.#slots.remove(slot);
  }

  regionDescriptor(slot: number): RegionDescriptor {
    const backEnd: KvmRegionBackEnd = {
      handle: native().handleOf(this.#vm),
      slot,
      region: this.#slots.readOnlyRegion(slot),
    };
    return { backEnd };
  }

  registerIoEvent(event: IoEvent): void {
    this.#ioEvent(event, false);
  }

  unregisterIoEvent(event: IoEvent): void {
    this.#ioEvent(event, true);
  }

  registerInterruptEvent(event: EventFd, target: InterruptTarget): Disposable {
    const descriptor = event.descriptor.number;
    if (target.kind === 'line') {
      // Throws for a line that is not there.
      const line = this.interrupts.line(target.source);
      if (target.resample === undefined && !this.#devices.hasLinePulses) return this.#watch(event, line);
      if (target.resample !== undefined && this.#devices.raiseUntilEnded !== undefined) {
        return this.#tracked(this.#devices.raiseUntilEnded(target.source, event, target.resample));
      }
      const flags = target.resample === undefined ? 0 : IRQFD_RESAMPLE;
      irqFd(this.#vm, descriptor, target.source, flags, target.resample?.descriptor.number ?? 0);
      return this.#undo(() => irqFd(this.#vm, descriptor, target.source, IRQFD_DEASSIGN, 0));
    }
    if (!this.#devices.hasMessages) {
      throw new HypervisorError(
        'UNSUPPORTED',
        'this machine has no controller for MSIs: give its GIC an ITS',
      );
    }
    const { addressLow, addressHigh, data, deviceId = 0 } = target;
    const gsi = this.#routes.addMessage(addressLow, addressHigh, data, deviceId);
    try {
      irqFd(this.#vm, descriptor, gsi, 0, 0);
    } catch (error) {
      this.#routes.removeMessage(gsi);
      throw error;
    }
    return this.#undo(() => {
      irqFd(this.#vm, descriptor, gsi, IRQFD_DEASSIGN, 0);
      this.#routes.removeMessage(gsi);
    });
  }

  /**
   * Everything of the machine that is neither in guest memory nor in a vCPU: interrupt controllers, timers, clocks. The
   * guest must not run. It is read after the vCPUs' state, and an ITS writes its tables to guest memory.
   */
  saveState(): KvmState {
    return this.#devices.saveState();
  }

  /**
   * Puts it into a machine that was made with the same options and has not run yet, after the vCPUs' state.
   *
   * @throws HypervisorError INVALID_ARGUMENT when it is of another machine or kind of host
   */
  restoreState(state: KvmState): void {
    this.#devices.restoreState(state);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watcher of this.#watchers) watcher[Symbol.dispose]();
    this.#watchers.clear();
    this.#devices[Symbol.dispose]();
    for (const vcpu of this.#vcpus) {
      // A thread that still runs it must get to know: nobody can tell it later.
      this.#requestStop(vcpu);
      native().release(vcpu);
    }
    native().release(this.#vm);
    this.memory[Symbol.dispose]();
  }

  /** A vCPU that went with its machine needs no stop. */
  #requestStop(vcpu: NativeVcpu): void {
    try {
      native().requestStop(vcpu);
    } catch (error) {
      if (!(error instanceof KvmError) || error.code !== 'INVALID_STATE') throw error;
    }
  }

  /** Pulses a line from this thread, as an irqfd does in the kernel where it does. */
  #watch(event: EventFd, line: InterruptLine): Disposable {
    return this.#tracked(
      event.onReadable(() => {
        line.set(true);
        line.set(false);
      }),
    );
  }

  /** What ends with the machine at the latest. */
  #tracked(watcher: Disposable): Disposable {
    this.#watchers.add(watcher);
    return {
      [Symbol.dispose]: () => {
        if (this.#watchers.delete(watcher)) watcher[Symbol.dispose]();
      },
    };
  }

  /** Undoes once, and not when the machine has gone: everything went with it. */
  #undo(action: () => void): Disposable {
    let isDone = false;
    return {
      [Symbol.dispose]: () => {
        if (isDone) return;
        isDone = true;
        try {
          action();
        } catch (error) {
          if (!(error instanceof KvmError) || error.code !== 'INVALID_STATE') throw error;
        }
      },
    };
  }

  #ioEvent(event: IoEvent, remove: boolean): void {
    const place = `${event.space} 0x${event.address.toString(16)}`;
    try {
      callStructure(this.#vm, 'KVM_IOEVENTFD', ioEventStructure(event, remove));
    } catch (cause) {
      if (!(cause instanceof KvmError) || cause.code !== 'INVALID_ARGUMENT') throw cause;
      const reason =
        cause.errno === 'EEXIST'
          ? 'is registered with the same length and value already'
          : cause.errno === 'ENOENT'
            ? 'is not registered with that length and value'
            : 'has a length or value that KVM does not take';
      throw new HypervisorError('INVALID_ARGUMENT', `the I/O event at ${place} ${reason}`, { cause });
    }
  }
}

function createMemory({ ram, sharedMemory = true }: VmOptions): GuestMemory {
  const regions = ram.map(({ guestAddress, size }) => ({ base: guestAddress, size }));
  try {
    const size = ram.reduce((sum, region) => sum + region.size, 0);
    const buffer = sharedMemory ? undefined : native().allocateMemory(size);
    if (buffer === undefined) return GuestMemory.create({ regions, backing: 'file' });
    return GuestMemory.attach({ kind: 'thread', regions, buffer, memoryOffset: 0 });
  } catch (cause) {
    if (cause instanceof HypervisorError) throw cause;
    const code = cause instanceof GuestMemoryError ? 'INVALID_ARGUMENT' : 'NO_RESOURCES';
    const reason = reasonOf(cause);
    throw new HypervisorError(code, `no memory for the guest: ${reason}`, { cause });
  }
}
