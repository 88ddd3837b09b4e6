import type { BusAccess } from '../../bus.ts';
import { createBusAccess, readAllOnes } from '../../bus.ts';
import type { Signal } from '../../environment.ts';
import type { InterruptLine, MsiEvents, MsiSender } from '../../interrupt.ts';
import {
  PciCapabilityId,
  PciConfigurationSpace,
  PciConfigurationSpaceBuilder,
  PciRegister,
} from '../../pci/configuration-space.ts';
import type { PciFunction } from '../../pci/function.ts';
import { describeMsix, Msix, type MsixDescriptor } from '../../pci/msix.ts';
import { VirtioPciInterrupt } from './interrupt.ts';
import {
  COMMON_CONFIG_LENGTH,
  type ConfigWrites,
  createDeviceState,
  type VirtioDeviceModel,
  VirtioRegisters,
} from './registers.ts';
import { attachQueueState, type VirtqueueState } from './state.ts';

const VENDOR_ID = 0x1af4;
/** Modern device ids start here; the virtio device id is added. */
const DEVICE_ID_BASE = 0x1040;

/** BAR0, 32-bit: every structure in a page or more of its own. */
const BAR = 0;
const BAR_LENGTH = 0x8000;
const COMMON = 0x0000;
const ISR = 0x1000;
const DEVICE_CONFIG = 0x2000;
const NOTIFY = 0x3000;
const MSIX_TABLE = 0x6000;
const MSIX_PBA = 0x7000;
const STRUCTURE_LENGTH = 0x1000;
const NOTIFY_OFF_MULTIPLIER = 4;

/** Types of virtio structures (virtio 1.3, section 4.1.4). */
const CAP_COMMON_CFG = 1;
const CAP_NOTIFY_CFG = 2;
const CAP_ISR_CFG = 3;
const CAP_DEVICE_CFG = 4;
const CAP_PCI_CFG = 5;

/** Offsets in the VIRTIO_PCI_CAP_PCI_CFG capability, from its start. */
const PCI_CFG_BAR = 4;
const PCI_CFG_OFFSET = 8;
const PCI_CFG_LENGTH = 12;
const PCI_CFG_DATA = 16;

/** Base class and subclass of a virtio device's function. */
export interface PciClass {
  readonly baseClass: number;
  readonly subclass: number;
}

/** The shared parts of a virtio-pci function. */
export interface VirtioPciParts {
  readonly space: SharedArrayBuffer;
  readonly msix: MsixDescriptor;
  readonly state: SharedArrayBuffer;
  /** Where VIRTIO_PCI_CAP_PCI_CFG is in configuration space. */
  readonly pciCfgCapability: number;
  /** What the driver's writes to the device-specific configuration do. */
  readonly configWrites: ConfigWrites;
}

/** A guest's write here wakes the queue's back end: what a hypervisor registers to do without leaving the vCPU. */
export interface Doorbell {
  /** Guest-physical address. */
  readonly address: number;
  /** Bytes of the write; 0 for any. */
  readonly length: 0;
  /** File descriptor of the eventfd to signal. */
  readonly event: number;
}

/** Makes the shared state of a virtio device on PCI, laid out as crosvm does. */
export function createVirtioPciParts(model: VirtioDeviceModel, pciClass: PciClass): VirtioPciParts {
  const deviceId = DEVICE_ID_BASE + model.deviceId;
  const space = new PciConfigurationSpaceBuilder({
    vendorId: VENDOR_ID,
    deviceId,
    revisionId: 1,
    ...pciClass,
    subsystemVendorId: VENDOR_ID,
    subsystemId: deviceId,
  });
  space.addBar({ index: BAR, size: BAR_LENGTH });
  addStructure(space, CAP_COMMON_CFG, COMMON, COMMON_CONFIG_LENGTH);
  addStructure(space, CAP_ISR_CFG, ISR, STRUCTURE_LENGTH);
  addStructure(space, CAP_DEVICE_CFG, DEVICE_CONFIG, STRUCTURE_LENGTH);
  addStructure(space, CAP_NOTIFY_CFG, NOTIFY, STRUCTURE_LENGTH, word(NOTIFY_OFF_MULTIPLIER));
  const pciCfgCapability = addStructure(space, CAP_PCI_CFG, 0, 0, word(0), [
    [PCI_CFG_BAR, 0xff],
    [PCI_CFG_OFFSET, -1],
    [PCI_CFG_LENGTH, -1],
    [PCI_CFG_DATA, -1],
  ]);
  const msix = describeMsix(space, {
    vectors: model.queueSizes.length + 1,
    bar: BAR,
    tableOffset: MSIX_TABLE,
    pbaOffset: MSIX_PBA,
  });
  space.addPowerManagement();
  return {
    space: space.build().state,
    msix,
    state: createDeviceState(model),
    pciCfgCapability,
    configWrites: {
      ...(model.writableConfig && { writableConfig: model.writableConfig }),
      ...(model.configPages && { configPages: model.configPages }),
    },
  };
}

/** The doorbells of a function where its BAR is now; none while it is not mapped. */
export function doorbells(space: SharedArrayBuffer, kicks: readonly number[]): Doorbell[] {
  const configuration = new PciConfigurationSpace(space);
  if (!configuration.memorySpaceEnabled) return [];
  const base = configuration.barAddress(BAR) + NOTIFY;
  return kicks.map((event, queue) => ({ address: base + queue * NOTIFY_OFF_MULTIPLIER, length: 0, event }));
}

/** What the register half of a virtio-pci function calls. */
export interface VirtioPciWiring {
  readonly msi: MsiSender;
  /** What it calls itself when it sends MSIs: its routing id. */
  readonly requesterId: number;
  readonly line: InterruptLine;
  /** One for each queue: wakes its back end. */
  readonly kicks: readonly Signal[];
  /** Wakes the back end to look at the device's phase. */
  readonly control: Signal;
  /** One for each queue, if its back end is in another process: file descriptors of the eventfds that this one signals. */
  readonly calls: readonly number[];
  /** Has these send messages by themselves, where that is possible. */
  readonly msiEvents: MsiEvents | undefined;
}

/** A virtio device on PCI (virtio 1.3, section 4.1): the register half, as many threads as access it have one. */
export class VirtioPciFunction implements PciFunction {
  readonly space: PciConfigurationSpace;
  readonly #registers: VirtioRegisters;
  readonly #msix: Msix;
  readonly #interrupt: VirtioPciInterrupt;
  readonly #kicks: readonly Signal[];
  readonly #msixCapability: number;
  readonly #pciCfg: number;
  readonly #pciCfgAccess = createBusAccess();
  readonly #calls: readonly { readonly event: number; readonly queue: VirtqueueState }[];
  readonly #msiEvents: MsiEvents | undefined;

  constructor(parts: VirtioPciParts, wiring: VirtioPciWiring) {
    this.space = new PciConfigurationSpace(parts.space);
    this.#msix = new Msix(parts.msix, this.space, wiring.msi, wiring.requesterId);
    this.#msixCapability = parts.msix.capability;
    this.#pciCfg = parts.pciCfgCapability;
    this.#kicks = wiring.kicks;
    this.#interrupt = new VirtioPciInterrupt(parts.state, this.space, this.#msix, wiring.line);
    this.#calls = wiring.calls.map((event, index) => ({
      event,
      queue: attachQueueState(parts.state, index),
    }));
    this.#msiEvents = wiring.msiEvents;
    const hooks = {
      vectors: this.#msix.vectors,
      signalControl: () => wiring.control.signal(),
      vectorsChanged: () => this.#connectCalls(),
      resetInterrupts: () => void this.#interrupt.acknowledge(),
    };
    this.#registers = new VirtioRegisters(parts.state, hooks, parts.configWrites);
  }

  readBar(_bar: number, access: BusAccess): void {
    const offset = access.offset & (STRUCTURE_LENGTH - 1);
    switch (access.offset - offset) {
      case COMMON:
        this.#registers.readCommon(offset, access);
        break;
      case ISR:
        this.#readIsr(offset, access);
        break;
      case DEVICE_CONFIG:
        this.#registers.readConfig(offset, access);
        break;
      case MSIX_TABLE:
        this.#msix.readTable(offset, access);
        break;
      case MSIX_PBA:
        this.#msix.readPending(offset, access);
        break;
      case NOTIFY:
        access.low = access.high = 0;
        break;
      default:
        readAllOnes(access);
    }
  }

  writeBar(_bar: number, access: BusAccess): void {
    const offset = access.offset & (STRUCTURE_LENGTH - 1);
    switch (access.offset - offset) {
      case NOTIFY:
        this.#kicks[offset / NOTIFY_OFF_MULTIPLIER]?.signal();
        break;
      case COMMON:
        this.#registers.writeCommon(offset, access);
        break;
      case DEVICE_CONFIG:
        this.#registers.writeConfig(offset, access);
        break;
      case MSIX_TABLE:
        this.#msix.writeTable(offset, access);
        this.#connectCalls();
        break;
      default:
        // ISR and PBA are for reading.
        break;
    }
  }

  beforeConfigRead(offset: number, size: number): void {
    if ((offset & ~3) === this.#pciCfg + PCI_CFG_DATA) this.#accessThroughConfig(size, false);
  }

  afterConfigWrite(offset: number, size: number): void {
    const register = offset & ~3;
    if (register === this.#pciCfg + PCI_CFG_DATA) {
      this.#accessThroughConfig(size, true);
    } else if (register === this.#msixCapability || register === PciRegister.command) {
      // The order matters: what INTx no longer announces must not be lost when MSI-X takes over, and vice versa.
      this.#msix.controlWritten();
      this.#connectCalls();
      this.#registers.mutex.lock();
      try {
        this.#interrupt.updateLine();
      } finally {
        this.#registers.mutex.unlock();
      }
    }
  }

  /** Has the interrupts of a back end in another process take the shortest way that the vectors allow now. */
  #connectCalls(): void {
    if (this.#msiEvents === undefined) return;
    for (const { event, queue } of this.#calls) this.#msix.connect(this.#msiEvents, event, queue.vector);
  }

  #readIsr(offset: number, access: BusAccess): void {
    access.low = access.high = 0;
    if (offset !== 0) return;
    this.#registers.mutex.lock();
    try {
      access.low = this.#interrupt.acknowledge();
    } finally {
      this.#registers.mutex.unlock();
    }
  }

  /** VIRTIO_PCI_CAP_PCI_CFG (section 4.1.4.9): a window into the BAR for firmware that has no memory access. */
  #accessThroughConfig(size: number, isWrite: boolean): void {
    const length = this.space.readWord(this.#pciCfg + PCI_CFG_LENGTH);
    const offset = this.space.readWord(this.#pciCfg + PCI_CFG_OFFSET);
    const bar = this.space.readWord(this.#pciCfg + PCI_CFG_BAR) & 0xff;
    if (length !== 1 && length !== 2 && length !== 4) return;
    if (size > length || offset % length !== 0 || bar !== BAR || offset > BAR_LENGTH - length) return;
    const access = this.#pciCfgAccess;
    access.offset = offset;
    access.size = length;
    access.high = 0;
    if (isWrite) {
      access.low =
        this.space.readWord(this.#pciCfg + PCI_CFG_DATA) & (length === 4 ? -1 : (1 << (8 * length)) - 1);
      access.low >>>= 0;
      this.writeBar(bar, access);
    } else {
      this.readBar(bar, access);
      this.space.writeWord(this.#pciCfg + PCI_CFG_DATA, access.low, -1);
    }
  }
}

/** The four bytes of a little-endian word. */
function word(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Adds struct virtio_pci_cap, `extra` after it, and says which of its words the guest can change. */
function addStructure(
  space: PciConfigurationSpaceBuilder,
  type: number,
  offset: number,
  length: number,
  extra: Uint8Array = new Uint8Array(0),
  writable: readonly (readonly [offset: number, mask: number])[] = [],
): number {
  const body = new DataView(new ArrayBuffer(14 + extra.length));
  body.setUint8(0, body.byteLength + 2);
  body.setUint8(1, type);
  body.setUint8(2, BAR);
  body.setUint32(6, offset, true);
  body.setUint32(10, length, true);
  new Uint8Array(body.buffer).set(extra, 14);
  const capability = space.addCapability(PciCapabilityId.vendorSpecific, new Uint8Array(body.buffer));
  for (const [at, mask] of writable) space.setWritable(capability + at, mask);
  return capability;
}
