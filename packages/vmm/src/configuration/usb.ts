import { checkPath, checkWord } from './checks.ts';
import { ConfigurationError } from './error.ts';

const KINDS = ['keyboard'] as const;
/** Ports for what is not of USB 3.0. */
const MAX_DEVICES = 8;

/** What is plugged into a port. */
export interface UsbDeviceConfiguration {
  readonly kind: (typeof KINDS)[number];
  /**
   * Path of the Unix stream socket to connect to. Its other end sends boot reports of 8 bytes (HID 1.11, appendix B.1) and
   * gets a byte when the guest switches LEDs.
   */
  readonly path: string;
}

/** A USB controller (xHCI). */
export interface UsbConfiguration {
  /** What is plugged in from the beginning. */
  readonly devices?: readonly UsbDeviceConfiguration[];
}

/** The same with nothing left open. */
export type ResolvedUsb = Required<UsbConfiguration>;

/**
 * Checks what a configuration says of USB.
 *
 * @throws ConfigurationError
 */
export function resolveUsb(usb: boolean | UsbConfiguration): ResolvedUsb | undefined {
  if (usb === false) return undefined;
  const { devices = [] } = usb === true ? {} : usb;
  if (devices.length > MAX_DEVICES) {
    throw new ConfigurationError(
      'OUT_OF_RANGE',
      'usb',
      `there are ports for up to ${MAX_DEVICES} devices, not for ${devices.length}`,
    );
  }
  return {
    devices: devices.map(({ kind, path }, index) => ({
      kind: checkWord('usb', kind, KINDS, 'a USB device', index),
      path: checkPath('usb', path, 'a USB device needs the path of the socket that is behind it', index),
    })),
  };
}
