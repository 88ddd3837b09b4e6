import { HypervisorError } from '../errors.ts';
import { callStructure, type NativeVm } from './native.ts';

/** Where a global system interrupt (GSI) goes. */
export type GsiRoute =
  | { readonly gsi: number; readonly kind: 'irqchip'; readonly chip: number; readonly pin: number }
  | {
      readonly gsi: number;
      readonly kind: 'msi';
      readonly addressLow: number;
      readonly addressHigh: number;
      readonly data: number;
      /** Who sends: an interrupt translation service looks the interrupt up by it. */
      readonly deviceId: number;
    };

/** Bytes of `struct kvm_irq_routing` before its entries, and of an entry. */
const HEADER = 8;
const ENTRY = 48;
const ROUTING_IRQCHIP = 1;
const ROUTING_MSI = 2;
/** KVM_MSI_VALID_DEVID: the device id counts, where somebody cares. */
const VALID_DEVICE_ID = 1;

/** The machine's table of GSIs. KVM only takes it as a whole, so it is kept here. */
export class GsiRoutes {
  readonly #vm: NativeVm;
  readonly #fixed: readonly GsiRoute[];
  readonly #firstFree: number;
  readonly #capacity: number;
  readonly #messages = new Map<number, GsiRoute>();

  /** @param capacity what KVM_CAP_IRQ_ROUTING says */
  constructor(vm: NativeVm, fixed: readonly GsiRoute[], firstFree: number, capacity: number) {
    this.#vm = vm;
    this.#fixed = fixed;
    this.#firstFree = firstFree;
    this.#capacity = capacity;
  }

  /**
   * Gives an MSI a GSI.
   *
   * @throws HypervisorError NO_RESOURCES when there are no more
   */
  addMessage(addressLow: number, addressHigh: number, data: number, deviceId: number): number {
    let gsi = this.#firstFree;
    while (this.#messages.has(gsi)) gsi++;
    if (gsi >= this.#capacity || this.#fixed.length + this.#messages.size >= this.#capacity) {
      throw new HypervisorError(
        'NO_RESOURCES',
        `the machine has ${this.#capacity} interrupt routes, and all are taken: use fewer devices or vectors`,
      );
    }
    this.#messages.set(gsi, { gsi, kind: 'msi', addressLow, addressHigh, data, deviceId });
    try {
      this.#write();
    } catch (error) {
      this.#messages.delete(gsi);
      throw error;
    }
    return gsi;
  }

  /** Frees a GSI. Nothing may signal it any more. */
  removeMessage(gsi: number): void {
    if (this.#messages.delete(gsi)) this.#write();
  }

  #write(): void {
    const routes = [...this.#fixed, ...this.#messages.values()];
    const view = new DataView(new ArrayBuffer(HEADER + routes.length * ENTRY));
    view.setUint32(0, routes.length, true);
    for (const [index, route] of routes.entries()) {
      const entry = HEADER + index * ENTRY;
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
    callStructure(this.#vm, 'KVM_SET_GSI_ROUTING', new Uint8Array(view.buffer));
  }
}
