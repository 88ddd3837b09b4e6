export { AddressAllocator, type AddressRange, alignUp, hex } from './address-allocator.ts';
export type {
  AddressSpace,
  Board,
  BoardOptions,
  BootImage,
  BootOptions,
  BootRegisters,
  FlashPlacement,
  PciInterrupt,
  PciPlacement,
  PlatformDevices,
  PlatformOptions,
  SerialPlacement,
  SmbiosOptions,
} from './board.ts';
export { addChosen, type Chosen, randomSeeds, type Seeds } from './device-tree/chosen.ts';
export { addMemory } from './device-tree/memory.ts';
export { addPciHost } from './device-tree/pci-host.ts';
export { addUart } from './device-tree/uart.ts';
export type { WiredInterrupts } from './device-tree/wired-interrupts.ts';
export { MachineError, type MachineErrorCode } from './errors.ts';
export { KernelCommandLine } from './kernel-command-line.ts';
export { loadFirmware, loadInitrd } from './load.ts';
export { platformOf } from './platform.ts';
export { refuseOptions } from './unsupported.ts';
