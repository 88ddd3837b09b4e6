export type { ProcessBackend, ProcessDevice } from './device.ts';
export { DeviceProcess, type DeviceProcessOptions } from './device-process.ts';
export { DeviceProcessError, type DeviceProcessErrorCode } from './errors.ts';
export { RingLink } from './ring-link.ts';
export { DEVICE_POLICIES, devicePolicy, type Sandbox } from './sandbox.ts';
