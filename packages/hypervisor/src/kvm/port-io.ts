import type { ExitAccess, ExitHandler } from '../vcpu.ts';
import { IO_OUT, RunPage } from './run-page.ts';

/** Direction, size and port of the access, from the lowest byte on. */
const IO_WORD = RunPage.ioDirection / 4;
const COUNT_WORD = RunPage.ioCount / 4;
const DATA_OFFSET_WORD = RunPage.ioDataOffset / 4;

/** Handles port accesses (KVM_EXIT_IO) in the pages that the vCPU shares with the kernel; x86_64 only. */
export class PortIo {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #view: DataView;
  readonly #access: ExitAccess;

  constructor(pages: ArrayBuffer, access: ExitAccess) {
    this.#bytes = new Uint8Array(pages);
    this.#words = new Uint32Array(pages);
    this.#view = new DataView(pages);
    this.#access = access;
  }

  /** One call of the handler for each element: string instructions have more than one. */
  handle(handler: ExitHandler): void {
    const access = this.#access;
    const words = this.#words;
    const what = words[IO_WORD] ?? 0;
    const isOut = (what & 0xff) === IO_OUT;
    const size = ((what >>> 8) & 0xff) as 1 | 2 | 4;
    const count = words[COUNT_WORD] ?? 0;
    // 64 bits wide; the kernel says where in the shared pages it is.
    let offset = words[DATA_OFFSET_WORD] ?? 0;
    access.address = what >>> 16;
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
