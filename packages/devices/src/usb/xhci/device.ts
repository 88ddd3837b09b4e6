import { EventFd } from '@tsvmm/base';
import { DeviceError } from '../../errors.ts';
import type { IntxDescriptor } from '../../interrupt.ts';
import type { PciAddress } from '../../pci/address.ts';
import { type PciConfigurationSpace, PciConfigurationSpaceBuilder } from '../../pci/configuration-space.ts';
import type { PciDevice } from '../../pci/topology.ts';
import type { UsbDeviceDescriptor } from '../devices.ts';
import { SpeedId, XHCI_BAR_LENGTH } from './constants.ts';
import { portsFor } from './ports.ts';
import { resetRegisters } from './reset.ts';
import { xhciLayout } from './state.ts';

/** A controller as plain data: both of its halves are attached from it. */
export interface XhciDescriptor {
  readonly kind: 'xhci';
  readonly address: PciAddress;
  readonly intx: IntxDescriptor | undefined;
  readonly space: SharedArrayBuffer;
  /** Memory of `xhciLayout`. */
  readonly state: SharedArrayBuffer;
  /** File descriptor of the eventfd that wakes the half that reads rings. */
  readonly control: number;
  /** What is plugged in, by the port's index. */
  readonly devices: readonly (readonly [port: number, device: UsbDeviceDescriptor])[];
}

/** Serial bus release number 3.0, and frame length adjustment as it is without any (section 5.2.3). */
const BUS_RELEASE = 0x60;
const RELEASE_3_0 = 0x2030;

/**
 * An xHCI controller with 8 ports of USB 2.0 and 8 of USB 3.0, as the thread that builds the machine holds it. It calls
 * itself by crosvm's ids, those of a chip whose MSIs drivers know not to use.
 */
export class XhciDevice implements PciDevice {
  readonly name = 'xhci';
  readonly hasInterrupt = true;
  readonly space: PciConfigurationSpace;
  readonly #state = new SharedArrayBuffer(xhciLayout.size);
  readonly #control = EventFd.create();
  readonly #devices: XhciDescriptor['devices'];

  /**
   * @param devices what is plugged in, each at the first free port for its speed
   * @throws DeviceError OUT_OF_SPACE when there are more than ports
   */
  constructor(devices: readonly UsbDeviceDescriptor[] = []) {
    const space = new PciConfigurationSpaceBuilder({
      vendorId: 0x1b73,
      deviceId: 0x1400,
      baseClass: 0x0c,
      subclass: 0x03,
      programmingInterface: 0x30,
    });
    space.addBar({ index: 0, size: XHCI_BAR_LENGTH }).setWord(BUS_RELEASE, RELEASE_3_0);
    this.space = space.build();
    const state = xhciLayout.attach(this.#state);
    this.#devices = devices.map((device) => {
      const [first, end] = portsFor(device.speed);
      const port = state.attached.findIndex((speed, index) => index >= first && index < end && speed === 0);
      if (port < 0) throw new DeviceError('OUT_OF_SPACE', `All ${end - first} USB ports for it are taken.`);
      state.attached[port] = SpeedId[device.speed];
      return [port, device];
    });
    resetRegisters(state);
  }

  descriptor(address: PciAddress, intx?: IntxDescriptor): XhciDescriptor {
    return {
      kind: 'xhci',
      address,
      intx,
      space: this.space.state,
      state: this.#state,
      control: this.#control.descriptor.number,
      devices: this.#devices,
    };
  }

  [Symbol.dispose](): void {
    this.#control[Symbol.dispose]();
  }
}
