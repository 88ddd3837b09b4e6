import { EventFd } from '@tsvmm/base';
import type { PciTopology } from '@tsvmm/devices';
import type { IoEvent, Vm } from '@tsvmm/hypervisor';

/**
 * Has the hypervisor signal the queues' eventfds itself, so that a notification does not leave the vCPU. The guest decides
 * where the doorbells are: {@link update} follows it. Until then the bus signals them, which is as good, only slower.
 */
export class Doorbells {
  readonly #vm: Vm;
  readonly #pci: PciTopology;
  /** By address and eventfd. */
  readonly #registered = new Map<string, IoEvent>();

  constructor(vm: Vm, pci: PciTopology) {
    this.#vm = vm;
    this.#pci = pci;
  }

  /** Registers the doorbells where they are now, and no others. */
  update(): void {
    const wanted = new Map(this.#pci.doorbells().map((bell) => [`${bell.address} ${bell.event}`, bell]));
    for (const [key, event] of this.#registered) {
      if (wanted.has(key)) continue;
      this.#vm.unregisterIoEvent(event);
      this.#registered.delete(key);
    }
    // A guest can put two functions at one address; the lower slot has it then, as on the bus.
    const taken = new Set([...this.#registered.values()].map(({ address }) => address));
    for (const [key, { address, length, event }] of wanted) {
      if (this.#registered.has(key) || taken.has(address)) continue;
      const ioEvent: IoEvent = { space: 'mmio', address, length, event: EventFd.fromDescriptor(event) };
      this.#vm.registerIoEvent(ioEvent);
      this.#registered.set(key, ioEvent);
      taken.add(address);
    }
  }
}
