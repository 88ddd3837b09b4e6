import type { FeatureSet } from '@tsvmm/devices';

/** A set of features as the number that messages carry. */
export function featureBits({ low, high }: FeatureSet): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** The set of features of the number that messages carry. */
export function featureSetOf(bits: bigint): FeatureSet {
  return { low: Number(bits & 0xffffffffn), high: Number(bits >> 32n) };
}

/** What of `wanted` is not in `offered`. */
export function missingFeatures(wanted: FeatureSet, offered: FeatureSet): FeatureSet {
  return { low: (wanted.low & ~offered.low) >>> 0, high: (wanted.high & ~offered.high) >>> 0 };
}
