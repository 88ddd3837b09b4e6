import type { UsbDevice, UsbSpeed } from './device.ts';
import { UsbKeyboard } from './hid/keyboard.ts';

/** A device as plain data, from which the thread that speaks for it opens it. */
export interface UsbDeviceDescriptor {
  readonly kind: 'keyboard';
  readonly speed: UsbSpeed;
  /** Memory of the rings that boot reports come from, and that what the guest switches LEDs to goes to. */
  readonly reports: SharedArrayBuffer;
  readonly leds: SharedArrayBuffer;
}

/** Opens a device on the thread that calls this. */
export function openUsbDevice(descriptor: UsbDeviceDescriptor): UsbDevice {
  return UsbKeyboard.open(descriptor);
}
