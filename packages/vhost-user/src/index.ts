export { VhostUserDevice, type VhostUserDeviceOptions } from './backend/device.ts';
export { createInflightFile } from './backend/inflight-record.ts';
export { VhostUserServer, type VhostUserServerOptions } from './backend/server.ts';
export { VhostUserError, type VhostUserErrorCode } from './errors.ts';
export {
  describeVhostUserDevice,
  VHOST_USER_DEVICE_TYPES,
  type VhostUserBackendOptions,
  type VhostUserDescription,
  type VhostUserDeviceType,
} from './frontend/description.ts';
export type { SuspendedDevice } from './frontend/device-state.ts';
export { VhostUserFrontend, type VhostUserFrontendOptions } from './frontend/frontend.ts';
