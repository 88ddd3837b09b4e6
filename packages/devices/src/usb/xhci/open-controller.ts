import { PciConfigurationSpace } from '../../pci/configuration-space.ts';
import { openUsbDevice } from '../devices.ts';
import { XhciController } from './controller.ts';
import type { XhciDescriptor } from './device.ts';
import type { XhciHostOptions } from './host.ts';

/** Opens the devices at a controller's ports, and the controller. */
export function openXhciController(
  { state, space, devices }: XhciDescriptor,
  options: XhciHostOptions,
): XhciController {
  return new XhciController({
    ...options,
    state,
    space: new PciConfigurationSpace(space),
    devices: new Map(devices.map(([port, device]) => [port, openUsbDevice(device)])),
  });
}
