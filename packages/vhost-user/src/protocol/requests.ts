/** Requests of the front end, by their names in QEMU's docs/interop/vhost-user.rst, "Front-end message types". */
export const FrontendRequest = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  GET_INFLIGHT_FD: 31,
  SET_INFLIGHT_FD: 32,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
  SET_STATUS: 39,
  GET_STATUS: 40,
  SET_DEVICE_STATE_FD: 42,
  CHECK_DEVICE_STATE: 43,
} as const;

/** Requests of the back end, "Back-end message types". */
export const BackendRequest = {
  CONFIG_CHANGE_MSG: 2,
} as const;

/** Feature bit of the virtio device that says that there are protocol features (VHOST_USER_F_PROTOCOL_FEATURES). */
export const PROTOCOL_FEATURES_BIT = 30;

/** Bit numbers of "Protocol features" (VHOST_USER_PROTOCOL_F_*). */
export const ProtocolFeature = {
  MQ: 0,
  REPLY_ACK: 3,
  BACKEND_REQ: 5,
  CONFIG: 9,
  INFLIGHT_SHMFD: 12,
  RESET_DEVICE: 13,
  CONFIGURE_MEM_SLOTS: 15,
  STATUS: 16,
  DEVICE_STATE: 19,
} as const;

/** The name of a request for messages. */
export function requestName(table: Readonly<Record<string, number>>, request: number): string {
  return Object.entries(table).find(([, number]) => number === request)?.[0] ?? `request ${request}`;
}
