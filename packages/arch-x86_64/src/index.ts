export * as layout from './layout.ts';
export { type E820Entry, type MemoryMap, memoryMap } from './memory-map.ts';
