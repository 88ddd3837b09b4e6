import { BUILT, type OptionDefinition } from './definition.ts';

/** --json, of the commands that print what programs may want to read. */
export const JSON_OPTION: OptionDefinition = {
  name: 'json',
  group: 'Messages',
  help: 'Print JSON on standard output',
  availability: BUILT,
};
