import type { EventFd } from '@tsvmm/base';
import type { GuestMemory } from '@tsvmm/vm-memory';
import type { Architecture, HypervisorKind } from './hypervisor.ts';
import type { Platform } from './platform.ts';

/** Sends message-signalled interrupts, from any thread. Does not block and does not allocate. */
export interface MsiSender {
  /**
   * @param deviceId who sends: a PCI function's requester id (bus, device, function in 16 bits). An interrupt translation
   * service (aarch64) looks the interrupt up by it; no other controller cares. 0 when left out.
   */
  send(addressLow: number, addressHigh: number, data: number, deviceId?: number): void;
}

/**
 * Has eventfds send MSIs without a thread of this process: for devices in other processes. What any thread of the machine sets, all
 * of them can change.
 */
export interface MsiEvents {
  /**
   * From now on each signal of an eventfd, and one that nobody has read yet, sends this message. Whoever waits for the eventfd
   * gets none of them any more (before Linux 5.12: gets them, too). Does nothing when that is so already.
   *
   * @param event number of the eventfd, which stays open as long as the machine is there
   * @param deviceId as for {@link MsiSender.send}
   * @returns false when the hypervisor cannot, since it has no more routes or does not take the message: signals then wait to
   * be read
   */
  connect(event: number, addressLow: number, addressHigh: number, data: number, deviceId?: number): boolean;
  /** Signals wait to be read from now on: nothing is sent any more when it returns. */
  disconnect(event: number): void;
}

/** A wired interrupt. Level-triggered inputs follow the level; edge-triggered ones take the rising edge. */
export interface InterruptLine {
  set(level: boolean): void;
}

/** The interrupt controllers of a virtual machine, as any of its threads sees them. */
export interface Interrupts {
  readonly msi: MsiSender;
  /** Undefined where the hypervisor or its controllers have no such thing. */
  readonly msiEvents?: MsiEvents | undefined;
  /** @throws HypervisorError INVALID_ARGUMENT for a source the controller does not have */
  line(source: number): InterruptLine;
  /**
   * A wired interrupt that is one vCPU's own: aarch64's private peripheral interrupts.
   *
   * @param source PPI 0 to 15, which is INTID 16 to 31
   * @throws HypervisorError INVALID_ARGUMENT for a source or vCPU that is not there, UNSUPPORTED for an architecture
   * without such interrupts
   */
  privateLine(vcpu: number, source: number): InterruptLine;
}

/** A write of the guest that signals an eventfd instead of leaving the vCPU. */
export interface IoEvent {
  readonly space: 'mmio' | 'pio';
  readonly address: number;
  /** Bytes the write must have: 1, 2, 4, 8, or 0 for any. */
  readonly length: 0 | 1 | 2 | 4 | 8;
  /** Value the write must have; any when left out. */
  readonly match?: number;
  readonly event: EventFd;
}

/** Guest memory beside the RAM the machine was created with. */
export interface MemoryRegion {
  readonly guestAddress: number;
  /** Bytes, a multiple of the page size. */
  readonly size: number;
  /** Descriptor of the memory (memfd, file) and where in it the region starts. */
  readonly descriptor: number;
  readonly descriptorOffset: number;
  /** Stores of the guest become MMIO exits. */
  readonly readOnly: boolean;
}

/** A read-only memory region, on a thread that hides it while the device behind it answers commands: flash memory. */
export interface RegionSwitch {
  /** Every access of the guest becomes an MMIO exit. It must be shown. */
  hide(): void;
  /** Loads read the memory again. It must be hidden. */
  show(): void;
}

/** Plain data from which {@link attachRegion} makes a {@link RegionSwitch} on another thread. */
export interface RegionDescriptor {
  readonly backEnd: unknown;
}

/** A piece of guest memory, and which of its pages the guest has written. */
export interface DirtyPages {
  readonly guestAddress: number;
  readonly pages: number;
  /** Page n is bit n modulo 8 of byte n / 8. */
  readonly bitmap: Uint8Array;
}

/** The pages of RAM and writable regions that vCPUs write. What host threads write is not in it. */
export interface DirtyLog {
  start(): void;
  stop(): void;
  /**
   * What was written since the start or the last call.
   *
   * @throws HypervisorError INVALID_STATE when the log was not started
   */
  take(): readonly DirtyPages[];
}

/** Plain data from which {@link attachVcpu} makes the vCPU on the thread that is to run it. */
export interface VcpuDescriptor {
  readonly kind: HypervisorKind;
  readonly architecture: Architecture;
  readonly id: number;
  /** What the back end needs; opaque. */
  readonly backEnd: unknown;
}

/** Plain data from which {@link attachInterrupts} makes the machine's interrupts on another thread. */
export interface InterruptsDescriptor {
  readonly kind: HypervisorKind;
  readonly architecture: Architecture;
  readonly backEnd: unknown;
}

/** The main thread's hold on a vCPU. */
export interface VcpuControl {
  readonly id: number;
  readonly descriptor: VcpuDescriptor;
  /** Objects that must be transferred with the descriptor (`postMessage`'s second argument, `workerData`'s list). */
  readonly transfer: readonly import('node:worker_threads').Transferable[];
  /** Makes a `run` that is under way, or the next one, return `stopped`. Callable any time, from this thread. */
  requestStop(): void;
}

/** A virtual machine: memory, vCPUs, interrupt controllers. Lives on the thread that created it. */
export interface Vm extends AsyncDisposable {
  readonly kind: HypervisorKind;
  readonly architecture: Architecture;
  readonly memory: GuestMemory;
  /** What the guest must be told of the machine and only the hypervisor knows. */
  readonly platform: Platform;

  /** Interrupts as this thread sees them. */
  readonly interrupts: Interrupts;
  interruptsDescriptor(): InterruptsDescriptor;

  /**
   * Creates vCPU `id`. Ids start at 0 and have no gaps. vCPU 0 starts where its registers say; the others wait until the
   * guest starts them (SBI HSM, PSCI, INIT/SIPI).
   *
   * @throws HypervisorError INVALID_ARGUMENT for an id beyond the number the machine was created for
   */
  createVcpu(id: number): VcpuControl;

  /**
   * Puts memory at a guest-physical address.
   *
   * @returns the slot, for {@link removeMemoryRegion}
   * @throws HypervisorError INVALID_ARGUMENT when it overlaps other memory or is not page aligned
   */
  addMemoryRegion(region: MemoryRegion): number;
  removeMemoryRegion(slot: number): void;
  /**
   * For hiding a region from the guest and showing it again, on any thread. It is shown now.
   *
   * @throws HypervisorError INVALID_ARGUMENT when there is no such region, or the guest may write it
   */
  regionDescriptor(slot: number): RegionDescriptor;

  /** Which pages the guest writes; there when the hypervisor has `dirty-log`. */
  readonly dirtyLog?: DirtyLog;

  /**
   * Signals an eventfd for a write of the guest, in the thread of the writing vCPU and without an exit.
   *
   * @throws HypervisorError INVALID_ARGUMENT when the same address, length and value are taken
   */
  registerIoEvent(event: IoEvent): void;
  unregisterIoEvent(event: IoEvent): void;

  /**
   * Raises a wired interrupt, or sends an MSI, each time the eventfd is signalled: for devices in other processes.
   *
   * @returns what undoes it
   * @throws HypervisorError INVALID_ARGUMENT for a source the controller does not have, UNSUPPORTED for resampling where
   * the hypervisor has none, NO_RESOURCES when it has no more routes
   */
  registerInterruptEvent(event: EventFd, target: InterruptTarget): Disposable;
}

export type InterruptTarget =
  | {
      readonly kind: 'line';
      readonly source: number;
      /**
       * Makes the interrupt level-triggered: the event raises the line, and when the guest ends the interrupt the line falls
       * and this is signalled, so that a device that still has a reason raises it again. Needs `interrupt-resampling`.
       */
      readonly resample?: EventFd;
    }
  | {
      readonly kind: 'msi';
      readonly addressLow: number;
      readonly addressHigh: number;
      readonly data: number;
      /** Who sends, as for {@link MsiSender.send}. */
      readonly deviceId?: number;
    };
