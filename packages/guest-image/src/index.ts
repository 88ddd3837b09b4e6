export { GUEST_ARCHITECTURES, type GuestArchitecture, guestArchitecture } from './architecture.ts';
export { GuestImageError, type GuestImageErrorCode } from './errors.ts';
export { type FetchOptions, type FetchProgress, fetchGuest } from './fetch.ts';
export {
  type CacheOptions,
  DEFAULT_SUITE,
  type Guest,
  type GuestSelection,
  listGuests,
  removeGuest,
} from './guest.ts';
export { GUEST_MODULES } from './guest-modules.ts';
export { buildInitramfs, type InitramfsFile, type InitramfsOptions } from './initramfs.ts';
export { defaultCacheDirectory } from './paths.ts';
export { fetchTree, type TreeOptions } from './tree.ts';
