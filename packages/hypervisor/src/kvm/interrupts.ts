import { HypervisorError } from '../errors.ts';
import type { Architecture } from '../hypervisor.ts';
import type { InterruptLine, Interrupts, MsiEvents, MsiSender } from '../vm.ts';
import {
  architectureOf,
  type KvmArchitecture,
  type LineRange,
  type UserControllers,
} from './architecture.ts';
import { GsiRoutes } from './gsi-routes.ts';
import { KvmMsiEvents } from './msi-events.ts';
import { callStructure, KvmError, type NativeVm, native } from './native.ts';

/** What a thread needs to raise the machine's interrupts. */
export interface KvmInterruptsBackEnd {
  readonly handle: number;
  readonly lines: LineRange;
  readonly vcpuCount: number;
  /** Interrupt controllers that are not in the kernel. */
  readonly controllers: unknown;
  /** The states of the GSIs and of the eventfds that send MSIs; undefined when nobody takes MSIs. */
  readonly msiEvents: { readonly routes: SharedArrayBuffer; readonly events: SharedArrayBuffer } | undefined;
}

/** What a machine's threads raise its interrupts with. */
interface KvmInterruptsParts extends Omit<KvmInterruptsBackEnd, 'handle' | 'controllers' | 'msiEvents'> {
  readonly vm: NativeVm;
  readonly architecture: KvmArchitecture;
  readonly controllers: UserControllers | undefined;
  readonly msiEvents: MsiEvents | undefined;
}

/** The interrupt controllers, on one of the machine's threads. */
export class KvmInterrupts implements Interrupts {
  readonly msi: MsiSender;
  readonly msiEvents: MsiEvents | undefined;
  readonly #vm: NativeVm;
  readonly #architecture: KvmArchitecture;
  readonly #lines: LineRange;
  readonly #vcpuCount: number;
  readonly #controllers: UserControllers | undefined;

  constructor({ vm, architecture, lines, vcpuCount, controllers, msiEvents }: KvmInterruptsParts) {
    this.#vm = vm;
    this.#architecture = architecture;
    this.#lines = lines;
    this.#vcpuCount = vcpuCount;
    this.#controllers = controllers;
    this.msi = new KvmMsiSender(vm);
    this.msiEvents = msiEvents;
  }

  static attach(name: Architecture, backEnd: KvmInterruptsBackEnd): KvmInterrupts {
    const { handle, controllers, msiEvents, ...rest } = backEnd;
    const architecture = architectureOf(name);
    const vm = native().attachVm(handle);
    return new KvmInterrupts({
      ...rest,
      vm,
      architecture,
      controllers: controllers === undefined ? undefined : architecture.attachControllers?.(controllers),
      msiEvents: msiEvents && new KvmMsiEvents(vm, GsiRoutes.attach(vm, msiEvents.routes), msiEvents.events),
    });
  }

  line(source: number): InterruptLine {
    const { first, count } = this.#lines;
    if (!Number.isInteger(source) || source < first || source >= first + count) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `there is no interrupt source ${source}: they are numbered from ${first} to ${first + count - 1}`,
      );
    }
    if (this.#controllers !== undefined) return this.#controllers.line(source);
    return new KvmLine(this.#vm, this.#architecture.lineInput(source));
  }

  privateLine(vcpu: number, source: number): InterruptLine {
    if (!Number.isInteger(vcpu) || vcpu < 0 || vcpu >= this.#vcpuCount) {
      throw new HypervisorError('INVALID_ARGUMENT', `there is no vCPU ${vcpu} in this machine`);
    }
    return new KvmLine(this.#vm, this.#architecture.privateLineInput(vcpu, source));
  }
}

/** KVM_MSI_VALID_DEVID: the device id counts, where somebody cares. */
const VALID_DEVICE_ID = 1;

/** KVM_SIGNAL_MSI (`struct kvm_msi`). */
export class KvmMsiSender implements MsiSender {
  readonly #vm: NativeVm;
  readonly #message = Uint32Array.of(0, 0, 0, VALID_DEVICE_ID, 0, 0, 0, 0);
  readonly #bytes = new Uint8Array(this.#message.buffer);

  constructor(vm: NativeVm) {
    this.#vm = vm;
  }

  send(addressLow: number, addressHigh: number, data: number, deviceId = 0): void {
    const message = this.#message;
    message[0] = addressLow;
    message[1] = addressHigh;
    message[2] = data;
    message[4] = deviceId;
    try {
      callStructure(this.#vm, 'KVM_SIGNAL_MSI', this.#bytes);
    } catch (error) {
      // The guest chose the address. What nobody listens to, or what makes no sense, is lost, as on hardware.
      if (!(error instanceof KvmError) || error.code === 'INVALID_STATE') throw error;
    }
  }
}

/** KVM_IRQ_LINE (`struct kvm_irq_level`). */
class KvmLine implements InterruptLine {
  readonly #vm: NativeVm;
  readonly #level: Uint32Array;
  readonly #bytes: Uint8Array;

  constructor(vm: NativeVm, input: number) {
    this.#vm = vm;
    this.#level = Uint32Array.of(input, 0);
    this.#bytes = new Uint8Array(this.#level.buffer);
  }

  set(level: boolean): void {
    this.#level[1] = level ? 1 : 0;
    callStructure(this.#vm, 'KVM_IRQ_LINE', this.#bytes);
  }
}
