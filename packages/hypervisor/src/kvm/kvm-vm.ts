import type { EventFd } from '@tsvmm/base';
import { GuestMemory, GuestMemoryError } from '@tsvmm/vm-memory';
import { HypervisorError } from '../errors.ts';
import type { Architecture, VmOptions } from '../hypervisor.ts';
import type { Platform } from '../platform.ts';
import type {
  DirtyLog,
  InterruptsDescriptor,
  InterruptTarget,
  IoEvent,
  MemoryRegion,
  VcpuControl,
  VcpuDescriptor,
  Vm,
} from '../vm.ts';
import type { KvmArchitecture } from './architecture.ts';
import { GsiRoutes } from './gsi-routes.ts';
import { KvmInterrupts, type KvmInterruptsBackEnd } from './interrupts.ts';
import { ioEventStructure } from './io-event.ts';
import type { KvmVcpuBackEnd } from './kvm-vcpu.ts';
import { MemorySlots } from './memory-slots.ts';
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

/** KVM_IRQFD_FLAG_* */
const IRQFD_DEASSIGN = 1;
const IRQFD_RESAMPLE = 2;

/** A machine of KVM's. */
export class KvmVm implements Vm {
  readonly kind = 'kvm';
  readonly architecture: Architecture;
  readonly memory: GuestMemory;
  readonly platform: Platform = { architecture: 'x86_64' };
  readonly interrupts: KvmInterrupts;
  readonly #system: NativeSystem;
  readonly #vm: NativeVm;
  readonly #kvmArchitecture: KvmArchitecture;
  readonly #options: VmOptions;
  readonly #slots: MemorySlots;
  readonly #routes: GsiRoutes;
  readonly #vcpus: NativeVcpu[] = [];

  constructor(system: NativeSystem, architecture: KvmArchitecture, options: VmOptions) {
    using cleanup = new DisposableStack();
    this.architecture = architecture.name;
    this.#system = system;
    this.#kvmArchitecture = architecture;
    this.#options = options;
    this.#vm = cleanup.adopt(
      native().createVm(system, architecture.machineType(system, options)),
      native().release,
    );
    this.memory = cleanup.use(createMemory(options));
    this.#slots = new MemorySlots(this.#vm);
    for (const { base, size, fileOffset } of this.memory.regions) {
      this.#slots.add({
        guestAddress: base,
        size,
        // KVM needs memory that is a file, and create() was asked for that.
        descriptor: this.memory.fd ?? -1,
        descriptorOffset: fileOffset,
        readOnly: false,
      });
    }
    architecture.prepareVm(system, this.#vm, options);
    const { routes, firstFreeGsi, lineCount } = architecture;
    const capacity = extension(this.#vm, Capability.irqRouting, true);
    this.#routes = new GsiRoutes(this.#vm, routes, firstFreeGsi, capacity);
    this.interrupts = new KvmInterrupts(this.#vm, lineCount);
    cleanup.move();
  }

  get dirtyLog(): DirtyLog {
    return this.#slots;
  }

  interruptsDescriptor(): InterruptsDescriptor {
    const backEnd: KvmInterruptsBackEnd = { handle: native().handleOf(this.#vm) };
    return { kind: 'kvm', architecture: this.architecture, backEnd };
  }

  createVcpu(id: number): VcpuControl {
    const { vcpuCount } = this.#options;
    if (id !== this.#vcpus.length || id >= vcpuCount) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `vCPU ${id} cannot be created: the next is ${this.#vcpus.length}, and the machine is for ${vcpuCount}`,
      );
    }
    const vcpu = native().createVcpu(this.#vm, id);
    this.#vcpus.push(vcpu);
    this.#kvmArchitecture.prepareVcpu(this.#system, vcpu, id, this.#options);
    const backEnd: KvmVcpuBackEnd = {
      handle: native().handleOf(vcpu),
      stateRegisters: this.#kvmArchitecture.stateRegisters(this.#system),
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
      this.interrupts.line(target.source);
      const flags = target.resample === undefined ? 0 : IRQFD_RESAMPLE;
      this.#irqFd(descriptor, target.source, flags, target.resample?.descriptor.number ?? 0);
      return this.#undo(() => this.#irqFd(descriptor, target.source, IRQFD_DEASSIGN, 0));
    }
    const gsi = this.#routes.addMessage(target.addressLow, target.addressHigh, target.data);
    try {
      this.#irqFd(descriptor, gsi, 0, 0);
    } catch (error) {
      this.#routes.removeMessage(gsi);
      throw error;
    }
    return this.#undo(() => {
      this.#irqFd(descriptor, gsi, IRQFD_DEASSIGN, 0);
      this.#routes.removeMessage(gsi);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
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

  /** KVM_IRQFD (`struct kvm_irqfd`). */
  #irqFd(descriptor: number, gsi: number, flags: number, resample: number): void {
    const structure = new Uint32Array(8);
    structure.set([descriptor, gsi, flags, resample]);
    callStructure(this.#vm, 'KVM_IRQFD', new Uint8Array(structure.buffer));
  }
}

function createMemory(options: VmOptions): GuestMemory {
  const regions = options.ram.map(({ guestAddress, size }) => ({ base: guestAddress, size }));
  try {
    return GuestMemory.create({ regions, backing: 'file' });
  } catch (cause) {
    const code = cause instanceof GuestMemoryError ? 'INVALID_ARGUMENT' : 'NO_RESOURCES';
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HypervisorError(code, `no memory for the guest: ${reason}`, { cause });
  }
}
