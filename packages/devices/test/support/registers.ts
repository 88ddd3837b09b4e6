import { expect } from 'vitest';
import { type AccessSize, type BusDevice, createBusAccess } from '../../src/index.ts';

/** Reads and writes a device's registers as a vCPU's thread does. */
export function registersOf(device: BusDevice) {
  const access = createBusAccess();
  return {
    read(offset: number, size: AccessSize = 1): number {
      Object.assign(access, { offset, size, low: 0, high: 0 });
      device.read(access);
      return access.low;
    },
    write(offset: number, value: number, size: AccessSize = 1, high = 0): void {
      Object.assign(access, { offset, size, low: value, high });
      device.write(access);
    },
  };
}

/** An interrupt line that remembers its level, and checks that it is told of changes only. */
export function recordingLine() {
  const { promise: raised, resolve } = Promise.withResolvers<void>();
  const line = {
    level: false,
    /** Resolves when the line goes up for the first time. */
    raised,
    set(level: boolean) {
      expect(level).not.toBe(line.level);
      line.level = level;
      if (level) resolve();
    },
  };
  return line;
}
