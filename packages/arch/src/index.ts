export { AddressAllocator, type AddressRange, alignUp, hex } from './address-allocator.ts';
export type {
  Board,
  BoardOptions,
  BootOptions,
  BootRegisters,
  PciInterrupt,
  PciPlacement,
  SerialPlacement,
} from './board.ts';
export { MachineError, type MachineErrorCode } from './errors.ts';
export { loadInitrd } from './initrd.ts';
export { KernelCommandLine } from './kernel-command-line.ts';
