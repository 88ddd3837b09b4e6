import type { ExitAccess, ExitHandler } from '../vcpu.ts';
import { RunPage } from './run-page.ts';

const ADDRESS_WORD = RunPage.mmioAddress / 4;
const DATA_WORD = RunPage.mmioData / 4;
const LENGTH_WORD = RunPage.mmioLength / 4;

/** Handles accesses to no memory (KVM_EXIT_MMIO) in the pages that the vCPU shares with the kernel. */
export class Mmio {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #access: ExitAccess;

  constructor(pages: ArrayBuffer, access: ExitAccess) {
    this.#bytes = new Uint8Array(pages);
    this.#words = new Uint32Array(pages);
    this.#access = access;
  }

  handle(handler: ExitHandler): void {
    const access = this.#access;
    const words = this.#words;
    const length = words[LENGTH_WORD] ?? 0;
    access.address = (words[ADDRESS_WORD + 1] ?? 0) * 0x1_0000_0000 + (words[ADDRESS_WORD] ?? 0);
    if (length === 4 || length === 1 || length === 2 || length === 8) {
      access.size = length;
      if (this.#bytes[RunPage.mmioIsWrite] !== 0) {
        // Of data shorter than 8 bytes KVM leaves the rest as it was.
        const low = words[DATA_WORD] ?? 0;
        access.low = length >= 4 ? low : low & (length === 1 ? 0xff : 0xffff);
        access.high = length === 8 ? (words[DATA_WORD + 1] ?? 0) : 0;
        handler.mmioWrite(access);
      } else {
        access.low = 0;
        access.high = 0;
        handler.mmioRead(access);
        // KVM takes as many of the bytes as the guest reads.
        words[DATA_WORD] = access.low;
        words[DATA_WORD + 1] = access.high;
      }
    } else {
      this.#handleParts(handler, access.address, length);
    }
  }

  /** What is left of an access that crosses a page has any length up to 7 bytes: the largest parts first. */
  #handleParts(handler: ExitHandler, address: number, length: number): void {
    const access = this.#access;
    const bytes = this.#bytes;
    const isWrite = bytes[RunPage.mmioIsWrite] !== 0;
    for (let done = 0; done < length; ) {
      const left = length - done;
      const size = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      const offset = RunPage.mmioData + done;
      access.address = address + done;
      access.size = size;
      access.low = 0;
      access.high = 0;
      if (isWrite) {
        for (let byte = size - 1; byte >= 0; byte--) {
          access.low = ((access.low << 8) | (bytes[offset + byte] ?? 0)) >>> 0;
        }
        handler.mmioWrite(access);
      } else {
        handler.mmioRead(access);
        for (let byte = 0; byte < size; byte++) {
          bytes[offset + byte] = access.low >>> (8 * byte);
        }
      }
      done += size;
    }
  }
}
