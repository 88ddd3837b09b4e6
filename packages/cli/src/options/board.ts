import { BUILT, deprecated, key, type OptionDefinition } from './definition.ts';

/** What only some machines have: firmware, firmware's tables, a PC's chips. */
export const BOARD_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'bios',
    group: 'Guest',
    value: 'PATH',
    help: 'Start from this BIOS or UEFI image instead of a kernel (x86_64, aarch64)',
    example: '--bios /usr/share/seabios/bios.bin -b disk.img',
    availability: BUILT,
  },
  {
    name: 'smbios',
    group: 'Guest',
    value: 'KEY=VALUE[,KEY=VALUE…]',
    help: 'What the firmware tells the guest of the machine (x86_64)',
    keys: [
      key('bios-vendor', 'TEXT', "the firmware's vendor; default tsvmm"),
      key('bios-version', 'TEXT', "the firmware's version; default 0"),
      key('manufacturer', 'TEXT', "the machine's manufacturer; default tsvmm"),
      key('product-name', 'TEXT', "the machine's name; default tsvmm"),
      key('serial-number', 'TEXT', "the machine's serial number"),
      key('uuid', 'UUID', "the machine's UUID"),
      key('oem-strings', '[TEXT,…]', 'up to 255 strings for programs in the guest'),
    ],
    example: '--smbios product-name=desk,oem-strings=[one,two]',
    availability: BUILT,
  },
  {
    name: 'oem-strings',
    group: 'Guest',
    value: 'TEXT',
    repeatable: true,
    help: 'A string for programs in the guest (x86_64)',
    availability: deprecated('--smbios oem-strings=[TEXT,…]'),
  },
  {
    name: 'acpi-table',
    group: 'Machine',
    value: 'PATH',
    repeatable: true,
    help: "Add an ACPI table; a DSDT or FACP replaces the machine's (x86_64)",
    availability: BUILT,
  },
  {
    name: 'pci',
    group: 'Machine',
    value: 'KEY=[start=N,size=N][,…]',
    help: 'Where PCI is in guest memory, if not at the usual place',
    keys: [
      key('mem', '[start=N,size=N]', '32-bit addresses for devices'),
      key('ecam', '[start=N,size=N]', 'configuration space (x86_64)'),
      key('cam', '[start=N,size=N]', 'configuration space (aarch64)'),
    ],
    example: '--pci mem=[start=0xc0000000,size=0x20000000]',
    availability: BUILT,
  },
  {
    name: 'no-i8042',
    group: 'Machine',
    help: 'Leave out the keyboard controller, which resets a PC (x86_64)',
    availability: BUILT,
  },
  {
    name: 'no-rtc',
    group: 'Machine',
    help: 'Leave out the clock that runs while the machine is off',
    availability: BUILT,
  },
];
