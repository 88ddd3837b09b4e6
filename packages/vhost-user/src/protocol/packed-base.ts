/** Of each position of a packed ring: where in the ring, and the wrap counter ("Multiple queue support", `vring_base_idx`). */
const INDEX_MASK = 0x7fff;
const WRAP_COUNTER = 0x8000;

/**
 * The positions of a packed ring in the form in which SET_VRING_BASE and GET_VRING_BASE carry them.
 *
 * @param nextAvailable counted through two rounds, as `PackedQueue` does
 * @param size entries of the ring
 */
export function packedBase(nextAvailable: number, nextUsed: number, size: number): number {
  const half = (position: number) => (position % size) | (position < size ? WRAP_COUNTER : 0);
  return (half(nextAvailable) | (half(nextUsed) << 16)) >>> 0;
}

/** What {@link packedBase} was made of; undefined when it names places that the ring does not have. */
export function packedPositions(
  base: number,
  size: number,
): { readonly nextAvailable: number; readonly nextUsed: number } | undefined {
  const [available, used] = [base & 0xffff, base >>> 16];
  if ((available & INDEX_MASK) >= size || (used & INDEX_MASK) >= size) return undefined;
  const position = (half: number) => (half & INDEX_MASK) + ((half & WRAP_COUNTER) === 0 ? size : 0);
  return { nextAvailable: position(available), nextUsed: position(used) };
}
