import { number, optional, record, string, tagged } from '@tsvmm/keyvalue';
import type { InputConfiguration } from '@tsvmm/vmm';
import { UsageError } from '../errors.ts';
import type { GivenOption } from '../parse.ts';
import { read } from './values.ts';

/** Kinds that crosvm has and this version does not. */
const UNBUILT_KINDS = ['evdev'];

const PLAIN = record({ path: string() });
const CUSTOM = record({ path: string(), 'config-path': string({ alias: 'config_path' }) });
const TOUCH = record({
  path: string(),
  width: optional(number()),
  height: optional(number()),
  name: optional(string()),
});

/** --input */
export function inputValue(given: GivenOption): InputConfiguration {
  const unbuilt = UNBUILT_KINDS.find((kind) => given.value?.split('[', 1)[0] === kind);
  if (unbuilt !== undefined) {
    throw new UsageError(
      'NOT_BUILT',
      `${given.spelling}: ${unbuilt} is not built yet. Choose another kind, whose events a program sends to a socket.`,
    );
  }
  const { type, value } = read(
    given,
    tagged({
      keyboard: PLAIN,
      mouse: PLAIN,
      rotary: PLAIN,
      switches: PLAIN,
      'single-touch': TOUCH,
      'multi-touch': TOUCH,
      trackpad: TOUCH,
      'multi-touch-trackpad': TOUCH,
      custom: CUSTOM,
    }),
  );
  if ('config-path' in value) return { kind: 'custom', path: value.path, configPath: value['config-path'] };
  return { kind: type, ...value };
}

/** --keyboard, --mouse, --rotary and --switches */
export function socketValue(
  kind: InputConfiguration['kind'],
  { spelling, value = '' }: GivenOption,
): InputConfiguration {
  if (value === '') throw new UsageError('INVALID_VALUE', `${spelling} needs the path of a socket`);
  return { kind, path: value };
}

/** --single-touch, --multi-touch and --trackpad */
export function touchValue(kind: InputConfiguration['kind'], given: GivenOption): InputConfiguration {
  const [path = '', width, height, ...rest] = (given.value ?? '').split(':');
  const isSize = (text: string | undefined): boolean => text === undefined || /^[0-9]+$/.test(text);
  if (!isSize(width) || !isSize(height) || rest.length > 1) {
    throw new UsageError(
      'INVALID_VALUE',
      `${given.spelling} takes PATH:WIDTH:HEIGHT:NAME, of which all but the path can be left out at the end`,
    );
  }
  const [name] = rest;
  return {
    ...socketValue(kind, { ...given, value: path }),
    ...(width !== undefined && { width: Number(width) }),
    ...(height !== undefined && { height: Number(height) }),
    ...(name !== undefined && { name }),
  };
}
