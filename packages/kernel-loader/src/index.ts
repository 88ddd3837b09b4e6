export type { Decompressor, Decompressors } from './decompress.ts';
export { KernelImageError, type KernelImageErrorCode } from './errors.ts';
export { loadKernel } from './load.ts';
export type { KernelMemory } from './memory.ts';
export type { Architecture, LoadedKernel, LoadOptions } from './options.ts';
export { type ByteSource, bytesSource } from './source.ts';
