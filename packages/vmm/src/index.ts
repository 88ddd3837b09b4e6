export { KernelImageError, type KernelImageErrorCode } from '@tsvmm/kernel-loader';
export type { Balloon, BalloonAdjustment } from './balloon.ts';
export type { BoardConfiguration, RangeConfiguration } from './board-configuration.ts';
export {
  type Architecture,
  type AsyncExecutor,
  type BalloonConfiguration,
  type BlockConfiguration,
  blockDeviceName,
  type ConfigurationOption,
  type CpusConfiguration,
  checkConfigurationFiles,
  DEFAULT_MEMORY_MIB,
  type HypervisorConfiguration,
  MAX_BLOCK_ID_BYTES,
  MAX_CPUS,
  MAX_MEMORY_MIB,
  type MemoryConfiguration,
  MIN_MEMORY_MIB,
  type ResolvedBlock,
  type ResolvedConfiguration,
  type ResolvedSerial,
  SERIAL_PORTS,
  type SerialConfiguration,
  type SerialHardware,
  type SerialType,
  type VirtualMachineConfiguration,
  validateConfiguration,
} from './configuration.ts';
export { ConfigurationError, type ConfigurationErrorCode } from './configuration-error.ts';
export { VirtualMachineError, type VirtualMachineErrorCode } from './errors.ts';
export type { InputConfiguration } from './input-configuration.ts';
export type { Log, LogRecord } from './log.ts';
export { preferredArchitecture } from './preferred-architecture.ts';
export type { SandboxConfiguration } from './sandbox-configuration.ts';
export type { ResolvedVhostUser, VhostUserConfiguration } from './vhost-user-configuration.ts';
export { type CreateOptions, VirtualMachine, type VmConsole, type VmExit } from './virtual-machine.ts';
