export { GuestMemoryError, type GuestMemoryErrorCode } from './error.ts';
export {
  GuestMemory,
  type GuestMemoryDescriptor,
  type GuestMemoryOptions,
  type ProcessDescriptor,
  type ThreadDescriptor,
} from './guest-memory.ts';
export type { FileRegion, MemoryRegion, PlacedRegion } from './layout.ts';
