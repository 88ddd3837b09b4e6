export { type DeviceTreeOptions, machineDeviceTree } from './device-tree.ts';
export * as layout from './layout.ts';
export { Riscv64Board } from './riscv64-board.ts';
