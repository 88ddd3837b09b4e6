import { imsicSend, SoftMemory as Memory, type SoftMemory, type SoftMemoryDescriptor } from '@tsvmm/softcpu';
import { HypervisorError } from '../errors.ts';
import { type AiaOptions, APLIC_SIZE, IMSIC_FILE_SIZE } from '../interrupt-controllers.ts';
import type { InterruptLine, Interrupts } from '../vm.ts';
import { Aplic } from './aplic.ts';

/** What the threads of a software machine share, as plain data. */
export interface SoftMachineDescriptor {
  readonly memory: SoftMemoryDescriptor;
  readonly vcpuCount: number;
  readonly aia: AiaOptions;
  readonly aplic: SharedArrayBuffer;
}

/** The interrupt controllers of a riscv64 software machine on one of its threads: APLIC and interrupt files. */
export class SoftInterrupts implements Interrupts {
  readonly memory: SoftMemory;
  readonly aplic: Aplic;
  readonly aia: AiaOptions;
  readonly #vcpuCount: number;

  constructor(descriptor: SoftMachineDescriptor, memory = Memory.attach(descriptor.memory)) {
    const { aia, vcpuCount } = descriptor;
    this.memory = memory;
    this.aia = aia;
    this.#vcpuCount = vcpuCount;
    this.aplic = new Aplic(descriptor.aplic, aia.aplicSources, vcpuCount, (hart, identity) =>
      this.#deliver(hart, identity),
    );
  }

  readonly msi = {
    send: (addressLow: number, addressHigh: number, data: number): void => {
      if (addressHigh === 0) {
        this.writeImsic(addressLow >>> 0, data);
      }
    },
  };

  line(source: number): InterruptLine {
    try {
      return this.aplic.line(source);
    } catch (cause) {
      throw new HypervisorError('INVALID_ARGUMENT', `there is no interrupt source ${source}`, { cause });
    }
  }

  privateLine(): InterruptLine {
    throw new HypervisorError('UNSUPPORTED', 'riscv64 harts have no wired interrupts of their own');
  }

  /**
   * A store to the interrupt files' pages (AIA 1.0, section 3.5).
   *
   * @returns false when the address is not one of theirs
   */
  writeImsic(address: number, data: number): boolean {
    const offset = address - this.aia.imsicAddress;
    if (offset < 0 || offset >= this.#vcpuCount * IMSIC_FILE_SIZE) {
      return false;
    }
    const hart = Math.floor(offset / IMSIC_FILE_SIZE);
    const register = offset % IMSIC_FILE_SIZE;
    if (register === 0) {
      this.#deliver(hart, data >>> 0);
    }
    // seteipnum_be (4) is optional and absent; the rest of the page ignores stores.
    return true;
  }

  /** Whether an address is in the interrupt files' pages, which read zero. */
  isImsic(address: number): boolean {
    const offset = address - this.aia.imsicAddress;
    return offset >= 0 && offset < this.#vcpuCount * IMSIC_FILE_SIZE;
  }

  /** Offset in the APLIC's control region, or -1. */
  aplicOffset(address: number): number {
    const offset = address - this.aia.aplicAddress;
    return offset >= 0 && offset < APLIC_SIZE ? offset : -1;
  }

  #deliver(hart: number, identity: number): void {
    if (identity <= this.aia.imsicIdentities) {
      imsicSend(this.memory, hart, identity);
    }
  }
}
