export { Aarch64Board } from './aarch64-board.ts';
export { type DeviceTreeOptions, machineDeviceTree } from './device-tree.ts';
export * as layout from './layout.ts';
