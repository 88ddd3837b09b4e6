import { INPUT_KINDS, type InputKind, TOUCH_KINDS, type TouchKind } from '@tsvmm/devices';
import { checkPath } from './checks.ts';
import type { VirtualMachineConfiguration } from './configuration.ts';
import { ConfigurationError } from './error.ts';

/** An input device (virtio-input) whose events come from a socket. */
export interface InputConfiguration {
  /** `custom`: what a file says, instead of what all of a kind have. */
  readonly kind: InputKind | TouchKind | 'custom';
  /**
   * Path of the Unix stream socket to connect to. Its other end sends events and gets the guest's (LEDs), each the 8 bytes of
   * struct virtio_input_event: type and code of 16 bits and value of 32, little-endian.
   */
  readonly path: string;
  /** For `custom`: a file with crosvm's JSON description of the device. */
  readonly configPath?: string;
  /** Size of what is touched, in units of the device's own; default 1280 and 1024. */
  readonly width?: number;
  readonly height?: number;
  /** What the guest calls a touch device; default by its kind and number. */
  readonly name?: string;
}

/** The same with nothing left open. */
export interface ResolvedInput extends Required<Omit<InputConfiguration, 'configPath'>> {
  readonly configPath: string | undefined;
  readonly serial: string;
}

/** As crosvm has them. */
const DEFAULT_WIDTH = 1280;
const DEFAULT_HEIGHT = 1024;
const MAX_SIZE = 2 ** 31 - 1;
const MAX_NAME_BYTES = 128;

const KINDS: readonly string[] = [...INPUT_KINDS, ...TOUCH_KINDS, 'custom'];
const TITLES: Readonly<Record<InputConfiguration['kind'], string>> = {
  keyboard: 'Keyboard',
  mouse: 'Mouse',
  rotary: 'Rotary',
  switches: 'Switches',
  'single-touch': 'Touchscreen',
  'multi-touch': 'Multitouch Touchscreen',
  trackpad: 'Trackpad',
  'multi-touch-trackpad': 'Multitouch Trackpad',
  custom: 'Custom',
};

/** Whether devices of a kind are touched, and so have a size. */
export function isTouchKind(kind: InputConfiguration['kind']): kind is TouchKind {
  return TOUCH_KINDS.some((touch) => touch === kind);
}

/**
 * Checks what a configuration says of input devices, which are numbered by their kind.
 *
 * @throws ConfigurationError
 */
export function resolveInputs({ inputs = [] }: VirtualMachineConfiguration): readonly ResolvedInput[] {
  return inputs.map((input, index) => {
    const { kind, path, configPath, width = DEFAULT_WIDTH, height = DEFAULT_HEIGHT } = input;
    const fail = (code: 'INVALID_VALUE' | 'OUT_OF_RANGE' | 'CONFLICT', message: string): never => {
      throw new ConfigurationError(code, 'inputs', message, { index });
    };
    if (!KINDS.includes(kind)) fail('INVALID_VALUE', `an input device is one of ${KINDS.join(', ')}`);
    checkPath(
      'inputs',
      path,
      'an input device needs the path of the socket that its events come from',
      index,
    );
    if ((kind === 'custom') !== (configPath !== undefined)) {
      fail('CONFLICT', 'a custom input device, and no other, needs the path of the file that describes it');
    }
    if (configPath !== undefined) {
      checkPath(
        'inputs',
        configPath,
        'a custom input device needs the path of the file that describes it',
        index,
      );
    }
    const isSized = input.width !== undefined || input.height !== undefined || input.name !== undefined;
    if (isSized && !isTouchKind(kind)) fail('CONFLICT', `a ${kind} has no size and no name of its own`);
    for (const size of [width, height]) {
      if (!Number.isInteger(size) || size < 1 || size > MAX_SIZE) {
        fail('OUT_OF_RANGE', `the size of a ${kind} is from 1 to ${MAX_SIZE}, not ${size}`);
      }
    }
    const number = inputs.slice(0, index).filter((other) => other.kind === kind).length;
    const { name = `tsvmm Virtio ${TITLES[kind]} ${number}` } = input;
    if (name === '' || name.includes('\0') || Buffer.byteLength(name) > MAX_NAME_BYTES) {
      fail('OUT_OF_RANGE', `the name of an input device has from 1 to ${MAX_NAME_BYTES} bytes`);
    }
    return { kind, path, configPath, width, height, name, serial: `virtio-${kind}-${number}` };
  });
}
