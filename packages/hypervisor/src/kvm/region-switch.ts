import type { MemoryRegion, RegionSwitch } from '../vm.ts';
import { READ_ONLY } from './memory-slots.ts';
import { type NativeVm, native } from './native.ts';

/** What a thread needs to hide a region and show it again. */
export interface KvmRegionBackEnd {
  readonly handle: number;
  readonly slot: number;
  readonly region: Omit<MemoryRegion, 'readOnly'>;
}

/** A read-only slot, which is taken away and made again: KVM does not let one that is there become something else. */
export class KvmRegionSwitch implements RegionSwitch {
  readonly #vm: NativeVm;
  readonly #slot: number;
  readonly #region: KvmRegionBackEnd['region'];

  constructor({ handle, slot, region }: KvmRegionBackEnd) {
    this.#vm = native().attachVm(handle);
    this.#slot = slot;
    this.#region = region;
  }

  hide(): void {
    native().removeMemory(this.#vm, this.#slot);
  }

  show(): void {
    const { guestAddress, size, descriptor, descriptorOffset } = this.#region;
    native().addMemory(this.#vm, this.#slot, READ_ONLY, guestAddress, size, descriptor, descriptorOffset);
  }
}
