export const LUN_LENGTH = 8;
/** Where a request's tag stands: behind its LUN. */
export const TAG_OFFSET = LUN_LENGTH;
export const TAG_LENGTH = 8;

/** Single-level LUNs with peripheral and with flat addressing (SAM-5, section 4.7.7). */
const METHODS: readonly number[] = [0x00, 0x40];
const METHOD_MASK = 0xc0;

/**
 * The target that the first bytes of a request name (virtio 1.3, section 5.6.6.1), which are 1, the target, and a
 * single-level LUN. -1 for anything else.
 */
export function targetOf(bytes: Uint8Array): number {
  const [one, target = 0, high = 0] = bytes;
  if (one !== 1 || !METHODS.includes(high & METHOD_MASK)) return -1;
  for (let index = 4; index < LUN_LENGTH; index++) if (bytes[index] !== 0) return -1;
  return target;
}

/** The logical unit of that target. */
export function lunOf(bytes: Uint8Array): number {
  return ((bytes[2] ?? 0) & ~METHOD_MASK) * 256 + (bytes[3] ?? 0);
}
