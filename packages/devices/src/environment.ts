import type { GuestMemory } from '@tsvmm/vm-memory';
import type { BusDevice } from './bus.ts';
import type { InterruptLine, MsiEvents, MsiSender } from './interrupt.ts';

/** Something that can be woken, like an eventfd. */
export interface Signal {
  signal(): void;
}

/** The machine's interrupt controllers, as the thread at hand reaches them. */
export interface DeviceInterrupts {
  readonly msi: MsiSender;
  /** Undefined where there is no such thing: a thread of this process then sends for devices in others. */
  readonly msiEvents?: MsiEvents | undefined;
  line(source: number): InterruptLine;
}

/** The contents of flash memory as a part of guest memory. */
export interface RegionSwitch {
  /** Every access of the guest comes to the device. The region must be shown. */
  hide(): void;
  /** Loads of the guest read the memory. The region must be hidden. */
  show(): void;
}

/** What the register halves of devices need of the thread they are attached on. */
export interface DeviceEnvironment {
  readonly interrupts: DeviceInterrupts;
  /** The guest's memory, for register halves that read and write it themselves: fw_cfg. */
  readonly memory?: GuestMemory;
  /** Called on the accessing vCPU's thread when the guest asks the chipset for a reset; `detail` is for people. */
  readonly reset?: (detail: string) => void;
  /** Called on the accessing vCPU's thread when the guest turns the machine off. */
  readonly powerOff?: (detail: string) => void;
  /**
   * Called on the accessing vCPU's thread when the guest puts the machine to sleep, until `AcpiPm.wake`. Where there is
   * none, sleeps are over at once.
   */
  readonly suspend?: (detail: string) => void;
  /**
   * Called on the accessing vCPU's thread after the guest moved, enabled or disabled a BAR: `PciTopology.doorbells`
   * answers anew.
   */
  readonly pciDecodingChanged?: () => void;
  /** Opens a part of guest memory that a device's descriptor names. Where there is none, devices answer every access. */
  readonly attachRegion?: (region: unknown) => RegionSwitch;
  /** Attaches devices that this package does not know; undefined for a type it does not know either. */
  readonly attachCustom?: (type: string, data: unknown) => BusDevice | undefined;
}
