import { BUILT, deprecated, key, type OptionDefinition } from './definition.ts';

/** What executes the guest's instructions. */
export const HYPERVISOR_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'hypervisor',
    group: 'Hypervisor',
    value: 'KIND',
    help: "What executes the guest: kvm (the host's CPU), soft (software CPUs, which run everywhere) or auto (the best there is); default auto",
    example: '--hypervisor kvm[device=/dev/kvm]',
    availability: BUILT,
  },
  {
    name: 'kvm-device',
    group: 'Hypervisor',
    value: 'PATH',
    help: "Path of KVM's device",
    availability: deprecated('--hypervisor kvm[device=PATH]'),
  },
  {
    name: 'irqchip',
    group: 'Hypervisor',
    value: 'KIND',
    help: 'Where interrupt controllers are: kernel (the default with KVM), split (x86_64: only the local APICs in the kernel) or userspace (software CPUs)',
    keys: [
      key(
        'allow-vgic-its',
        'true|false',
        'kernel: have message-signalled interrupts on aarch64; default true',
      ),
    ],
    example: '--irqchip split',
    availability: BUILT,
  },
  {
    name: 'split-irqchip',
    group: 'Hypervisor',
    help: 'Have only the local APICs in the kernel (x86_64)',
    availability: deprecated('--irqchip split'),
  },
  {
    name: 'nested',
    group: 'Hypervisor',
    value: '[mode=]MODE',
    help: 'Whether the guest can run guests of its own: off, auto (if the host lets it) or on; default auto on x86_64, off elsewhere',
    keys: [key('mode', 'MODE', 'off, auto or on')],
    availability: BUILT,
  },
];
