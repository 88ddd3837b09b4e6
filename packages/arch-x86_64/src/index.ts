export * as layout from './layout.ts';
export { type E820Entry, type MemoryMap, memoryMap } from './memory-map.ts';
export type { MemoryImage } from './tables/memory-image.ts';
export { type MpTableOptions, mpTable } from './tables/mp-table.ts';
export { smbiosTables } from './tables/smbios.ts';
export { X8664Board } from './x86-64-board.ts';
