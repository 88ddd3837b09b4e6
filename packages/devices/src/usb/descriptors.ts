/** Descriptors (USB 2.0, section 9.6), made of bytes. */

export const DescriptorType = { device: 1, configuration: 2, string: 3, interface: 4, endpoint: 5 } as const;

/** What a device is: strings are numbered from 1 on, in the order of `strings`. */
export interface DeviceIdentity {
  readonly vendorId: number;
  readonly productId: number;
  readonly manufacturer: string;
  readonly product: string;
  readonly serialNumber: string;
}

const USB_2_0 = 0x0200;
const MAX_PACKET_SIZE_0 = 64;
const DEVICE_RELEASE = 0x0100;
const ENGLISH = 0x0409;
const SELF_POWERED = 0xc0;

/** The device descriptor of a device whose interfaces say what it is. */
export function deviceDescriptor({ vendorId, productId }: DeviceIdentity): Uint8Array {
  const fields = [vendorId, productId, DEVICE_RELEASE].flatMap(bytes16);
  return Uint8Array.of(
    18,
    DescriptorType.device,
    ...bytes16(USB_2_0),
    0,
    0,
    0,
    MAX_PACKET_SIZE_0,
    ...fields,
    1,
    2,
    3,
    1,
  );
}

/** The only configuration, with its only interface and what belongs to that. */
export function configurationDescriptor(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 9);
  const head = [9, DescriptorType.configuration, ...bytes16(length), 1, 1, 0, SELF_POWERED, 0];
  return Uint8Array.from([...head, ...parts.flatMap((part) => [...part])]);
}

/** A string; number 0 is the language of the others. */
export function stringDescriptor(index: number, identity: DeviceIdentity): Uint8Array | undefined {
  if (index === 0) return Uint8Array.of(4, DescriptorType.string, ...bytes16(ENGLISH));
  const text = [identity.manufacturer, identity.product, identity.serialNumber][index - 1];
  if (text === undefined) return undefined;
  const units = Array.from({ length: text.length }, (_, at) => text.charCodeAt(at)).flatMap(bytes16);
  return Uint8Array.of(2 + units.length, DescriptorType.string, ...units);
}

/** The low 16 bits of a value, as USB has them. */
export function bytes16(value: number): [low: number, high: number] {
  return [value & 0xff, (value >>> 8) & 0xff];
}
