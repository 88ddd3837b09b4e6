import { PIC_PORTS } from '../../../pc/i8259.ts';
import { IO_APIC_ADDRESS, IO_APIC_LENGTH } from '../../../pc/io-apic.ts';
import type { ExitAccess, ExitHandler, VcpuStop } from '../../../vcpu.ts';
import type { ArchitectureExits, VcpuParts } from '../../architecture.ts';
import { callStructure, KvmError, type NativeVcpu } from '../../native.ts';
import { Exit, RunPage } from '../../run-page.ts';
import { X86Exits } from '../exits.ts';
import type { SplitChips } from './chips.ts';

/** The exits of a vCPU whose local APIC is in the kernel, and the other interrupt controllers in this program. */
export class SplitExits implements ArchitectureExits {
  readonly #others = new X86Exits();
  readonly #chips: SplitChips;
  readonly #vcpu: NativeVcpu;
  readonly #isFirst: boolean;
  readonly #bytes: Uint8Array;
  /** `struct kvm_interrupt` */
  readonly #vector = new Uint32Array(1);

  constructor({ id, vcpu, pages }: VcpuParts, chips: SplitChips) {
    this.#chips = chips;
    this.#vcpu = vcpu;
    this.#isFirst = id === 0;
    this.#bytes = new Uint8Array(pages);
  }

  handlerBefore(handler: ExitHandler): ExitHandler {
    if (this.#isFirst) this.#chips.remind();
    return new ChipAccesses(this.#chips, handler);
  }

  handle(reason: number): VcpuStop | 'resume' | undefined {
    if (reason === Exit.ioapicEoi) {
      this.#chips.endOfInterrupt(this.#bytes[RunPage.ioapicEoiVector] ?? 0);
      return 'resume';
    }
    if (reason === Exit.irqWindowOpen) this.interrupted();
    return this.#others.handle(reason);
  }

  /** The 8259s have something for the first vCPU: now if it can take that, else KVM tells when it can. */
  interrupted(): void {
    if (!this.#isFirst) return;
    const accepts = this.#bytes[RunPage.readyForInterruptInjection] !== 0;
    const waits = this.#chips.offerRequest(accepts, (vector) => this.#inject(vector));
    this.#bytes[RunPage.requestInterruptWindow] = waits ? 1 : 0;
  }

  #inject(vector: number): boolean {
    this.#vector[0] = vector;
    try {
      callStructure(this.#vcpu, 'KVM_INTERRUPT', new Uint8Array(this.#vector.buffer));
      return true;
    } catch (error) {
      // The guest has not come to the one before: a kick was faster.
      if (error instanceof KvmError && error.errno === 'EEXIST') return false;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#chips[Symbol.dispose]();
  }
}

/** Takes the accesses that are to the chips, and leaves the others to who handles them. */
class ChipAccesses implements ExitHandler {
  readonly #chips: SplitChips;
  readonly #next: ExitHandler;

  constructor(chips: SplitChips, next: ExitHandler) {
    this.#chips = chips;
    this.#next = next;
  }

  mmioRead(access: ExitAccess): void {
    const offset = access.address - IO_APIC_ADDRESS;
    if (offset < 0 || offset >= IO_APIC_LENGTH) this.#next.mmioRead(access);
    else access.low = this.#chips.readPage(offset);
  }

  mmioWrite(access: ExitAccess): void {
    const offset = access.address - IO_APIC_ADDRESS;
    if (offset < 0 || offset >= IO_APIC_LENGTH) this.#next.mmioWrite(access);
    else this.#chips.writePage(offset, access.low);
  }

  pioRead(access: ExitAccess): void {
    const { address, size } = access;
    if (!isChipPort(address)) {
      this.#next.pioRead(access);
      return;
    }
    access.low = 0;
    for (let byte = 0; byte < size; byte++) {
      const value = isChipPort(address + byte) ? this.#chips.readPort(address + byte) : 0xff;
      access.low = (access.low | (value << (8 * byte))) >>> 0;
    }
  }

  pioWrite(access: ExitAccess): void {
    const { address, size, low } = access;
    if (!isChipPort(address)) {
      this.#next.pioWrite(access);
      return;
    }
    for (let byte = 0; byte < size; byte++) {
      if (isChipPort(address + byte)) this.#chips.writePort(address + byte, (low >>> (8 * byte)) & 0xff);
    }
  }

  debugConsoleWrite(address: number, length: number): number {
    return this.#next.debugConsoleWrite(address, length);
  }

  debugConsoleWriteByte(byte: number): void {
    this.#next.debugConsoleWriteByte(byte);
  }
}

/** Each of the blocks has two ports. */
function isChipPort(port: number): boolean {
  const block = port & ~1;
  return block === PIC_PORTS.first || block === PIC_PORTS.second || block === PIC_PORTS.elcr;
}
