import {
  configurationDescriptor,
  DescriptorType,
  type DeviceIdentity,
  deviceDescriptor,
  stringDescriptor,
} from './descriptors.ts';
import type { UsbSetup } from './device.ts';

/** Types of requests, and to whom they are: bits of bmRequestType. */
export const RequestType = { in: 0x80, class: 0x20, typeMask: 0x60, interface: 0x01 } as const;

const Request = {
  getStatus: 0,
  clearFeature: 1,
  setFeature: 3,
  setAddress: 5,
  getDescriptor: 6,
  getConfiguration: 8,
  setConfiguration: 9,
  getInterface: 10,
  setInterface: 11,
} as const;

const SELF_POWERED = 1;
const NOTHING = new Uint8Array(0);

/** What every device answers (USB 2.0, section 9.4), for one with a single configuration and interface. */
export class StandardRequests {
  readonly #identity: DeviceIdentity;
  readonly #configurationDescriptor: Uint8Array;
  #configuration = 0;

  /** @param parts of the configuration descriptor: the interface, its endpoints, and what its class has */
  constructor(identity: DeviceIdentity, parts: readonly Uint8Array[]) {
    this.#identity = identity;
    this.#configurationDescriptor = configurationDescriptor(parts);
  }

  reset(): void {
    this.#configuration = 0;
  }

  /** @returns the answer, which is empty for requests that set something; undefined for one that is stalled */
  answer({ request, value, index }: UsbSetup): Uint8Array | undefined {
    switch (request) {
      case Request.getDescriptor:
        return this.#descriptor(value >>> 8, value & 0xff);
      case Request.getStatus:
        return Uint8Array.of(index === 0 ? SELF_POWERED : 0, 0);
      case Request.getConfiguration:
        return Uint8Array.of(this.#configuration);
      case Request.getInterface:
        return Uint8Array.of(0);
      case Request.setConfiguration:
        if (value > 1) return undefined;
        this.#configuration = value;
        return NOTHING;
      case Request.setInterface:
        return value === 0 ? NOTHING : undefined;
      case Request.setAddress:
      // No endpoint stays halted, and there is nothing to wake for.
      case Request.clearFeature:
      case Request.setFeature:
        return NOTHING;
      default:
        return undefined;
    }
  }

  #descriptor(type: number, index: number): Uint8Array | undefined {
    switch (type) {
      case DescriptorType.device:
        return deviceDescriptor(this.#identity);
      case DescriptorType.configuration:
        return index === 0 ? this.#configurationDescriptor : undefined;
      case DescriptorType.string:
        return stringDescriptor(index, this.#identity);
      default:
        return undefined;
    }
  }
}
