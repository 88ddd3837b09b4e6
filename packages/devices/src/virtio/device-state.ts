import { bytes, StructError, struct, u8, u32 } from '@tsvmm/struct';
import { DeviceError } from '../errors.ts';
import type { VirtioBackend } from './backend.ts';
import { DEVICE_CONFIG_LENGTH } from './transport/state.ts';

/** Most bytes of what a back end remembers beside its queues. */
const BACKEND_LENGTH = 1024;

const layout = struct(
  {
    deviceId: u32,
    config: bytes(DEVICE_CONFIG_LENGTH),
    /** Whether the back end has something to remember at all. */
    hasBackend: u8,
    backendLength: u32,
    backend: bytes(BACKEND_LENGTH),
  },
  { name: 'virtio-device-state', version: 1 },
);

/** A device whose state is saved or loaded: its device id, its configuration (256 bytes), and what serves it. */
export interface StatefulDevice {
  readonly deviceId: number;
  readonly config: Uint8Array;
  readonly backend: Pick<VirtioBackend, 'saveState' | 'loadState'>;
}

/** What a device that goes on elsewhere has to take along, beside its queues: bytes that {@link loadDeviceState} takes. */
export function saveDeviceState({ deviceId, config, backend }: StatefulDevice): Uint8Array {
  const state = new ArrayBuffer(layout.size);
  const fields = layout.attach(state);
  fields.deviceId = deviceId;
  fields.config.set(config);
  const saved = backend.saveState?.();
  if (saved !== undefined) {
    fields.hasBackend = 1;
    fields.backendLength = saved.length;
    fields.backend.set(saved);
  }
  return layout.snapshot(state);
}

/**
 * Makes a device that nobody uses what another one of its kind was. It stays as it is when that is refused.
 * @throws DeviceError BAD_OPTION when the bytes are not the state of such a device
 */
export function loadDeviceState(saved: Uint8Array, { deviceId, config, backend }: StatefulDevice): void {
  const state = new ArrayBuffer(layout.size);
  try {
    layout.restore(saved, state);
    const fields = layout.attach(state);
    if (fields.deviceId !== deviceId || (fields.hasBackend === 1) !== (backend.loadState !== undefined)) {
      throw new DeviceError('BAD_OPTION', 'This is the state of another kind of device.');
    }
    backend.loadState?.(fields.backend.slice(0, fields.backendLength));
    config.set(fields.config);
  } catch (cause) {
    if (!(cause instanceof StructError)) throw cause;
    throw new DeviceError('BAD_OPTION', `This is no state of a device: ${cause.message}`, { cause });
  }
}
