import { PCI_BAR_COUNT } from './configuration-space.ts';
import type { PciFunction } from './function.ts';

/** Addresses that a BAR answers now. */
export interface DecodedBar {
  readonly start: number;
  /** One past the last address. */
  readonly end: number;
  readonly bar: number;
  readonly target: PciFunction;
}

/** Whether a bridge lets an access to [start, end) pass. */
type Forwards = (start: number, end: number) => boolean;

/** One PCI bus as a thread sees it: the functions on it, and the buses behind those that are bridges. */
export class PciBus {
  /** By device number in bits 7…3 and function number in bits 2…0. */
  readonly #functions = new Map<number, PciFunction>();
  readonly #bridges: NonNullable<PciFunction['bridge']>[] = [];

  /** Puts a function on the bus. @param place device number in bits 7…3, function number in bits 2…0 */
  insert(place: number, fn: PciFunction): void {
    this.#functions.set(place, fn);
    if (fn.bridge) this.#bridges.push(fn.bridge);
  }

  /** The function that a configuration access of type 0 on this bus selects. */
  function(place: number): PciFunction | undefined {
    return this.#functions.get(place);
  }

  /**
   * The function on another bus that a configuration access of type 1 reaches through the bridges here (PCI-to-PCI Bridge
   * Architecture 1.2, section 3.1.2.1): by the bus numbers that the guest gave them.
   */
  route(routing: number): PciFunction | undefined {
    const bus = routing >>> 8;
    for (const { header, secondary, isConnected } of this.#bridges) {
      const { secondaryBus, subordinateBus } = header;
      // No bridge has the root bus behind it: zero is what the register has before it is set.
      if (secondaryBus === 0 || bus < secondaryBus || bus > subordinateBus) continue;
      if (!isConnected) return undefined;
      return bus === secondaryBus ? secondary.function(routing & 0xff) : secondary.route(routing);
    }
    return undefined;
  }

  /** Adds to `found` what BARs decode on this bus and on those that are behind it. */
  collectBars(found: DecodedBar[], forwards: Forwards = () => true): void {
    for (const target of this.#functions.values()) {
      const { space, bridge } = target;
      if (!space.memorySpaceEnabled) continue;
      for (let bar = 0; bar < PCI_BAR_COUNT; bar++) {
        const size = space.barSize(bar);
        const start = space.barAddress(bar);
        if (size > 0 && forwards(start, start + size)) found.push({ start, end: start + size, bar, target });
      }
      if (bridge?.isConnected !== true) continue;
      bridge.secondary.collectBars(
        found,
        (start, end) => bridge.header.forwards(start, end) && forwards(start, end),
      );
    }
  }
}
