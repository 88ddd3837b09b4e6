import { type UsbDeviceDescriptor, UsbKeyboard, XhciDevice } from '@tsvmm/devices';
import type { ResolvedUsb } from '../configuration/usb.ts';
import type { Log } from '../log.ts';
import { connectStream } from './stream-rings.ts';

/** The USB controller of a machine, and the sockets behind what is plugged in. */
export interface Usb extends AsyncDisposable {
  readonly controller: XhciDevice;
}

/**
 * Connects to the sockets and makes the controller.
 *
 * @throws ConfigurationError FILE_UNUSABLE when nobody listens at a socket
 */
export async function createUsb({ devices }: ResolvedUsb, log: Log): Promise<Usb> {
  await using cleanup = new AsyncDisposableStack();
  const descriptors: UsbDeviceDescriptor[] = [];
  for (const [index, { kind, path }] of devices.entries()) {
    const stream = await connectStream(path, { name: `USB ${kind}`, option: 'usb', index, log });
    const { received, sent } = cleanup.use(stream);
    descriptors.push(UsbKeyboard.describe(received, sent));
  }
  const controller = cleanup.use(new XhciDevice(descriptors));
  const owned = cleanup.move();
  return { controller, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
