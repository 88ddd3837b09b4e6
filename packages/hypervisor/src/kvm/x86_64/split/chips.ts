import { EventFd } from '@tsvmm/base';
import { array, atomic, i32, SharedMutex, struct } from '@tsvmm/struct';
import { I8259Pair, i8259PairState, PIC_PINS } from '../../../pc/i8259.ts';
import { IO_APIC_PINS, IoApic, ioApicState, resetIoApic } from '../../../pc/io-apic.ts';
import type { InterruptLine, MsiSender } from '../../../vm.ts';
import type { UserControllers } from '../../architecture.ts';
import { GsiRoutes } from '../../gsi-routes.ts';
import { KvmMsiSender } from '../../interrupts.ts';
import { type NativeVcpu, type NativeVm, native } from '../../native.ts';

/** What a guest knows of. */
const registers = struct(
  { ioApic: ioApicState, pics: i8259PairState },
  { name: 'split-irqchip', version: 1 },
);

const layout = struct(
  {
    lock: atomic(i32),
    /** 1 from when the first vCPU is told that the 8259s have a request until it has looked. */
    told: i32,
    /** Descriptors of the eventfds that say that an input's interrupt has been ended, 0 for none. */
    resample: array(i32, IO_APIC_PINS),
    registers,
  },
  { name: 'split-irqchip-control' },
);

/** Where the chips are, as plain data. */
export interface SplitChipsDescriptor {
  /** The machine's number in the add-on. */
  readonly vm: number;
  readonly state: SharedArrayBuffer;
  readonly routes: SharedArrayBuffer;
  /** The first vCPU's number in the add-on: the one that the 8259s interrupt. */
  readonly firstVcpu: number;
}

/**
 * The 8259s and the I/O APIC of a machine whose local APICs are in the kernel, on one of its threads. Every method has
 * the lock, so that their messages reach the kernel in the order of the changes that caused them.
 */
export class SplitChips implements UserControllers {
  readonly descriptor: SplitChipsDescriptor;
  readonly #vm: NativeVm;
  readonly #state;
  readonly #buffer: SharedArrayBuffer;
  readonly #mutex: SharedMutex;
  readonly #ioApic: IoApic;
  readonly #pics: I8259Pair;
  readonly #firstVcpu: NativeVcpu;

  /** @throws KvmError INVALID_STATE when the machine is gone */
  constructor(descriptor: SplitChipsDescriptor) {
    using cleanup = new DisposableStack();
    this.descriptor = descriptor;
    const { state, firstVcpu } = descriptor;
    const vm = cleanup.adopt(native().attachVm(descriptor.vm), native().release);
    const routes = GsiRoutes.attach(vm, descriptor.routes);
    this.#vm = vm;
    const msi: MsiSender = new KvmMsiSender(vm);
    this.#buffer = state;
    this.#state = layout.attach(state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#firstVcpu = native().shareVcpu(firstVcpu);
    this.#ioApic = new IoApic(this.#state.registers.ioApic, {
      send: (addressLow, data) => msi.send(addressLow, 0, data),
      // KVM leaves the guest at the end of interrupts that the reserved routes have.
      expectEnd: (pin, addressLow, data) =>
        routes.setMessage({ gsi: pin, kind: 'msi', addressLow, addressHigh: 0, data, deviceId: 0 }),
      ended: (pin) => this.#ended(pin),
    });
    this.#pics = new I8259Pair(this.#state.registers.pics, (source) => this.#ended(source));
    cleanup.move();
  }

  /** Makes the chips of a machine. */
  static describe(vm: NativeVm, firstVcpu: NativeVcpu, routes: GsiRoutes): SplitChipsDescriptor {
    const state = new SharedArrayBuffer(layout.size);
    resetIoApic(layout.attach(state).registers.ioApic);
    const { handleOf } = native();
    return { vm: handleOf(vm), state, routes: routes.state, firstVcpu: handleOf(firstVcpu) };
  }

  line(source: number): InterruptLine {
    return { set: (level) => this.#locked(() => this.#setInput(source, level)) };
  }

  readPort(port: number): number {
    return this.#locked(() => this.#pics.read(port));
  }

  writePort(port: number, value: number): void {
    this.#locked(() => this.#pics.write(port, value));
  }

  readPage(offset: number): number {
    return this.#locked(() => this.#ioApic.read(offset));
  }

  writePage(offset: number, value: number): void {
    this.#locked(() => this.#ioApic.write(offset, value));
  }

  /** A local APIC tells of the end of a level-triggered interrupt. */
  endOfInterrupt(vector: number): void {
    this.#locked(() => this.#ioApic.endOfInterrupt(vector));
  }

  /**
   * The first vCPU looks for a request of the 8259s.
   *
   * @param accepts whether the guest can take an interrupt now
   * @param inject gets its vector then, and says whether the vCPU takes it
   * @returns whether there is a request that waits until it can
   */
  offerRequest(accepts: boolean, inject: (vector: number) => boolean): boolean {
    return this.#locked(() => {
      const state = this.#state;
      if (accepts && this.#pics.hasRequest && inject(this.#pics.vector)) this.#pics.acknowledge();
      state.told = this.#pics.hasRequest ? 1 : 0;
      return state.told !== 0;
    });
  }

  /** The first vCPU is about to run again, and may have been told while it did not. */
  remind(): void {
    this.#locked(() => {
      this.#state.told = 0;
    });
  }

  /**
   * Raises an input, which falls when its interrupt has been ended and then tells so.
   *
   * @param event who raises it
   * @param resample is signalled at the end
   */
  raiseUntilEnded(source: number, event: EventFd, resample: EventFd): Disposable {
    this.#locked(() => {
      this.#state.resample[source] = resample.descriptor.number;
    });
    const line = this.line(source);
    const watcher = event.onReadable(() => line.set(true));
    return {
      [Symbol.dispose]: () => {
        watcher[Symbol.dispose]();
        this.#locked(() => {
          this.#state.resample[source] = 0;
        });
      },
    };
  }

  saveState(): Uint8Array {
    return this.#locked(() => registers.snapshot(this.#buffer, layout.offsets.registers));
  }

  /** @throws StructError when it is not the state of such chips */
  restoreState(saved: Uint8Array): void {
    this.#locked(() => {
      registers.restore(saved, this.#buffer, layout.offsets.registers);
      this.#state.told = 0;
      this.#ioApic.expectEnds();
    });
  }

  [Symbol.dispose](): void {
    native().release(this.#firstVcpu);
    native().release(this.#vm);
  }

  #setInput(source: number, level: boolean): void {
    this.#ioApic.setInput(source, level);
    if (source < PIC_PINS) this.#pics.setInput(source, level);
  }

  #ended(source: number): void {
    const resample = this.#state.resample[source] ?? 0;
    if (resample === 0) return;
    this.#setInput(source, false);
    EventFd.fromDescriptor(resample).signal();
  }

  #locked<T>(action: () => T): T {
    this.#mutex.lock();
    try {
      const result = action();
      const state = this.#state;
      if (state.told === 0 && this.#pics.hasRequest) {
        state.told = 1;
        native().kick(this.#firstVcpu);
      }
      return result;
    } finally {
      this.#mutex.unlock();
    }
  }
}
