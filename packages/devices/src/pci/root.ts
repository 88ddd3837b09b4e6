import { atomic, i32, struct, u32 } from '@tsvmm/struct';
import { type BusAccess, type BusDevice, readAllOnes } from '../bus.ts';
import type { DecodedBar, PciBus } from './bus.ts';
import { CONFIGURATION_SPACE_LENGTH, PciRegister } from './configuration-space.ts';
import type { PciFunction } from './function.ts';

/** Shared state of a root complex. */
export const pciRootLayout = struct(
  {
    /**
     * Counts changes of any BAR, bridge window, memory enable bit or slot; who keeps a table of BARs rebuilds it when this
     * moves.
     */
    generation: atomic(i32),
    /** The register at port 0xCF8. */
    configAddress: u32,
  },
  { name: 'pci-root', version: 1 },
);

/** After a device's BARs, or a bridge's BARs, bus numbers and windows. What a device has there before it cannot change. */
const END_OF_DECODING = 0x30;

/** Whether the word at `offset` has to do with which addresses a function answers. */
function changesDecoding(offset: number): boolean {
  return offset === PciRegister.command || (offset >= PciRegister.bar0 && offset < END_OF_DECODING);
}

/**
 * A PCI root complex, seen from one thread: configuration accesses by whichever mechanism, and the decoding of BARs. Its
 * state and that of its functions is shared with the same objects on all other threads.
 */
export class PciRoot {
  readonly #state;
  readonly #bus: PciBus;
  readonly #decodingChanged: () => void;
  /** What decodes memory now, ordered by address; rebuilt when the generation moves. */
  #decoded: DecodedBar[] = [];
  #generation = -1;

  /**
   * @param state memory of `pciRootLayout`
   * @param bus number 0
   * @param decodingChanged called after a write that changed what some function's BARs decode
   */
  constructor(state: SharedArrayBuffer, bus: PciBus, decodingChanged: () => void = () => {}) {
    this.#state = pciRootLayout.attach(state);
    this.#bus = bus;
    this.#decodingChanged = decodingChanged;
  }

  /** The register at 0xCF8, for {@link PciPortIo}. */
  get configAddress(): number {
    return this.#state.configAddress;
  }
  set configAddress(value: number) {
    this.#state.configAddress = value;
  }

  /** Reads `access.size` bytes of configuration space; all ones where there is no function. */
  readConfig(routing: number, offset: number, access: BusAccess): void {
    const fn = this.#find(routing);
    if (!fn) {
      readAllOnes(access);
      return;
    }
    access.low = readWord(fn, offset, access.size) >>> ((offset & 3) * 8);
    access.high = access.size === 8 ? readWord(fn, offset + 4, 4) : 0;
  }

  /** Writes `access.size` bytes of configuration space. */
  writeConfig(routing: number, offset: number, access: BusAccess): void {
    const fn = this.#find(routing);
    if (!fn) return;
    const shift = (offset & 3) * 8;
    const enabled = (access.size === 1 ? 0xff : access.size === 2 ? 0xffff : -1) << shift;
    this.#writeWord(fn, offset, access.size, access.low << shift, enabled);
    if (access.size === 8) this.#writeWord(fn, offset + 4, 4, access.high, -1);
  }

  /** Reads memory of the PCI address space; all ones where no BAR is mapped. */
  readMemory(address: number, access: BusAccess): void {
    const decoded = this.#decode(address, access.size);
    if (!decoded) {
      readAllOnes(access);
      return;
    }
    access.offset = address - decoded.start;
    decoded.target.readBar(decoded.bar, access);
  }

  /** Writes memory of the PCI address space. */
  writeMemory(address: number, access: BusAccess): void {
    const decoded = this.#decode(address, access.size);
    if (!decoded) return;
    access.offset = address - decoded.start;
    decoded.target.writeBar(decoded.bar, access);
  }

  #find(routing: number): PciFunction | undefined {
    return routing < 0x100 ? this.#bus.function(routing) : this.#bus.route(routing);
  }

  #writeWord(fn: PciFunction, offset: number, size: number, value: number, enabled: number): void {
    const word = offset & ~3;
    if (word >= CONFIGURATION_SPACE_LENGTH) return;
    const before = fn.space.readWord(word);
    fn.space.writeWord(word, value, enabled);
    if (changesDecoding(word) && fn.space.readWord(word) !== before) {
      this.#state.generation.add(1);
      this.#decodingChanged();
    }
    fn.afterConfigWrite?.(offset, size);
  }

  #decode(address: number, size: number) {
    if (this.#state.generation.load() !== this.#generation) this.#rebuild();
    let low = 0;
    let high = this.#decoded.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const candidate = this.#decoded[middle];
      if (candidate && candidate.end > address) high = middle;
      else low = middle + 1;
    }
    const found = this.#decoded[low];
    return found && address >= found.start && address + size <= found.end ? found : undefined;
  }

  #rebuild(): void {
    // Read first: a change while the table is made moves the generation again.
    this.#generation = this.#state.generation.load();
    const decoded: DecodedBar[] = [];
    this.#bus.collectBars(decoded);
    decoded.sort((a, b) => a.start - b.start);
    // A guest that maps two BARs over each other gets the lower one, whole.
    this.#decoded = [];
    let end = 0;
    for (const entry of decoded) {
      if (entry.start < end) continue;
      this.#decoded.push(entry);
      end = entry.end;
    }
  }
}

function readWord(fn: PciFunction, offset: number, size: number): number {
  if (offset >= CONFIGURATION_SPACE_LENGTH) return 0;
  fn.beforeConfigRead?.(offset, size);
  return fn.space.readWord(offset & ~3);
}

/** Bytes of ports from 0xCF8 on. */
export const PCI_PORT_IO_LENGTH = 8;

/**
 * Memory-mapped configuration space: ECAM (4 KiB a function) or CAM (256 bytes a function). Accesses that cross a
 * 32-bit register are not part of either and read as all ones.
 */
export class PciMemoryConfig implements BusDevice {
  readonly #root: PciRoot;
  readonly #shift: number;

  constructor(root: PciRoot, mechanism: 'ecam' | 'cam') {
    this.#root = root;
    this.#shift = mechanism === 'ecam' ? 12 : 8;
  }

  read(access: BusAccess): void {
    const offset = access.offset & ((1 << this.#shift) - 1);
    if (!isInsideRegister(offset, access.size)) readAllOnes(access);
    else this.#root.readConfig(access.offset >>> this.#shift, offset, access);
  }

  write(access: BusAccess): void {
    const offset = access.offset & ((1 << this.#shift) - 1);
    if (isInsideRegister(offset, access.size)) {
      this.#root.writeConfig(access.offset >>> this.#shift, offset, access);
    }
  }
}

/** Whether an access touches one register, or for 8 bytes two whole ones. */
function isInsideRegister(offset: number, size: number): boolean {
  return size === 8 ? (offset & 3) === 0 : (offset & 3) + size <= 4;
}

const CONFIG_ADDRESS_ENABLE = 1 << 31;
/** Port 0xCF9, the reset control register: bit 2 resets the machine. */
const RESET_CONTROL_PORT = 1;
const RESET_CONTROL_RESET = 1 << 2;

/** Configuration mechanism 1: CONFIG_ADDRESS at port 0xCF8, CONFIG_DATA at 0xCFC, reset control at 0xCF9. */
export class PciPortIo implements BusDevice {
  readonly #root: PciRoot;
  readonly #reset: ((detail: string) => void) | undefined;

  /** @param reset called when the guest asks for a reset through port 0xCF9 */
  constructor(root: PciRoot, reset?: (detail: string) => void) {
    this.#root = root;
    this.#reset = reset;
  }

  read(access: BusAccess): void {
    const { offset } = access;
    if (offset < 4) {
      access.low = this.#root.configAddress >>> (8 * offset);
    } else if (offset + access.size > PCI_PORT_IO_LENGTH || !this.#isEnabled) {
      readAllOnes(access);
    } else {
      const address = this.#root.configAddress;
      this.#root.readConfig((address >>> 8) & 0xffff, (address & 0xfc) | (offset & 3), access);
    }
  }

  write(access: BusAccess): void {
    const { offset } = access;
    if (offset === 0 && access.size === 4) {
      this.#root.configAddress = access.low;
    } else if (offset === RESET_CONTROL_PORT && access.size === 1) {
      if ((access.low & RESET_CONTROL_RESET) !== 0) this.#reset?.('the guest asked for a reset (port 0xCF9)');
    } else if (offset >= 4 && offset + access.size <= PCI_PORT_IO_LENGTH && this.#isEnabled) {
      const address = this.#root.configAddress;
      this.#root.writeConfig((address >>> 8) & 0xffff, (address & 0xfc) | (offset & 3), access);
    }
  }

  get #isEnabled(): boolean {
    return (this.#root.configAddress & CONFIG_ADDRESS_ENABLE) !== 0;
  }
}

/** A window through which the CPUs reach BARs: guest-physical and PCI addresses are the same. */
export class PciMemoryWindow implements BusDevice {
  readonly #root: PciRoot;
  readonly #start: number;

  constructor(root: PciRoot, start: number) {
    this.#root = root;
    this.#start = start;
  }

  read(access: BusAccess): void {
    this.#root.readMemory(this.#start + access.offset, access);
  }

  write(access: BusAccess): void {
    this.#root.writeMemory(this.#start + access.offset, access);
  }
}
