import { BUILT, deprecated, key, type OptionDefinition } from './definition.ts';

/** One of the spellings from before --input. */
function oldSpelling(name: string, value: string): OptionDefinition {
  return {
    name,
    group: 'Graphics, input and sound',
    value,
    repeatable: true,
    help: `Connect a ${name.replace('-', ' ')} device`,
    availability: deprecated(`--input ${name}[path=PATH]`),
  };
}

/** Keyboards, mice and what else events come from. */
export const INPUT_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'input',
    group: 'Graphics, input and sound',
    value: 'KIND[path=PATH[,KEY=VALUE…]]',
    repeatable: true,
    help: 'Give the guest an input device, whose events come from a Unix stream socket',
    keys: [
      key('path', 'PATH', 'the socket, of a program that sends events as virtio has them'),
      key('width', 'N', 'width of what is touched, in units of its own; default 1280'),
      key('height', 'N', 'height of what is touched; default 1024'),
      key('name', 'TEXT', 'what the guest calls a touch device'),
      key('config-path', 'PATH', 'JSON file that says what a custom device has'),
    ],
    example: '--input keyboard[path=kbd.sock] --input multi-touch[path=touch.sock,width=800]',
    availability: BUILT,
  },
  oldSpelling('keyboard', 'PATH'),
  oldSpelling('mouse', 'PATH'),
  oldSpelling('rotary', 'PATH'),
  oldSpelling('switches', 'PATH'),
  oldSpelling('single-touch', 'PATH[:WIDTH:HEIGHT[:NAME]]'),
  oldSpelling('multi-touch', 'PATH[:WIDTH:HEIGHT[:NAME]]'),
  oldSpelling('trackpad', 'PATH[:WIDTH:HEIGHT[:NAME]]'),
];
