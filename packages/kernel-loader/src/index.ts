export type { Decompressor, Decompressors } from './decompress.ts';
export { KernelImageError, type KernelImageErrorCode } from './errors.ts';
export { kernelArchitecture, loadKernel } from './load.ts';
export type { KernelMemory } from './memory.ts';
export type { Architecture, LinuxSetup, LoadedKernel, LoadOptions } from './options.ts';
export { type ByteSource, bytesSource } from './source.ts';
