/**
 * What a descriptor is ready for, as bits. `readable` and `writable` are asked for and reported; `failed` and `hungUp`
 * are reported only (reading from the descriptor then tells the error or the end); `edgeTriggered` and `oneShot` are
 * asked for only, and only of a {@link Poll}.
 */
export const Readiness = {
  readable: 1,
  writable: 2,
  failed: 4,
  hungUp: 8,
  edgeTriggered: 16,
  oneShot: 32,
} as const;
