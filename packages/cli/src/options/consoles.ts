import { BUILT, key, type OptionDefinition } from './definition.ts';

/** Serial ports and virtio-consoles. */
export const CONSOLE_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'serial',
    group: 'Consoles',
    value: 'KEY=VALUE[,KEY=VALUE…]',
    repeatable: true,
    help: 'Connect a console; without a console, COM1 is one on the terminal',
    keys: [
      key(
        'type',
        'TYPE',
        'file, stdout, sink (the default, which discards), syslog, unix (datagrams) or unix-stream',
      ),
      key(
        'hardware',
        'KIND',
        'serial (a 16550A), virtio-console, or debugcon (what firmware of x86_64 says); default serial',
      ),
      key('num', 'N', 'which one of its kind, from 1; serial has 1 to 4; default 1'),
      key('path', 'PATH', 'the file or socket of the types file, unix and unix-stream'),
      key('console', undefined, "make it the kernel's console"),
      key('earlycon', undefined, "make it the kernel's early console (serial only)"),
      key('stdin', undefined, 'take input from standard input'),
      key('input', 'PATH', 'take input from this file'),
      key('input-unix-stream', undefined, 'take input from the socket (unix-stream only)'),
      key('name', 'NAME', 'make a virtio-console a port of that name, of one device with all named ones'),
      key('out-timestamp', undefined, "write the host's time in front of each line (serial only)"),
      key('debugcon-port', 'PORT', 'I/O port of hardware debugcon; default 0x402'),
      key('pci-address', 'ADDR', 'place of a virtio-console on PCI bus 0, such as 00:05.0'),
      key('max-queue-sizes', '[N,N]', 'most entries of the queues of a virtio-console; default [256,256]'),
    ],
    example: '--serial type=stdout,hardware=virtio-console,console,stdin',
    availability: BUILT,
  },
];
