export { KernelImageError, type KernelImageErrorCode } from '@tsvmm/kernel-loader';
export type { Balloon, BalloonAdjustment } from './balloon.ts';
export {
  type AsyncExecutor,
  type BlockConfiguration,
  MAX_BLOCK_ID_BYTES,
  type ResolvedBlock,
} from './configuration/block.ts';
export type {
  BoardConfiguration,
  FwCfgConfiguration,
  PflashConfiguration,
  RangeConfiguration,
} from './configuration/board.ts';
export {
  type Architecture,
  type BalloonConfiguration,
  type ConfigurationOption,
  type CpusConfiguration,
  DEFAULT_MEMORY_MIB,
  type HypervisorConfiguration,
  MAX_CPUS,
  MAX_MEMORY_MIB,
  type MemoryConfiguration,
  MIN_MEMORY_MIB,
  type ResolvedConfiguration,
  type VirtualMachineConfiguration,
  validateConfiguration,
} from './configuration/configuration.ts';
export { ConfigurationError, type ConfigurationErrorCode } from './configuration/error.ts';
export { checkConfigurationFiles } from './configuration/files.ts';
export type { InputConfiguration } from './configuration/input.ts';
export type { PmemConfiguration, ResolvedPmem } from './configuration/pmem.ts';
export type { SandboxConfiguration } from './configuration/sandbox.ts';
export type { ResolvedScsiDisk, ScsiDiskConfiguration } from './configuration/scsi.ts';
export {
  type ResolvedSerial,
  SERIAL_PORTS,
  type SerialConfiguration,
  type SerialHardware,
  type SerialType,
} from './configuration/serial.ts';
export type { UsbConfiguration, UsbDeviceConfiguration } from './configuration/usb.ts';
export type { ResolvedVhostUser, VhostUserConfiguration } from './configuration/vhost-user.ts';
export { VirtualMachineError, type VirtualMachineErrorCode } from './errors.ts';
export type { Log, LogRecord } from './log.ts';
export { preferredArchitecture } from './preferred-architecture.ts';
export { type CreateOptions, VirtualMachine, type VmConsole, type VmExit } from './virtual-machine.ts';
