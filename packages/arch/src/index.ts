export { AddressAllocator, type AddressRange, alignUp, hex } from './address-allocator.ts';
export { MachineError, type MachineErrorCode } from './errors.ts';
export { KernelCommandLine } from './kernel-command-line.ts';
