export { VhostUserDevice, type VhostUserDeviceOptions } from './backend/device.ts';
export { VhostUserServer, type VhostUserServerOptions } from './backend/server.ts';
export { VhostUserError, type VhostUserErrorCode } from './errors.ts';
