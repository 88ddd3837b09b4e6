import { BUILT, key, type OptionDefinition } from './definition.ts';

/** Devices that other programs serve. */
export const VHOST_USER_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'vhost-user',
    group: 'Devices of the host',
    value: '[type=]TYPE,socket=PATH[,KEY=VALUE…]',
    repeatable: true,
    help: 'Attach a device that another program serves by vhost-user',
    keys: [
      key('type', 'TYPE', 'block, console, fs, mac80211-hwsim, net, rng, scsi, sound or vsock'),
      key('socket', 'PATH', "the program's socket; /proc/self/fd/N for one that was inherited"),
      key('max-queue-size', 'N', 'most entries of a queue, a power of two; default 256'),
      key('pci-address', 'ADDRESS', 'place on PCI bus 0, such as 00:05.0; default the first that is free'),
    ],
    example: '--vhost-user block,socket=/run/disk.sock',
    availability: BUILT,
  },
  {
    name: 'vhost-user-connect-timeout-ms',
    group: 'Devices of the host',
    value: 'MS',
    help: 'Wait so long for the sockets of --vhost-user; not at all if not given',
    availability: BUILT,
  },
];
