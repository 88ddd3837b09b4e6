import { array, i32, struct, u8 } from '@tsvmm/struct';
import { DeviceError } from '../errors.ts';

/** Bytes of conventional configuration space; what PCI Express adds beyond it reads as zero. */
export const CONFIGURATION_SPACE_LENGTH = 256;

/** Byte offsets in a type 0 header (PCI Local Bus 3.0, section 6.1); those up to `bar0` and `interruptPin` are in all. */
export const PciRegister = {
  vendorId: 0x00,
  deviceId: 0x02,
  command: 0x04,
  status: 0x06,
  revisionId: 0x08,
  classCode: 0x09,
  headerType: 0x0e,
  bar0: 0x10,
  subsystemVendorId: 0x2c,
  subsystemId: 0x2e,
  capabilitiesPointer: 0x34,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
} as const;

/** Bits of the command register. */
export const PciCommand = {
  memorySpace: 1 << 1,
  busMaster: 1 << 2,
  interruptDisable: 1 << 10,
} as const;

/** Capability ids. */
export const PciCapabilityId = {
  powerManagement: 0x01,
  msi: 0x05,
  vendorSpecific: 0x09,
  pciExpress: 0x10,
  msix: 0x11,
} as const;

/** What the header of a configuration space is laid out for, as the header type register has it. */
export const PciHeaderType = { device: 0, bridge: 1 } as const;

/** Bits of the status register. */
const STATUS_INTERRUPT = 1 << 3;
const STATUS_CAPABILITIES_LIST = 1 << 4;

const COMMAND_WRITABLE = PciCommand.memorySpace | PciCommand.busMaster | PciCommand.interruptDisable;
const BAR_MEMORY_64 = 0b100;
const BAR_PREFETCHABLE = 0b1000;
const FIRST_CAPABILITY = 0x40;
/** Number of base address registers of a type 0 header. */
export const PCI_BAR_COUNT = 6;

const layout = struct(
  {
    words: array(i32, CONFIGURATION_SPACE_LENGTH / 4),
    /** Bits that the guest can change. */
    writable: array(i32, CONFIGURATION_SPACE_LENGTH / 4),
    /** Bits that a guest's one clears. */
    writeOneToClear: array(i32, CONFIGURATION_SPACE_LENGTH / 4),
    /** Log2 of each BAR's size; 0 for none and for the upper half of a 64-bit one. */
    barSizes: array(u8, PCI_BAR_COUNT),
    /** Offset of the power management capability; 0 without one. */
    powerManagement: u8,
  },
  { name: 'pci-configuration-space', version: 1 },
);

/** Identification of a function. */
export interface PciIdentity {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revisionId?: number;
  readonly baseClass: number;
  readonly subclass: number;
  readonly programmingInterface?: number;
  readonly subsystemVendorId?: number;
  readonly subsystemId?: number;
}

/** A memory BAR. */
export interface PciBar {
  /** 0…5; a 64-bit BAR also takes the next one. */
  readonly index: number;
  /** Bytes; a power of two of at least 16. */
  readonly size: number;
  readonly is64Bit?: boolean;
  readonly prefetchable?: boolean;
}

/**
 * One function's configuration space in shared memory: the registers, and masks that say what a guest's write does
 * to each bit. Changes are single compare-and-exchange operations on a 32-bit word, so no lock is needed.
 */
export class PciConfigurationSpace {
  readonly state: SharedArrayBuffer;
  readonly #state;
  readonly #words: Int32Array;

  constructor(state: SharedArrayBuffer) {
    this.state = state;
    this.#state = layout.attach(state);
    this.#words = this.#state.words;
  }

  /** The register word at byte `offset` (a multiple of 4), as the guest reads it. */
  readWord(offset: number): number {
    return Atomics.load(this.#words, offset >>> 2) >>> 0;
  }

  /** Writes those bits of `value` at byte `offset` (a multiple of 4) that `enabled` selects and the guest may change. */
  writeWord(offset: number, value: number, enabled: number): void {
    const index = offset >>> 2;
    let writable = (this.#state.writable[index] ?? 0) & enabled;
    const clear = (this.#state.writeOneToClear[index] ?? 0) & enabled & value;
    // D1 and D2 do not exist here: a request for them is discarded (PCI Power Management 1.2, section 3.2.4).
    if (offset === this.#state.powerManagement + 4 && this.#state.powerManagement !== 0) {
      if ((value & 3) === 1 || (value & 3) === 2) writable &= ~3;
    }
    for (;;) {
      const before = Atomics.load(this.#words, index);
      const after = ((before & ~writable) | (value & writable)) & ~clear;
      if (Atomics.compareExchange(this.#words, index, before, after) === before) return;
    }
  }

  /** Clears and then sets bits of the word at byte `offset` (a multiple of 4), whatever the guest may change of it. */
  changeBits(offset: number, clear: number, set: number): void {
    const index = offset >>> 2;
    for (;;) {
      const before = Atomics.load(this.#words, index);
      if (Atomics.compareExchange(this.#words, index, before, (before & ~clear) | set) === before) return;
    }
  }

  /** Reads 16 bits at an even offset. */
  readHalf(offset: number): number {
    return (this.readWord(offset & ~3) >>> ((offset & 2) * 8)) & 0xffff;
  }

  /** Bytes of a BAR; 0 if there is none. */
  barSize(index: number): number {
    const log2 = this.#state.barSizes[index] ?? 0;
    return log2 === 0 ? 0 : 2 ** log2;
  }

  /** Where a BAR is mapped, whether or not the command register enables it. */
  barAddress(index: number): number {
    const low = this.readWord(PciRegister.bar0 + 4 * index);
    const high = (low & BAR_MEMORY_64) !== 0 ? this.readWord(PciRegister.bar0 + 4 * index + 4) : 0;
    return high * 2 ** 32 + ((low & ~0xf) >>> 0);
  }

  /** Moves a BAR, as firmware does before the guest runs. `address` is a multiple of the BAR's size. */
  setBarAddress(index: number, address: number): void {
    const offset = PciRegister.bar0 + 4 * index;
    const is64Bit = (this.readWord(offset) & BAR_MEMORY_64) !== 0;
    this.writeWord(offset, (address % 2 ** 32) | 0, -1);
    if (is64Bit) this.writeWord(offset + 4, Math.floor(address / 2 ** 32), -1);
  }

  /** Whether a BAR has 64 bits of address. */
  isBar64Bit(index: number): boolean {
    return this.barSize(index) > 0 && (this.readWord(PciRegister.bar0 + 4 * index) & BAR_MEMORY_64) !== 0;
  }

  /** Whether reading a BAR has no effects, so that a bridge may read ahead. */
  isBarPrefetchable(index: number): boolean {
    return (this.readWord(PciRegister.bar0 + 4 * index) & BAR_PREFETCHABLE) !== 0;
  }

  /** Whether the command register lets the function answer memory accesses. */
  get memorySpaceEnabled(): boolean {
    return (this.readWord(PciRegister.command) & PciCommand.memorySpace) !== 0;
  }

  /** Whether the command register forbids INTx. */
  get interruptDisabled(): boolean {
    return (this.readWord(PciRegister.command) & PciCommand.interruptDisable) !== 0;
  }

  /** Status bit 3 shows a pending INTx: kept as the level itself changes. */
  setInterruptStatus(pending: boolean): void {
    const index = PciRegister.command >>> 2;
    if (pending) Atomics.or(this.#words, index, STATUS_INTERRUPT << 16);
    else Atomics.and(this.#words, index, ~(STATUS_INTERRUPT << 16));
  }

  /** Tells the guest (and its firmware) which interrupt pin (1…4) and, on x86, line the function has. */
  setInterrupt(pin: number, line: number): void {
    const index = PciRegister.interruptLine >>> 2;
    Atomics.store(this.#words, index, (pin << 8) | (line & 0xff));
  }
}

/** Composes a configuration space before the guest sees it. */
export class PciConfigurationSpaceBuilder {
  readonly #state = layout.attach(new SharedArrayBuffer(layout.size));
  readonly #data = new DataView(
    this.#state.words.buffer,
    this.#state.words.byteOffset,
    CONFIGURATION_SPACE_LENGTH,
  );
  #nextCapability = FIRST_CAPABILITY;
  /** BARs that are taken, a bit each. */
  #bars = 0;
  /** Where the pointer to the next capability goes. */
  #link: number = PciRegister.capabilitiesPointer;

  /** @param headerType one of {@link PciHeaderType}; a bridge's header has no place for subsystem ids */
  constructor(identity: PciIdentity, headerType: number = PciHeaderType.device) {
    const data = this.#data;
    data.setUint16(PciRegister.vendorId, identity.vendorId, true);
    data.setUint16(PciRegister.deviceId, identity.deviceId, true);
    data.setUint8(PciRegister.revisionId, identity.revisionId ?? 0);
    data.setUint8(PciRegister.classCode, identity.programmingInterface ?? 0);
    data.setUint8(PciRegister.classCode + 1, identity.subclass);
    data.setUint8(PciRegister.classCode + 2, identity.baseClass);
    data.setUint8(PciRegister.headerType, headerType);
    if (headerType === PciHeaderType.device) {
      data.setUint16(PciRegister.subsystemVendorId, identity.subsystemVendorId ?? 0, true);
      data.setUint16(PciRegister.subsystemId, identity.subsystemId ?? 0, true);
    }
    this.setWritable(PciRegister.command, COMMAND_WRITABLE);
    // Interrupt line and cache line size are the guest's scratch registers.
    this.setWritable(PciRegister.interruptLine, 0xff);
    this.setWritable(0x0c, 0xff);
  }

  /** Lets the guest change the bits of `mask` in the word at `offset`. */
  setWritable(offset: number, mask: number): this {
    this.#state.writable[offset >>> 2] = mask;
    return this;
  }

  /** Lets the guest clear the bits of `mask` in the word at `offset` by writing ones to them. */
  setWriteOneToClear(offset: number, mask: number): this {
    this.#state.writeOneToClear[offset >>> 2] = mask;
    return this;
  }

  /** Sets the word at `offset`. */
  setWord(offset: number, value: number): this {
    this.#data.setUint32(offset, value, true);
    return this;
  }

  /**
   * Adds a memory BAR, unassigned.
   * @throws DeviceError BAD_PCI_FUNCTION
   */
  addBar({ index, size, is64Bit = false, prefetchable = false }: PciBar): this {
    const log2 = Math.log2(size);
    const last = is64Bit ? index + 1 : index;
    const bits = is64Bit ? 3 << index : 1 << index;
    if (!Number.isInteger(log2) || log2 < 4 || log2 > (is64Bit ? 52 : 31)) {
      throw new DeviceError(
        'BAD_PCI_FUNCTION',
        `A BAR's size is a power of two of at least 16 bytes, not ${size}.`,
      );
    }
    if (!(index >= 0) || last >= PCI_BAR_COUNT || (this.#bars & bits) !== 0) {
      throw new DeviceError('BAD_PCI_FUNCTION', `BAR${index} does not exist or is taken.`);
    }
    this.#bars |= bits;
    const offset = PciRegister.bar0 + 4 * index;
    this.#data.setUint32(offset, (is64Bit ? BAR_MEMORY_64 : 0) | (prefetchable ? BAR_PREFETCHABLE : 0), true);
    this.#state.barSizes[index] = log2;
    this.setWritable(offset, log2 >= 32 ? 0 : -(2 ** log2) & ~0xf);
    if (is64Bit) this.setWritable(offset + 4, log2 > 32 ? -(2 ** (log2 - 32)) : -1);
    return this;
  }

  /**
   * Appends a capability.
   * @param id capability id
   * @param body what follows the id and the next pointer
   * @param writable bits of the whole capability, from the id on, that the guest can change; none unless given
   * @returns the capability's offset
   * @throws DeviceError OUT_OF_SPACE
   */
  addCapability(id: number, body: Uint8Array, writable: Uint8Array = new Uint8Array(0)): number {
    const offset = this.#nextCapability;
    const end = (offset + 2 + body.length + 3) & ~3;
    if (end > CONFIGURATION_SPACE_LENGTH) {
      throw new DeviceError(
        'OUT_OF_SPACE',
        'The capabilities do not fit into 256 bytes of configuration space.',
      );
    }
    this.#data.setUint8(this.#link, offset);
    this.#link = offset + 1;
    this.#data.setUint8(offset, id);
    body.forEach((byte, i) => {
      this.#data.setUint8(offset + 2 + i, byte);
    });
    const mask = new Uint8Array(this.#state.writable.buffer, this.#state.writable.byteOffset);
    mask.set(writable, offset);
    this.#nextCapability = end;
    this.#data.setUint16(PciRegister.status, STATUS_CAPABILITIES_LIST, true);
    return offset;
  }

  /**
   * Appends the power management capability: D0 and D3hot, which keeps the device's state.
   * @throws DeviceError OUT_OF_SPACE
   */
  addPowerManagement(): number {
    // PMC: version 3 (PCI Power Management 1.2), PME# from D0 and D3hot. PMCSR: No_Soft_Reset.
    const offset = this.addCapability(
      PciCapabilityId.powerManagement,
      Uint8Array.of(0x03, 0x48, 0x08, 0x00, 0x00, 0x00),
      Uint8Array.of(0, 0, 0, 0, 0x03, 0x01, 0, 0),
    );
    this.#state.powerManagement = offset;
    this.setWriteOneToClear(offset + 4, 0x8000);
    return offset;
  }

  build(): PciConfigurationSpace {
    return new PciConfigurationSpace(this.#state.words.buffer as SharedArrayBuffer);
  }
}
