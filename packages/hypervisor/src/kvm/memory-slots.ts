import { HypervisorError } from '../errors.ts';
import type { DirtyLog, DirtyPages, MemoryRegion } from '../vm.ts';
import { type NativeVm, native } from './native.ts';

const PAGE_SIZE = 4096;
/** KVM_MEM_* */
const LOG_DIRTY_PAGES = 1;
export const READ_ONLY = 2;
/** Guest-physical addresses are at most this long; KVM itself checks against the host's CPU. */
const ADDRESS_LIMIT = 2 ** 52;

/** Where a slot is for the guest, and how it may be used. */
type Place = Pick<MemoryRegion, 'guestAddress' | 'size' | 'readOnly'>;

/** The machine's memory: what is where, and which pages the guest has written. */
export class MemorySlots implements DirtyLog {
  readonly #vm: NativeVm;
  readonly #slots = new Map<number, Place | MemoryRegion>();
  #isLogging = false;

  constructor(vm: NativeVm) {
    this.#vm = vm;
  }

  /** @returns the slot's number */
  add(region: MemoryRegion): number {
    const { guestAddress, size, descriptor, descriptorOffset } = region;
    return this.#add(region, (number, flags) =>
      native().addMemory(this.#vm, number, flags, guestAddress, size, descriptor, descriptorOffset),
    );
  }

  /** @throws HypervisorError INVALID_ARGUMENT when there is none with this number that is read-only */
  readOnlyRegion(number: number): MemoryRegion {
    const region = this.#slots.get(number);
    if (region?.readOnly && 'descriptor' in region) return region;
    throw new HypervisorError('INVALID_ARGUMENT', `there is no read-only memory region ${number}`);
  }

  /**
   * Adds RAM that is not a file.
   *
   * @param bytes part of what the add-on's `allocateMemory` made
   */
  addAllocated(guestAddress: number, bytes: Uint8Array): void {
    this.#add({ guestAddress, size: bytes.length, readOnly: false }, (number, flags) =>
      native().addAllocated(this.#vm, number, flags, guestAddress, bytes),
    );
  }

  remove(number: number): void {
    if (!this.#slots.has(number)) {
      throw new HypervisorError('INVALID_ARGUMENT', `there is no memory region ${number}`);
    }
    native().removeMemory(this.#vm, number);
    this.#slots.delete(number);
  }

  start(): void {
    this.#setLogging(true);
  }

  stop(): void {
    this.#setLogging(false);
  }

  take(): readonly DirtyPages[] {
    if (!this.#isLogging) {
      throw new HypervisorError('INVALID_STATE', 'dirty pages are not logged: call start() first');
    }
    const result: DirtyPages[] = [];
    for (const [number, slot] of this.#slots) {
      if (!slot.readOnly) {
        const pages = slot.size / PAGE_SIZE;
        const bitmap = new Uint8Array(Math.ceil(pages / 64) * 8);
        native().dirtyLog(this.#vm, number, bitmap);
        result.push({ guestAddress: slot.guestAddress, pages, bitmap });
      }
    }
    return result;
  }

  #setLogging(value: boolean): void {
    this.#isLogging = value;
    for (const [number, slot] of this.#slots) {
      if (!slot.readOnly) native().changeMemory(this.#vm, number, this.#flags(slot));
    }
  }

  #add(place: Place | MemoryRegion, add: (number: number, flags: number) => void): number {
    this.#check(place);
    let number = 0;
    while (this.#slots.has(number)) number++;
    add(number, this.#flags(place));
    this.#slots.set(number, place);
    return number;
  }

  #flags(region: Place): number {
    if (region.readOnly) return READ_ONLY;
    return this.#isLogging ? LOG_DIRTY_PAGES : 0;
  }

  #check(region: Place): void {
    const { guestAddress, size } = region;
    const name = `${size} bytes of memory at 0x${guestAddress.toString(16)}`;
    if (
      !Number.isInteger(guestAddress / PAGE_SIZE) ||
      !Number.isInteger(size / PAGE_SIZE) ||
      guestAddress < 0 ||
      size <= 0 ||
      guestAddress + size > ADDRESS_LIMIT
    ) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `${name}: address and size must be multiples of ${PAGE_SIZE} below 2^52`,
      );
    }
    for (const other of this.#slots.values()) {
      if (guestAddress < other.guestAddress + other.size && other.guestAddress < guestAddress + size) {
        throw new HypervisorError(
          'INVALID_ARGUMENT',
          `${name} overlaps the ${other.size} bytes at 0x${other.guestAddress.toString(16)}`,
        );
      }
    }
  }
}
