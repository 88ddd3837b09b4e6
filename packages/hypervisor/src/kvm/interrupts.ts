import { HypervisorError } from '../errors.ts';
import type { Architecture } from '../hypervisor.ts';
import type { InterruptLine, Interrupts, MsiSender } from '../vm.ts';
import { architectureOf } from './architecture.ts';
import { callStructure, KvmError, type NativeVm, native } from './native.ts';

/** What a thread needs to raise the machine's interrupts. */
export interface KvmInterruptsBackEnd {
  readonly handle: number;
}

/** The in-kernel interrupt controllers, on one of the machine's threads. */
export class KvmInterrupts implements Interrupts {
  readonly msi: MsiSender;
  readonly #vm: NativeVm;
  readonly #lineCount: number;

  constructor(vm: NativeVm, lineCount: number) {
    this.#vm = vm;
    this.#lineCount = lineCount;
    this.msi = new KvmMsiSender(vm);
  }

  static attach(architecture: Architecture, backEnd: KvmInterruptsBackEnd): KvmInterrupts {
    return new KvmInterrupts(native().attachVm(backEnd.handle), architectureOf(architecture).lineCount);
  }

  line(source: number): InterruptLine {
    if (!Number.isInteger(source) || source < 0 || source >= this.#lineCount) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `there is no interrupt source ${source}: they are numbered from 0 to ${this.#lineCount - 1}`,
      );
    }
    return new KvmLine(this.#vm, source);
  }

  privateLine(): InterruptLine {
    throw new HypervisorError('UNSUPPORTED', 'x86_64 vCPUs have no wired interrupts of their own');
  }
}

/** KVM_SIGNAL_MSI (`struct kvm_msi`). */
class KvmMsiSender implements MsiSender {
  readonly #vm: NativeVm;
  readonly #message = new Uint32Array(8);
  readonly #bytes = new Uint8Array(this.#message.buffer);

  constructor(vm: NativeVm) {
    this.#vm = vm;
  }

  send(addressLow: number, addressHigh: number, data: number): void {
    const message = this.#message;
    message[0] = addressLow;
    message[1] = addressHigh;
    message[2] = data;
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

  constructor(vm: NativeVm, gsi: number) {
    this.#vm = vm;
    this.#level = Uint32Array.of(gsi, 0);
    this.#bytes = new Uint8Array(this.#level.buffer);
  }

  set(level: boolean): void {
    this.#level[1] = level ? 1 : 0;
    callStructure(this.#vm, 'KVM_IRQ_LINE', this.#bytes);
  }
}
