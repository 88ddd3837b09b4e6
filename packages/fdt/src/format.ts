// Devicetree Specification v0.4, chapter 5: the flattened format. All words are big-endian.

export const MAGIC = 0xd00d_feed;
export const VERSION = 17;
/** The oldest version whose readers understand what this package writes, and the oldest it reads. */
export const LAST_COMPATIBLE_VERSION = 16;
/** Bytes of the header, ten words. */
export const HEADER_SIZE = 40;
export const RESERVATION_SIZE = 16;

/** Tokens of the structure block. */
export const BEGIN_NODE = 1;
export const END_NODE = 2;
export const PROP = 3;
export const NOP = 4;
export const END = 9;

/** Levels below the root that Linux unflattens. */
export const MAX_DEPTH = 64;
/** Bytes of a name in a tree that is read: far more than the specification allows, and a bound for hostile ones. */
export const MAX_NAME = 255;

export const align4 = (offset: number) => (offset + 3) & ~3;
