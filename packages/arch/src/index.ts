export { AddressAllocator, type AddressRange, alignUp, hex } from './address-allocator.ts';
export type {
  AddressSpace,
  Board,
  BoardOptions,
  BootImage,
  BootOptions,
  BootRegisters,
  PciInterrupt,
  PciPlacement,
  PlatformDevices,
  PlatformOptions,
  SerialPlacement,
} from './board.ts';
export { MachineError, type MachineErrorCode } from './errors.ts';
export { loadInitrd } from './initrd.ts';
export { KernelCommandLine } from './kernel-command-line.ts';
