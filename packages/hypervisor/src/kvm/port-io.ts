import type { ExitAccess, ExitHandler } from '../vcpu.ts';
import { IO_OUT, RunPage } from './run-page.ts';

/** Handles port accesses (KVM_EXIT_IO) in the pages that the vCPU shares with the kernel; x86_64 only. */
export class PortIo {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #access: ExitAccess;

  constructor(pages: ArrayBuffer, access: ExitAccess) {
    this.#bytes = new Uint8Array(pages);
    this.#view = new DataView(pages);
    this.#access = access;
  }

  /** One call of the handler for each element: string instructions have more than one. */
  handle(handler: ExitHandler): void {
    const access = this.#access;
    const size = (this.#bytes[RunPage.ioSize] ?? 1) as 1 | 2 | 4;
    const count = this.#view.getUint32(RunPage.ioCount, true);
    const isOut = this.#bytes[RunPage.ioDirection] === IO_OUT;
    // 64 bits wide; the kernel says where in the shared pages it is.
    let offset = this.#view.getUint32(RunPage.ioDataOffset, true);
    access.address = this.#view.getUint16(RunPage.ioPort, true);
    access.size = size;
    access.high = 0;
    for (let index = 0; index < count; index++, offset += size) {
      if (isOut) {
        access.low = this.#load(offset, size);
        handler.pioWrite(access);
      } else {
        access.low = 0;
        handler.pioRead(access);
        this.#store(offset, size, access.low);
      }
    }
  }

  #load(offset: number, size: number): number {
    if (size === 1) return this.#bytes[offset] ?? 0;
    return size === 2 ? this.#view.getUint16(offset, true) : this.#view.getUint32(offset, true);
  }

  #store(offset: number, size: number, value: number): void {
    if (size === 1) this.#bytes[offset] = value;
    else if (size === 2) this.#view.setUint16(offset, value, true);
    else this.#view.setUint32(offset, value, true);
  }
}
