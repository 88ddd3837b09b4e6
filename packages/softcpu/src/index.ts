export { SoftCpuError, type SoftCpuErrorCode } from './core/errors.ts';
export { HartBlock, Request } from './core/layout.ts';
export { SoftMemory, type SoftMemoryDescriptor, type SoftMemoryOptions } from './core/memory.ts';
export { decode } from './riscv64/decode.ts';
export { Hart, type HartOptions, Privilege } from './riscv64/hart.ts';
export type { Fence, HartHost, HartStop, HotCode, PhysicalAccess, Translator } from './riscv64/hart-host.ts';
export { IMSIC_IDENTITIES, imsicSend } from './riscv64/imsic.ts';
export type { Instruction } from './riscv64/instruction.ts';
