import { atomic, i32, SharedMutex, struct, u32 } from '@tsvmm/struct';
import { HypervisorError } from '../errors.ts';
import { callStructure, type NativeVm } from './native.ts';

/** A message-signalled interrupt as a route has it. */
export interface MessageRoute {
  readonly gsi: number;
  readonly kind: 'msi';
  readonly addressLow: number;
  readonly addressHigh: number;
  readonly data: number;
  /** Who sends: an interrupt translation service looks the interrupt up by it. */
  readonly deviceId: number;
}

/** Where a global system interrupt (GSI) goes. */
export type GsiRoute =
  | { readonly gsi: number; readonly kind: 'irqchip'; readonly chip: number; readonly pin: number }
  | MessageRoute;

/** Bytes of `struct kvm_irq_routing` before its entries, and of an entry. */
const HEADER = 8;
const ENTRY = 48;
const ROUTING_IRQCHIP = 1;
const ROUTING_MSI = 2;
/** KVM_MSI_VALID_DEVID: the device id counts, where somebody cares. */
const VALID_DEVICE_ID = 1;

/** Before the `struct kvm_irq_routing`. */
const controlLayout = struct(
  {
    lock: atomic(i32),
    /** First GSI for messages that are added. */
    firstFree: u32,
  },
  { name: 'gsi-routes', version: 1 },
);

/** The machine's table of GSIs. KVM only takes it as a whole, so it is kept here, in memory that all threads share. */
export class GsiRoutes {
  /** What other threads attach to. */
  readonly state: SharedArrayBuffer;
  readonly #vm: NativeVm;
  readonly #control;
  readonly #mutex: SharedMutex;
  /** `struct kvm_irq_routing`, with room for as many entries as KVM takes. */
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #capacity: number;

  private constructor(vm: NativeVm, state: SharedArrayBuffer) {
    this.state = state;
    this.#vm = vm;
    this.#control = controlLayout.attach(state);
    this.#mutex = new SharedMutex(this.#control.lock);
    this.#bytes = new Uint8Array(state, controlLayout.size);
    this.#view = new DataView(state, controlLayout.size);
    this.#capacity = Math.floor((this.#bytes.length - HEADER) / ENTRY);
  }

  /** @param capacity what KVM_CAP_IRQ_ROUTING says */
  static create(vm: NativeVm, capacity: number): GsiRoutes {
    return new GsiRoutes(vm, new SharedArrayBuffer(controlLayout.size + HEADER + capacity * ENTRY));
  }

  /** Uses the table that another thread has made. */
  static attach(vm: NativeVm, state: SharedArrayBuffer): GsiRoutes {
    return new GsiRoutes(vm, state);
  }

  /** Takes over the routes that the interrupt controllers have from the start, and keeps all GSIs below `firstFree`. */
  reserve(routes: readonly GsiRoute[], firstFree: number): void {
    this.#control.firstFree = firstFree;
    for (const [index, route] of routes.entries()) this.#store(index, route);
    this.#count = routes.length;
  }

  /**
   * Gives an MSI a GSI.
   *
   * @throws HypervisorError NO_RESOURCES when there are no more
   */
  addMessage(addressLow: number, addressHigh: number, data: number, deviceId: number): number {
    return this.#locked(() => {
      const taken = new Set(Array.from({ length: this.#count }, (_, index) => this.#gsiAt(index)));
      let gsi = this.#control.firstFree;
      while (taken.has(gsi)) gsi++;
      this.#append({ gsi, kind: 'msi', addressLow, addressHigh, data, deviceId });
      return gsi;
    });
  }

  /** Frees a GSI. Nothing may signal it any more. */
  removeMessage(gsi: number): void {
    this.#locked(() => {
      const index = this.#indexOf(gsi);
      if (index < 0) return;
      const last = this.#count - 1;
      this.#bytes.copyWithin(this.#offsetOf(index), this.#offsetOf(last), this.#offsetOf(last + 1));
      this.#count = last;
      this.#write();
    });
  }

  /**
   * Makes a reserved GSI a message, or another one than it was.
   *
   * @throws KvmError when KVM does not take it; it then stays what it was
   */
  setMessage(route: MessageRoute): void {
    this.#locked(() => {
      const index = this.#indexOf(route.gsi);
      if (index < 0) {
        this.#append(route);
      } else if (!this.#isSame(index, route)) {
        const start = this.#offsetOf(index);
        const before = this.#bytes.slice(start, start + ENTRY);
        this.#store(index, route);
        try {
          this.#write();
        } catch (error) {
          // KVM takes the table as a whole, and would refuse what others change from now on.
          this.#bytes.set(before, start);
          throw error;
        }
      }
    });
  }

  #locked<T>(action: () => T): T {
    this.#mutex.lock();
    try {
      return action();
    } finally {
      this.#mutex.unlock();
    }
  }

  #append(route: GsiRoute): void {
    const count = this.#count;
    if (route.gsi >= this.#capacity || count >= this.#capacity) {
      throw new HypervisorError(
        'NO_RESOURCES',
        `the machine has ${this.#capacity} interrupt routes, and all are taken: use fewer devices or vectors`,
      );
    }
    this.#store(count, route);
    this.#count = count + 1;
    try {
      this.#write();
    } catch (error) {
      this.#count = count;
      throw error;
    }
  }

  get #count(): number {
    return this.#view.getUint32(0, true);
  }

  set #count(value: number) {
    this.#view.setUint32(0, value, true);
  }

  #offsetOf(index: number): number {
    return HEADER + index * ENTRY;
  }

  #gsiAt(index: number): number {
    return this.#view.getUint32(this.#offsetOf(index), true);
  }

  #indexOf(gsi: number): number {
    for (let index = 0; index < this.#count; index++) {
      if (this.#gsiAt(index) === gsi) return index;
    }
    return -1;
  }

  #isSame(index: number, { addressLow, addressHigh, data }: MessageRoute): boolean {
    const entry = this.#offsetOf(index);
    const view = this.#view;
    return (
      view.getUint32(entry + 16, true) === addressLow &&
      view.getUint32(entry + 20, true) === addressHigh &&
      view.getUint32(entry + 24, true) === data
    );
  }

  #store(index: number, route: GsiRoute): void {
    const entry = this.#offsetOf(index);
    const view = this.#view;
    this.#bytes.fill(0, entry, entry + ENTRY);
    view.setUint32(entry, route.gsi, true);
    if (route.kind === 'irqchip') {
      view.setUint32(entry + 4, ROUTING_IRQCHIP, true);
      view.setUint32(entry + 16, route.chip, true);
      view.setUint32(entry + 20, route.pin, true);
    } else {
      view.setUint32(entry + 4, ROUTING_MSI, true);
      view.setUint32(entry + 8, VALID_DEVICE_ID, true);
      view.setUint32(entry + 16, route.addressLow, true);
      view.setUint32(entry + 20, route.addressHigh, true);
      view.setUint32(entry + 24, route.data, true);
      view.setUint32(entry + 28, route.deviceId, true);
    }
  }

  #write(): void {
    callStructure(this.#vm, 'KVM_SET_GSI_ROUTING', this.#bytes);
  }
}
