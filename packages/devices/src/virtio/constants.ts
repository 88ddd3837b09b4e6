/** Device status bits (virtio 1.3, section 2.1). */
export const VirtioStatus = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 0x40,
  failed: 0x80,
} as const;

/** Reserved feature bits (section 6): the bit's number. */
export const VirtioFeature = {
  indirectDesc: 28,
  eventIdx: 29,
  version1: 32,
  ringPacked: 34,
  ringReset: 40,
} as const;

/** Device ids (section 5). */
export const VirtioDeviceId = {
  block: 2,
  console: 3,
  entropy: 4,
  balloon: 5,
  scsi: 8,
  input: 18,
  pmem: 27,
} as const;

/** A set of feature bits, as the two words a driver negotiates. */
export interface FeatureSet {
  /** Bits 31…0. */
  readonly low: number;
  /** Bits 63…32. */
  readonly high: number;
}

/** The set of the given bit numbers. */
export function featureSet(bits: Iterable<number>): FeatureSet {
  let low = 0;
  let high = 0;
  for (const bit of bits) {
    if (bit < 32) low |= 1 << bit;
    else high |= 1 << (bit - 32);
  }
  return { low: low >>> 0, high: high >>> 0 };
}

/** Whether `features` has bit number `bit`. */
export function hasFeature(features: FeatureSet, bit: number): boolean {
  return bit < 32 ? (features.low & (1 << bit)) !== 0 : (features.high & (1 << (bit - 32))) !== 0;
}
