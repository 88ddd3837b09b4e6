import { type ConfigRange, type FeatureSet, hasFeature, type PciClass } from '@tsvmm/devices';

/** What the protocol does not tell of a device, and its kind does. */
export interface DeviceType {
  /** virtio 1.3, section 5. */
  readonly deviceId: number;
  readonly pciClass: PciClass;
  /** Queues of a device whose back end does not say how many it has. */
  readonly queueCount: number;
  /** Bytes of the device-specific configuration. */
  readonly configLength: (features: FeatureSet) => number;
  /** What of it the driver can write; nothing unless given. */
  readonly writableConfig?: (features: FeatureSet) => ConfigRange | undefined;
}

const MASS_STORAGE = 0x01;
const NETWORK = 0x02;
const MULTIMEDIA = 0x04;
const COMMUNICATION = 0x07;
const SYSTEM = 0x08;
const WIRELESS = 0x0d;

function type(
  deviceId: number,
  baseClass: number,
  subclass: number,
  queueCount: number,
  configLength: number | DeviceType['configLength'],
): DeviceType {
  const length = typeof configLength === 'number' ? () => configLength : configLength;
  return { deviceId, pciClass: { baseClass, subclass }, queueCount, configLength: length };
}

/** VIRTIO_BLK_F_SECURE_ERASE and VIRTIO_BLK_F_ZONED make struct virtio_blk_config longer (section 5.2.4). */
function blockConfigLength(features: FeatureSet): number {
  if (hasFeature(features, 17)) return 96;
  return hasFeature(features, 16) ? 72 : 60;
}

/** With VIRTIO_BLK_F_CONFIG_WCE, the driver chooses in `writeback` what its writes mean (section 5.2.5.2). */
function blockWritableConfig(features: FeatureSet): ConfigRange | undefined {
  return hasFeature(features, 11) ? { start: 32, end: 33 } : undefined;
}

/** VIRTIO_NET_F_RSS and VIRTIO_NET_F_SPEED_DUPLEX do so for struct virtio_net_config (section 5.1.4). */
function networkConfigLength(features: FeatureSet): number {
  if (hasFeature(features, 60)) return 24;
  return hasFeature(features, 63) ? 17 : 12;
}

/** Devices that a back end in another process can be, by the names crosvm has for them. */
export const DEVICE_TYPES = {
  block: { ...type(2, MASS_STORAGE, 0x80, 1, blockConfigLength), writableConfig: blockWritableConfig },
  console: type(3, COMMUNICATION, 0x80, 2, 12),
  fs: type(26, MASS_STORAGE, 0x80, 2, 40),
  'mac80211-hwsim': type(29, WIRELESS, 0x80, 2, 0),
  net: type(1, NETWORK, 0x80, 3, networkConfigLength),
  rng: type(4, SYSTEM, 0x80, 1, 0),
  scsi: type(8, MASS_STORAGE, 0x00, 3, 36),
  sound: type(25, MULTIMEDIA, 0x01, 4, 12),
  vsock: type(19, NETWORK, 0x80, 3, 8),
} as const satisfies Record<string, DeviceType>;
